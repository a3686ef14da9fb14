"""Vectors of the examples that prompts pick their demonstrations from.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# One vector per text and encoder, whichever dataset versions hold it: a new version costs its new texts. Which of them a version has, and what
# they say, is asked of dataset_examples and example_contents; an erased example takes its vectors along.
VECTORS = """
CREATE TABLE learning.demonstration_vectors (
    organization_id uuid NOT NULL,
    encoder text NOT NULL,
    example_id text NOT NULL,
    content_hash bytea NOT NULL,
    agent_id uuid NOT NULL,
    embedding halfvec NOT NULL,
    PRIMARY KEY (organization_id, encoder, example_id, content_hash),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, example_id) REFERENCES learning.learning_examples ON DELETE CASCADE,
    FOREIGN KEY (organization_id, content_hash) REFERENCES learning.example_contents ON DELETE CASCADE
);
CREATE INDEX demonstration_vectors_agent ON learning.demonstration_vectors (organization_id, agent_id, encoder);
CREATE INDEX demonstration_vectors_example ON learning.demonstration_vectors (organization_id, example_id);
CREATE INDEX demonstration_vectors_content ON learning.demonstration_vectors (organization_id, content_hash);
SELECT learning.protect('learning.demonstration_vectors', 'trainer', 'none');
"""

# An index of vectors has one length. These are those of common encoders (384: the packaged one); others are searched exactly.
DIMENSIONS = (384, 512, 768, 1024)


def upgrade() -> None:
    op.execute(VECTORS)
    for length in DIMENSIONS:
        op.execute(f"""
        CREATE INDEX demonstration_vectors_{length} ON learning.demonstration_vectors USING hnsw ((embedding::halfvec({length})) halfvec_ip_ops)
            WHERE vector_dims(embedding) = {length}
        """)


def downgrade() -> None:
    op.execute("DROP TABLE learning.demonstration_vectors")
