"""Executions as experiments count them: what each adds to its unit, or why it is left out; and an index of those that carry an experiment.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0038"
down_revision = "0036"
branch_labels = None
depends_on = None

# One row per execution and experiment that it names: reading it again adds nothing, feedback that comes later changes what it added before.
# refused: why it counts in no verdict; NULL: it counts. feedback_refused: feedback on it that lies outside the experiment's time.
# No foreign keys, as all tables that take every event: what an execution names need not exist.
COUNTED = """
CREATE TABLE learning.experiment_executions (
    organization_id uuid NOT NULL,
    experiment_id uuid NOT NULL,
    execution_id text NOT NULL,
    unit text,
    variant text,
    refused text,
    latency_ms double precision,
    cost_usd double precision,
    refusal boolean NOT NULL DEFAULT false,
    with_feedback boolean NOT NULL DEFAULT false,
    corrected boolean NOT NULL DEFAULT false,
    issues text[] NOT NULL DEFAULT '{}',
    feedback_refused integer NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, execution_id, experiment_id)
);
CREATE INDEX experiment_executions_refused ON learning.experiment_executions (organization_id, experiment_id)
    WHERE refused IS NOT NULL OR feedback_refused > 0;
SELECT learning.protect('learning.experiment_executions', 'experimenter', 'none');
"""

# Whether new feedback concerns an experiment is one probe of this index, which holds nothing else.
CARRYING = """
CREATE INDEX agent_executions_experiment ON learning.agent_executions (organization_id, id) WHERE context ?| ARRAY['experiment', 'experiments'];
"""


def upgrade() -> None:
    op.execute(COUNTED)
    op.execute(CARRYING)


def downgrade() -> None:
    op.execute("DROP TABLE learning.experiment_executions; DROP INDEX learning.agent_executions_experiment")
