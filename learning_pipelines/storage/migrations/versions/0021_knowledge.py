"""How each document was last chunked, and the index by which vectors go with their chunks.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# A document is behind where its content or the chunker is another than here. problem: why it has no chunks.
CHUNKINGS = """
CREATE TABLE learning.document_chunkings (
    organization_id uuid NOT NULL,
    document_id text NOT NULL,
    content_hash bytea NOT NULL,
    chunker text NOT NULL,
    chunks integer NOT NULL CHECK (chunks >= 0),
    problem text CHECK ((problem IS NULL) = (chunks > 0)),
    chunked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, document_id),
    FOREIGN KEY (organization_id, document_id) REFERENCES learning.documents ON DELETE CASCADE
);
SELECT learning.protect('learning.document_chunkings', 'member', 'none');

CREATE INDEX chunk_embeddings_chunk ON learning.chunk_embeddings (organization_id, chunk_id);
CREATE INDEX knowledge_chunks_agent ON learning.knowledge_chunks (organization_id, agent_id);
"""


def upgrade() -> None:
    op.execute(CHUNKINGS)


def downgrade() -> None:
    op.execute("DROP INDEX learning.knowledge_chunks_agent, learning.chunk_embeddings_chunk")
    op.execute("DROP TABLE learning.document_chunkings")
