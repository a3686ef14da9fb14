"""Edits of chunks end with the chunks they replace or made: marked when those are deleted, so that no search has to look for them.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0031"
down_revision = "0022"
branch_labels = None
depends_on = None

# Chunks are written by the pipeline alone, so the trigger needs no other rights than who fires it has. A document that changes and is changed back gets
# its chunks back, not those of the edit: an operation that ended stays ended.
MARK = """
ALTER TABLE learning.chunk_edit_operations ADD COLUMN holds boolean NOT NULL DEFAULT true;
CREATE FUNCTION learning.end_chunk_edits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE learning.chunk_edit_operations o SET holds = false
    FROM (SELECT DISTINCT organization_id, document_id FROM gone) AS d
    WHERE o.organization_id = d.organization_id AND o.document_id = d.document_id AND o.holds
        AND EXISTS (SELECT FROM gone g WHERE g.organization_id = o.organization_id AND g.id = ANY(o.replaced || o.made));
    RETURN NULL;
END $$;
CREATE TRIGGER knowledge_chunks_end_edits AFTER DELETE ON learning.knowledge_chunks REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION learning.end_chunk_edits();
"""


def upgrade() -> None:
    op.execute(MARK)


def downgrade() -> None:
    op.execute("""
    DROP TRIGGER knowledge_chunks_end_edits ON learning.knowledge_chunks;
    DROP FUNCTION learning.end_chunk_edits();
    ALTER TABLE learning.chunk_edit_operations DROP COLUMN holds;
    """)
