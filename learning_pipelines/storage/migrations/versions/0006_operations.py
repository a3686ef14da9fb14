"""Operations: daily metrics, weekly reports, API keys, the audit log, archived partitions.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

METRICS = """
-- One row per day and agent. Sums and counts, so that weeks and months add up exactly; only feedback in force counts.
CREATE TABLE learning.feedback_metrics (
    organization_id uuid NOT NULL,
    day date NOT NULL,
    agent_id uuid NOT NULL,
    executions bigint NOT NULL,
    executions_with_feedback bigint NOT NULL,
    latency_count bigint NOT NULL,
    latency_ms_sum double precision NOT NULL,
    tokens_sum bigint NOT NULL,
    cost_usd_sum double precision NOT NULL,
    feedback bigint NOT NULL,
    simulated bigint NOT NULL,
    rating_count bigint NOT NULL,
    rating_sum bigint NOT NULL,
    rating_sum_squares bigint NOT NULL,
    thumbs_up bigint NOT NULL,
    thumbs_down bigint NOT NULL,
    corrections bigint NOT NULL,
    accuracy_count bigint NOT NULL,
    accuracy_sum bigint NOT NULL,
    helpfulness_count bigint NOT NULL,
    helpfulness_sum bigint NOT NULL,
    clarity_count bigint NOT NULL,
    clarity_sum bigint NOT NULL,
    completeness_count bigint NOT NULL,
    completeness_sum bigint NOT NULL,
    issues jsonb NOT NULL DEFAULT '{}',
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, day, agent_id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents
);
CREATE INDEX feedback_metrics_agent ON learning.feedback_metrics (organization_id, agent_id, day);
SELECT learning.protect('learning.feedback_metrics', 'member', 'none');

CREATE TABLE learning.learning_reports (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    week date NOT NULL CHECK (extract(isodow FROM week) = 1),
    numbers jsonb NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, week)
);
SELECT learning.protect('learning.learning_reports', 'member', 'none');
"""

OPERATIONS = """
CREATE TABLE learning.api_keys (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    key_hash bytea NOT NULL,
    role text NOT NULL CHECK (role IN ('user', 'expert', 'trainer', 'experimenter', 'admin')),
    user_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, key_hash),
    FOREIGN KEY (organization_id, user_id) REFERENCES learning.users
);
SELECT learning.protect('learning.api_keys', 'member', 'none');

CREATE TABLE learning.audit_log (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    id bigint NOT NULL DEFAULT nextval('learning.arrivals'),
    actor text NOT NULL,
    action text NOT NULL,
    subject_kind text NOT NULL,
    subject_id text NOT NULL,
    fields text[] NOT NULL DEFAULT '{}',
    before_hash bytea,
    after_hash bytea,
    happened_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX audit_log_subject ON learning.audit_log (organization_id, subject_kind, subject_id);
SELECT learning.protect('learning.audit_log', 'admin', 'member');
REVOKE UPDATE, DELETE ON learning.audit_log FROM learning_pipeline;
REVOKE UPDATE ON learning.audit_log FROM learning_api;

CREATE TABLE learning.archived_partitions (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    table_name text NOT NULL,
    month date NOT NULL,
    path text NOT NULL,
    rows bigint NOT NULL CHECK (rows >= 0),
    sha256 bytea NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, table_name, month)
);
SELECT learning.protect('learning.archived_partitions', 'admin', 'none');
"""


def upgrade() -> None:
    op.execute(METRICS)
    op.execute(OPERATIONS)


def downgrade() -> None:
    op.execute("""
    DROP TABLE learning.archived_partitions, learning.audit_log, learning.api_keys, learning.learning_reports,
        learning.feedback_metrics;
    """)
