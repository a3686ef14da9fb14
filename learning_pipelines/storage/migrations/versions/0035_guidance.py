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

# What guidance looks for is a small share of the vectors: the index over all of them would pass by most of what it finds.
DIMENSIONS = (384, 512, 768, 1024)
SHOWN = ("correction", "demonstration")


def upgrade() -> None:
    op.execute(TYPES)
    for length in DIMENSIONS:
        for shown in SHOWN:
            op.execute(f"""
            CREATE INDEX demonstration_vectors_{length}_{shown} ON learning.demonstration_vectors USING hnsw
                ((embedding::halfvec({length})) halfvec_ip_ops) WHERE vector_dims(embedding) = {length} AND example_type = '{shown}'
            """)


def downgrade() -> None:
    for length in DIMENSIONS:
        for shown in SHOWN:
            op.execute(f"DROP INDEX learning.demonstration_vectors_{length}_{shown}")
    op.execute("DROP INDEX learning.demonstration_vectors_agent")
    op.execute("ALTER TABLE learning.demonstration_vectors DROP COLUMN example_type")
    op.execute("CREATE INDEX demonstration_vectors_agent ON learning.demonstration_vectors (organization_id, agent_id, encoder)")
