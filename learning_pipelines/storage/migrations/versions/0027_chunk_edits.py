"""Edits of chunks: which are merged or split for the index versions that name the edit, and on what evidence.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0027"
down_revision = "0021"
branch_labels = None
depends_on = None

# An edit is what one index version changes about the chunks of an agent's documents: merges and splits. The chunks it makes are rows of
# knowledge_chunks with its id and go with it; the ones it replaces stay untouched, so taking it back is naming no edit. An operation holds while
# its document has the content it was learnt on and the replaced chunks are there: storage/chunk_edits.py asks at every read.
EDITS = """
CREATE TABLE learning.chunk_edits (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    id uuid NOT NULL,
    agent_id uuid NOT NULL,
    training_run_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, training_run_id) REFERENCES learning.training_runs
);
CREATE INDEX chunk_edits_agent ON learning.chunk_edits (organization_id, agent_id, created_at);
SELECT learning.protect('learning.chunk_edits', 'member', 'none');

CREATE TABLE learning.chunk_edit_operations (
    organization_id uuid NOT NULL,
    edit_id uuid NOT NULL,
    number integer NOT NULL CHECK (number >= 1),
    operation text NOT NULL CHECK (operation IN ('merge', 'split')),
    document_id text NOT NULL,
    document_hash bytea NOT NULL, -- documents.content_hash when it was learnt
    replaced text[] NOT NULL,
    made text[] NOT NULL,
    evidence jsonb NOT NULL DEFAULT '{}', -- numbers, no texts
    PRIMARY KEY (organization_id, edit_id, number),
    FOREIGN KEY (organization_id, edit_id) REFERENCES learning.chunk_edits ON DELETE CASCADE,
    FOREIGN KEY (organization_id, document_id) REFERENCES learning.documents ON DELETE CASCADE
);
CREATE INDEX chunk_edit_operations_document ON learning.chunk_edit_operations (organization_id, document_id);
SELECT learning.protect('learning.chunk_edit_operations', 'member', 'none');

CREATE INDEX knowledge_chunks_edit ON learning.knowledge_chunks (organization_id, edit_id) WHERE edit_id IS NOT NULL;
ALTER TABLE learning.knowledge_chunks
    ADD CONSTRAINT knowledge_chunks_edit_id_fkey FOREIGN KEY (organization_id, edit_id) REFERENCES learning.chunk_edits ON DELETE CASCADE;
"""


def upgrade() -> None:
    op.execute(EDITS)


def downgrade() -> None:
    op.execute("""
    DELETE FROM learning.knowledge_chunks WHERE edit_id IS NOT NULL;
    ALTER TABLE learning.knowledge_chunks DROP CONSTRAINT knowledge_chunks_edit_id_fkey;
    DROP INDEX learning.knowledge_chunks_edit;
    DROP TABLE learning.chunk_edit_operations, learning.chunk_edits;
    """)
