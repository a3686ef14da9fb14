"""Archived months: what their files hold, what the database keeps of the rows that went, and which of them came back.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0046"
down_revision = "0042"
branch_labels = None
depends_on = None

# What files hold is no secret from members: the rows in them are guarded by the service that reads them, the database's own rules applied.
LEDGER = """
ALTER TABLE learning.archived_partitions ADD content_hash bytea, ADD bytes bigint NOT NULL DEFAULT 0 CHECK (bytes >= 0),
    ADD first_at timestamptz, ADD last_at timestamptz, ADD manifest jsonb NOT NULL DEFAULT '{}';
DROP POLICY api_read ON learning.archived_partitions;
CREATE POLICY api_read ON learning.archived_partitions FOR SELECT TO learning_api
    USING ((SELECT learning.current_organization_id()) IS NOT NULL AND organization_id = (SELECT learning.current_organization_id()));
"""
LEDGER_BACK = """
DROP POLICY api_read ON learning.archived_partitions;
CREATE POLICY api_read ON learning.archived_partitions FOR SELECT TO learning_api
    USING ((SELECT learning.current_organization_id()) IS NOT NULL AND organization_id = (SELECT learning.current_organization_id())
        AND (SELECT learning.has_role('admin')));
ALTER TABLE learning.archived_partitions DROP content_hash, DROP bytes, DROP first_at, DROP last_at, DROP manifest;
"""

# The sums of feedback_metrics that the rows of an archived month gave: days are computed from them and from the rows that are there.
KEPT = """
CREATE TABLE learning.archived_metrics (LIKE learning.feedback_metrics INCLUDING DEFAULTS);
ALTER TABLE learning.archived_metrics ADD month date NOT NULL, DROP computed_at,
    ADD PRIMARY KEY (organization_id, day, agent_id, month);
CREATE INDEX archived_metrics_month ON learning.archived_metrics (month);
SELECT learning.protect('learning.archived_metrics', 'member', 'none');

-- How much of what a person said lies in a month's files: for the ratings a rater gave in all, and to know which files hold anything of a person.
CREATE TABLE learning.archived_raters (
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    month date NOT NULL,
    ratings bigint NOT NULL,
    PRIMARY KEY (organization_id, user_id, month)
);
CREATE INDEX archived_raters_month ON learning.archived_raters (month);
SELECT learning.protect('learning.archived_raters', 'none', 'none');

-- Thumbs in force on executions that examples come from: what users say about an example goes on being compared with what experts say.
CREATE TABLE learning.archived_thumbs (
    organization_id uuid NOT NULL,
    execution_id text NOT NULL,
    feedback_id text NOT NULL,
    month date NOT NULL,
    user_id uuid,
    feedback_type text NOT NULL CHECK (feedback_type IN ('thumbs_up', 'thumbs_down')),
    PRIMARY KEY (organization_id, execution_id, feedback_id)
);
CREATE INDEX archived_thumbs_month ON learning.archived_thumbs (month);
SELECT learning.protect('learning.archived_thumbs', 'none', 'none');

-- Executions of a month's files whose rows came back, because something was said about them later: in the files they count no longer.
CREATE TABLE learning.archived_returns (
    organization_id uuid NOT NULL,
    execution_id text NOT NULL,
    month date NOT NULL,
    returned_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, execution_id, month)
);
CREATE INDEX archived_returns_month ON learning.archived_returns (month);
SELECT learning.protect('learning.archived_returns', 'member', 'none');
"""


def upgrade() -> None:
    op.execute(LEDGER)
    op.execute(KEPT)


def downgrade() -> None:
    op.execute("DROP TABLE learning.archived_returns, learning.archived_thumbs, learning.archived_raters, learning.archived_metrics")
    op.execute(LEDGER_BACK)
