"""Capture: executions and feedback by month, what has been seen before (ingest_keys), what is new (outbox), how far readers are.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# The tables that take every event have no foreign keys out either: a referential check costs 3 to 4 µs of the 35 µs a row takes.
# The import resolves agents itself, and the asset check `references_hold` proves it.
EVENTS = """
-- Order of arrival inside one transaction, and the tie-breaker of supersession.
CREATE SEQUENCE learning.arrivals;
GRANT USAGE ON SEQUENCE learning.arrivals TO learning_api, learning_pipeline;

CREATE TABLE learning.agent_executions (
    organization_id uuid NOT NULL,
    id text NOT NULL,
    agent_id uuid NOT NULL,
    user_id uuid,
    session_id text,
    parent_id text,
    input text NOT NULL,
    output text NOT NULL,
    messages jsonb,
    tags text[] NOT NULL DEFAULT '{}',
    environment text,
    context jsonb NOT NULL DEFAULT '{}',
    retrieved jsonb,
    prompt_version text,
    latency_ms double precision CHECK (latency_ms >= 0),
    input_tokens integer CHECK (input_tokens >= 0),
    output_tokens integer CHECK (output_tokens >= 0),
    cost_usd double precision CHECK (cost_usd >= 0),
    created_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id, received_at)
) PARTITION BY RANGE (received_at);
CREATE INDEX agent_executions_agent_created ON learning.agent_executions (organization_id, agent_id, created_at);
CREATE INDEX agent_executions_user_created ON learning.agent_executions (organization_id, user_id, created_at) WHERE user_id IS NOT NULL;
SELECT learning.protect('learning.agent_executions', 'own', 'own');

-- facets: what this feedback says something about, one bit each: 1 thumb, 2 rating, 4 dimensions, 8 issues, 16 correction.
CREATE TABLE learning.agent_feedback (
    organization_id uuid NOT NULL,
    id text NOT NULL,
    arrival bigint NOT NULL DEFAULT nextval('learning.arrivals'),
    execution_id text NOT NULL,
    pending_execution boolean NOT NULL DEFAULT false,
    agent_id uuid NOT NULL,
    user_id uuid,
    feedback_type text NOT NULL CHECK (feedback_type IN
        ('thumbs_up', 'thumbs_down', 'star_rating', 'detailed_feedback', 'correction', 'report_issue')),
    rating smallint CHECK (rating BETWEEN 1 AND 5),
    accuracy_rating smallint CHECK (accuracy_rating BETWEEN 1 AND 5),
    helpfulness_rating smallint CHECK (helpfulness_rating BETWEEN 1 AND 5),
    clarity_rating smallint CHECK (clarity_rating BETWEEN 1 AND 5),
    completeness_rating smallint CHECK (completeness_rating BETWEEN 1 AND 5),
    issue_categories text[] NOT NULL DEFAULT '{}' CHECK (issue_categories <@ ARRAY
        ['incorrect', 'incomplete', 'unclear', 'hallucination', 'outdated', 'formatting', 'tone', 'other']),
    feedback_text text,
    correction_text text,
    task_context jsonb,
    context jsonb NOT NULL DEFAULT '{}',
    facets smallint NOT NULL GENERATED ALWAYS AS (
        (CASE WHEN feedback_type IN ('thumbs_up', 'thumbs_down') THEN 1 ELSE 0 END
        + CASE WHEN rating IS NOT NULL THEN 2 ELSE 0 END
        + CASE WHEN num_nonnulls(accuracy_rating, helpfulness_rating, clarity_rating, completeness_rating) > 0 THEN 4 ELSE 0 END
        + CASE WHEN feedback_type = 'report_issue' OR cardinality(issue_categories) > 0 THEN 8 ELSE 0 END
        + CASE WHEN correction_text IS NOT NULL THEN 16 ELSE 0 END)::smallint) STORED,
    created_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id, received_at)
) PARTITION BY RANGE (received_at);
CREATE INDEX agent_feedback_execution ON learning.agent_feedback (organization_id, execution_id);
CREATE INDEX agent_feedback_agent_created ON learning.agent_feedback (organization_id, agent_id, created_at);
CREATE INDEX agent_feedback_user_created ON learning.agent_feedback (organization_id, user_id, created_at) WHERE user_id IS NOT NULL;
CREATE INDEX agent_feedback_pending ON learning.agent_feedback (organization_id, execution_id) WHERE pending_execution;
SELECT learning.protect('learning.agent_feedback', 'own', 'own');

-- The month before is there too: an import that began before midnight of the last day still lands.
SELECT learning.make_partitions('agent_executions', (now() AT TIME ZONE 'UTC' - interval '1 month')::date, 6);
SELECT learning.make_partitions('agent_feedback', (now() AT TIME ZONE 'UTC' - interval '1 month')::date, 6);
"""

# What is in force of each feedback: a facet counts unless the same known user said something newer about it on the same execution.
IN_FORCE = """
CREATE VIEW learning.feedback_in_force WITH (security_invoker = true) AS
SELECT f.*, (f.facets & ~coalesce(newer.facets, 0))::smallint AS facets_in_force
FROM learning.agent_feedback f
LEFT JOIN LATERAL (
    SELECT bit_or(s.facets::integer) AS facets
    FROM learning.agent_feedback s
    WHERE f.user_id IS NOT NULL AND f.facets <> 0
      AND s.organization_id = f.organization_id AND s.execution_id = f.execution_id AND s.user_id = f.user_id
      AND (s.created_at, s.arrival) > (f.created_at, f.arrival)
) newer ON true
WHERE NOT f.pending_execution;
GRANT SELECT ON learning.feedback_in_force TO learning_api, learning_pipeline;
"""

LEDGERS = """
CREATE TABLE learning.ingest_keys (
    organization_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN
        ('agents', 'executions', 'feedback', 'examples', 'demonstrations', 'documents', 'retrieval_feedback', 'annotations')),
    external_id text NOT NULL,
    content_hash bytea NOT NULL,
    agent_id uuid,
    happened_at timestamptz,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, kind, external_id)
);
SELECT learning.protect('learning.ingest_keys', 'member', 'member');

-- xid orders entries by what is safely committed: readers stop below pg_snapshot_xmin. Entries without an agent carry the nil uuid.
CREATE TABLE learning.outbox (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id bigint NOT NULL DEFAULT nextval('learning.arrivals'),
    kind text NOT NULL,
    row_id text NOT NULL,
    execution_id text,
    happened_at timestamptz NOT NULL,
    execution_at timestamptz,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, agent_id, xid, id)
);
CREATE INDEX outbox_order ON learning.outbox (xid, id);
SELECT learning.protect('learning.outbox', 'none', 'member');

-- How far a reader of the outbox has come. A position counts only in the cluster whose transaction ids it holds.
CREATE TABLE learning.outbox_positions (
    organization_id uuid NOT NULL,
    reader text NOT NULL,
    agent_id uuid NOT NULL,
    cluster text NOT NULL,
    xid xid8 NOT NULL,
    id bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, reader, agent_id)
);
SELECT learning.protect('learning.outbox_positions', 'none', 'none');
"""


def upgrade() -> None:
    op.execute(EVENTS)
    op.execute(IN_FORCE)
    op.execute(LEDGERS)


def downgrade() -> None:
    op.execute("""
    DROP TABLE learning.outbox_positions, learning.outbox, learning.ingest_keys;
    DROP VIEW learning.feedback_in_force;
    DROP TABLE learning.agent_feedback, learning.agent_executions;
    DROP SEQUENCE learning.arrivals;
    """)
