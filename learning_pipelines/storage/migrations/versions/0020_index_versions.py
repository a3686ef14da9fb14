"""Index versions that serve: whose they are, their numbers, the labels that say which one serves; the queries that judge them.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# Number 0 without an agent is the organization's base index; learnt versions belong to an agent and count from 1. A version is its configuration
# (retrieval/index.py) and its encoder: vectors are kept per encoder, so that a version that learns no encoder costs no vectors.
VERSIONS = """
ALTER TABLE learning.index_versions
    ADD COLUMN agent_id uuid,
    ADD COLUMN number integer NOT NULL DEFAULT 0 CHECK ((number = 0) = (agent_id IS NULL)),
    ADD COLUMN parent integer,
    ADD COLUMN kind text NOT NULL DEFAULT 'base' CHECK (kind IN ('base', 'index', 'reranker', 'expansion', 'chunk_edit')),
    ADD COLUMN training_run_id uuid,
    ADD CONSTRAINT index_versions_agent_id_fkey FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    ADD CONSTRAINT index_versions_training_run_id_fkey FOREIGN KEY (organization_id, training_run_id) REFERENCES learning.training_runs,
    ADD CONSTRAINT index_versions_number UNIQUE NULLS NOT DISTINCT (organization_id, agent_id, number);
ALTER TABLE learning.encoder_versions
    ADD COLUMN name text NOT NULL DEFAULT '', -- Encoder.name: the model and what its weights are; vectors of equal names may be compared
    ADD COLUMN agent_id uuid,
    ADD COLUMN sha256 text, -- of artifact_path; NULL where the model is not learnt
    ADD CONSTRAINT encoder_versions_agent_id_fkey FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    ADD CONSTRAINT encoder_versions_name UNIQUE (organization_id, name);

CREATE TABLE learning.index_labels (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    label text NOT NULL CHECK (label IN ('serving', 'candidate', 'previous')),
    number integer NOT NULL CHECK (number >= 0), -- 0: the base index
    moved_by uuid,
    moved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, agent_id, label),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, moved_by) REFERENCES learning.users
);
SELECT learning.protect('learning.index_labels', 'member', 'admin');

-- A learnt edit of chunks (merged, split) adds chunks of its own, which only index versions that name the edit see.
ALTER TABLE learning.knowledge_chunks ADD COLUMN edit_id uuid;
"""

# What was asked and what helped, one row per agent and normalized question. split is for good (NULL: left out); only train teaches, validation
# chooses, test is met by the gate alone. documents: document id -> gain 0..1 (0: shown and not helpful); chunks: the same for chunks that were named.
QUERIES = """
CREATE TABLE learning.retrieval_queries (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    id text NOT NULL,
    text text NOT NULL,
    split text CHECK (split IN ('train', 'validation', 'test')),
    left_out text NOT NULL DEFAULT '',
    cluster text NOT NULL DEFAULT '',
    documents jsonb NOT NULL DEFAULT '{}',
    chunks jsonb NOT NULL DEFAULT '{}',
    people text[] NOT NULL DEFAULT '{}',
    events integer NOT NULL CHECK (events > 0),
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, agent_id, id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents
);
SELECT learning.protect('learning.retrieval_queries', 'trainer', 'none');
"""


def upgrade() -> None:
    op.execute(VERSIONS)
    op.execute(QUERIES)


def downgrade() -> None:
    op.execute("DROP TABLE learning.retrieval_queries, learning.index_labels")
    op.execute("ALTER TABLE learning.knowledge_chunks DROP COLUMN edit_id")
    op.execute("""
    ALTER TABLE learning.encoder_versions DROP COLUMN name, DROP COLUMN agent_id, DROP COLUMN sha256;
    ALTER TABLE learning.index_versions DROP COLUMN agent_id, DROP COLUMN number, DROP COLUMN parent, DROP COLUMN kind, DROP COLUMN training_run_id;
    """)
