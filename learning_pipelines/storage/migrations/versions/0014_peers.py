"""Peers: what their clients said beside feedback, and spans until their trace is an execution.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLES = """
-- One row per statement of a peer (Langfuse score, Phoenix annotation, MLflow assessment). state: `feedback` (it is one; the payload
-- lies in that row's context), `beside` (said by a model or program, or about no execution: it never counts as feedback), `held` (its
-- span or trace is not known yet). version counts the contents it has had.
CREATE TABLE learning.peer_records (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    peer text NOT NULL CHECK (peer IN ('langfuse', 'phoenix', 'mlflow')),
    id text NOT NULL,
    arrival bigint NOT NULL DEFAULT nextval('learning.arrivals'),
    state text NOT NULL DEFAULT 'beside' CHECK (state IN ('feedback', 'beside', 'held')),
    version integer NOT NULL DEFAULT 1,
    content_hash bytea NOT NULL,
    name text NOT NULL,
    execution_id text,
    span_id text,
    session_id text,
    feedback_id text,
    person text,
    user_id uuid,
    payload jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, peer, id),
    CHECK ((state = 'feedback') = (feedback_id IS NOT NULL)),
    CHECK (state <> 'feedback' OR payload IS NULL)
);
CREATE INDEX peer_records_execution ON learning.peer_records (organization_id, execution_id);
CREATE INDEX peer_records_span ON learning.peer_records (organization_id, span_id) WHERE span_id IS NOT NULL;
SELECT learning.protect('learning.peer_records', 'own', 'own');

-- state: `held` (its trace is not whole), `used` (it stands in the execution's context; only its place is kept here, so that what is said
-- about a span finds the execution), `late` (came after the execution was made and is kept here, or its trace rested and is no execution).
CREATE TABLE learning.peer_spans (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    trace_id text NOT NULL,
    span_id text NOT NULL,
    state text NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'used', 'late')),
    agent text,
    user_id uuid,
    content jsonb,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, trace_id, span_id),
    CHECK (state <> 'used' OR content IS NULL)
);
CREATE INDEX peer_spans_span ON learning.peer_spans (organization_id, span_id);
CREATE INDEX peer_spans_held ON learning.peer_spans (organization_id, received_at) WHERE state = 'held';
SELECT learning.protect('learning.peer_spans', 'own', 'own');
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    op.execute("DROP TABLE learning.peer_spans, learning.peer_records")
