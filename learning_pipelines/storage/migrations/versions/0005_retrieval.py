"""Retrieval: documents, chunks, encoder and index versions, vectors, what users said about results, training pairs.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

CORPUS = """
CREATE TABLE learning.documents (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    id text NOT NULL,
    agent_id uuid,
    title text,
    text text NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    context jsonb NOT NULL DEFAULT '{}',
    content_hash bytea NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents
);
SELECT learning.protect('learning.documents', 'member', 'member');

CREATE TABLE learning.knowledge_chunks (
    organization_id uuid NOT NULL,
    id text NOT NULL,
    document_id text NOT NULL,
    agent_id uuid,
    position integer NOT NULL CHECK (position >= 0),
    heading text,
    text text NOT NULL,
    content_hash bytea NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, document_id) REFERENCES learning.documents ON DELETE CASCADE,
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents
);
CREATE INDEX knowledge_chunks_document ON learning.knowledge_chunks (organization_id, document_id);
SELECT learning.protect('learning.knowledge_chunks', 'member', 'none');

CREATE TABLE learning.encoder_versions (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    model text NOT NULL,
    dimensions integer NOT NULL CHECK (dimensions > 0),
    artifact_path text,
    training_run_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, training_run_id) REFERENCES learning.training_runs
);
SELECT learning.protect('learning.encoder_versions', 'member', 'none');

CREATE TABLE learning.index_versions (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    encoder_id uuid NOT NULL,
    status text NOT NULL DEFAULT 'building' CHECK (status IN ('building', 'ready', 'serving', 'retired')),
    config jsonb NOT NULL DEFAULT '{}',
    metrics jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    served_at timestamptz,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, encoder_id) REFERENCES learning.encoder_versions
);
SELECT learning.protect('learning.index_versions', 'member', 'none');

CREATE TABLE learning.chunk_embeddings (
    organization_id uuid NOT NULL,
    encoder_id uuid NOT NULL,
    chunk_id text NOT NULL,
    embedding halfvec NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, encoder_id, chunk_id),
    FOREIGN KEY (organization_id, encoder_id) REFERENCES learning.encoder_versions ON DELETE CASCADE,
    FOREIGN KEY (organization_id, chunk_id) REFERENCES learning.knowledge_chunks ON DELETE CASCADE
);
SELECT learning.protect('learning.chunk_embeddings', 'member', 'none');
"""

FEEDBACK = """
CREATE TABLE learning.retrieval_events (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    id text NOT NULL,
    agent_id uuid,
    user_id uuid,
    query text NOT NULL,
    retrieved text[] NOT NULL DEFAULT '{}',
    relevant text[] NOT NULL,
    rating smallint CHECK (rating BETWEEN 1 AND 5),
    helped boolean,
    context jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, user_id) REFERENCES learning.users
);
CREATE INDEX retrieval_events_agent_created ON learning.retrieval_events (organization_id, agent_id, created_at);
SELECT learning.protect('learning.retrieval_events', 'own', 'own');

CREATE TABLE learning.embedding_training_pairs (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    agent_id uuid,
    query text NOT NULL,
    document text NOT NULL,
    document_id text,
    label text NOT NULL CHECK (label IN ('positive', 'hard_negative', 'negative')),
    source_feedback_id text,
    weight double precision NOT NULL DEFAULT 1 CHECK (weight >= 0),
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents
);
CREATE INDEX embedding_training_pairs_source ON learning.embedding_training_pairs (organization_id, source_feedback_id);
SELECT learning.protect('learning.embedding_training_pairs', 'trainer', 'none');
"""


def upgrade() -> None:
    op.execute(CORPUS)
    op.execute(FEEDBACK)


def downgrade() -> None:
    op.execute("""
    DROP TABLE learning.embedding_training_pairs, learning.retrieval_events, learning.chunk_embeddings,
        learning.index_versions, learning.encoder_versions, learning.knowledge_chunks, learning.documents;
    """)
