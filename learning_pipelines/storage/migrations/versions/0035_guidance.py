"""Guidance at run time: corrections and demonstrations are found among the vectors of examples by their type.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0035"
down_revision = "0032"
branch_labels = None
depends_on = None

# A content has its type for good, so the vector of a content has too. Few of a type are compared one by one, found by the index.
TYPES = """
ALTER TABLE learning.demonstration_vectors ADD COLUMN example_type text NOT NULL DEFAULT '';
UPDATE learning.demonstration_vectors v SET example_type = coalesce(c.content ->> 'example_type', '') FROM learning.example_contents c
    WHERE c.organization_id = v.organization_id AND c.content_hash = v.content_hash;
DROP INDEX learning.demonstration_vectors_agent;
CREATE INDEX demonstration_vectors_agent ON learning.demonstration_vectors (organization_id, agent_id, encoder, example_type);
"""


def upgrade() -> None:
    op.execute(TYPES)


def downgrade() -> None:
    op.execute("DROP INDEX learning.demonstration_vectors_agent")
    op.execute("ALTER TABLE learning.demonstration_vectors DROP COLUMN example_type")
    op.execute("CREATE INDEX demonstration_vectors_agent ON learning.demonstration_vectors (organization_id, agent_id, encoder)")
