"""Experiments: arms and what they compare, weights over time, units and their values, sequential states, decisions.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0036"
down_revision = "0034"
branch_labels = None
depends_on = None

# arms: [{variant, version, weight}], the control first. The original's columns of two arms are kept beside them.
# kind rollout: a canary; steps are shares of the traffic in percent, step counts from 0, proposal_id is what was approved.
EXPERIMENTS = """
ALTER TABLE learning.learning_experiments
    ADD COLUMN kind text NOT NULL DEFAULT 'experiment' CHECK (kind IN ('experiment', 'rollout')),
    ADD COLUMN subject text NOT NULL DEFAULT 'prompt' CHECK (subject IN ('prompt', 'index', 'policy')),
    ADD COLUMN unit text NOT NULL DEFAULT 'user' CHECK (unit IN ('user', 'session', 'execution')),
    ADD COLUMN salt text NOT NULL DEFAULT gen_random_uuid()::text,
    ADD COLUMN exclusion_group text CHECK (exclusion_group ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    ADD COLUMN arms jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(arms) = 'array'),
    ADD COLUMN primary_metric text NOT NULL DEFAULT 'thumbs',
    ADD COLUMN guardrails text[] NOT NULL DEFAULT '{}',
    ADD COLUMN config jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN steps double precision[] NOT NULL DEFAULT '{}',
    ADD COLUMN step integer NOT NULL DEFAULT 0 CHECK (step >= 0),
    ADD COLUMN proposal_id uuid,
    ADD COLUMN created_by uuid,
    ADD FOREIGN KEY (organization_id, proposal_id) REFERENCES learning.proposals;
CREATE INDEX learning_experiments_running ON learning.learning_experiments (organization_id, agent_id, subject) WHERE status IN ('running', 'paused');
CREATE INDEX learning_experiments_proposal ON learning.learning_experiments (organization_id, proposal_id) WHERE proposal_id IS NOT NULL;
"""

# ranges: {variant: [[low, high], …]} of the hash space [0, 1): who is met for the first time while the epoch lasts gets the variant of its range;
# whoever lies in none takes no part. Analyses are stratified by epoch.
EPOCHS = """
CREATE TABLE learning.experiment_epochs (
    organization_id uuid NOT NULL,
    experiment_id uuid NOT NULL,
    epoch integer NOT NULL CHECK (epoch > 0),
    ranges jsonb NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    PRIMARY KEY (organization_id, experiment_id, epoch),
    FOREIGN KEY (organization_id, experiment_id) REFERENCES learning.learning_experiments ON DELETE CASCADE
);
SELECT learning.protect('learning.experiment_epochs', 'experimenter', 'experimenter');
ALTER TABLE learning.experiment_assignments ADD COLUMN epoch integer NOT NULL DEFAULT 1;
"""

# What a unit did and said since it was exposed: totals, so that ratios are clustered by unit, and the first value of each facet, which is the one that
# exact tests take. Kept up with the outbox; cost follows new events.
UNITS = """
CREATE TABLE learning.experiment_units (
    organization_id uuid NOT NULL,
    experiment_id uuid NOT NULL,
    unit text NOT NULL,
    variant text NOT NULL,
    epoch integer NOT NULL,
    exposed_at timestamptz NOT NULL,
    totals jsonb NOT NULL DEFAULT '{}',
    first_values jsonb NOT NULL DEFAULT '{}',
    before jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, experiment_id, unit),
    FOREIGN KEY (organization_id, experiment_id) REFERENCES learning.learning_experiments ON DELETE CASCADE
);
SELECT learning.protect('learning.experiment_units', 'experimenter', 'none');

CREATE TABLE learning.experiment_metrics (
    organization_id uuid NOT NULL,
    experiment_id uuid NOT NULL,
    metric text NOT NULL,
    epoch integer NOT NULL,
    variant text NOT NULL,
    state jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, experiment_id, metric, epoch, variant),
    FOREIGN KEY (organization_id, experiment_id) REFERENCES learning.learning_experiments ON DELETE CASCADE
);
SELECT learning.protect('learning.experiment_metrics', 'experimenter', 'none');
"""

# evidence: everything the decision was made from, so that it can be made again from it. A look that saw nothing new leaves no row.
DECISIONS = """
CREATE TABLE learning.experiment_decisions (
    organization_id uuid NOT NULL,
    experiment_id uuid NOT NULL,
    id bigint NOT NULL DEFAULT nextval('learning.arrivals'),
    decision text NOT NULL CHECK (decision IN ('adopt_treatment', 'keep_control', 'inconclusive', 'rollback')),
    final boolean NOT NULL DEFAULT false,
    reason text NOT NULL,
    evidence jsonb NOT NULL,
    decided_by text NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, experiment_id, id),
    FOREIGN KEY (organization_id, experiment_id) REFERENCES learning.learning_experiments ON DELETE CASCADE
);
SELECT learning.protect('learning.experiment_decisions', 'experimenter', 'experimenter');
"""


def upgrade() -> None:
    for step in (EXPERIMENTS, EPOCHS, UNITS, DECISIONS):
        op.execute(step)


def downgrade() -> None:
    op.execute("""
    DROP TABLE learning.experiment_decisions, learning.experiment_metrics, learning.experiment_units, learning.experiment_epochs;
    ALTER TABLE learning.experiment_assignments DROP COLUMN epoch;
    DROP INDEX learning.learning_experiments_running, learning.learning_experiments_proposal;
    ALTER TABLE learning.learning_experiments DROP COLUMN kind, DROP COLUMN subject, DROP COLUMN unit, DROP COLUMN salt, DROP COLUMN exclusion_group,
        DROP COLUMN arms, DROP COLUMN primary_metric, DROP COLUMN guardrails, DROP COLUMN config, DROP COLUMN steps, DROP COLUMN step,
        DROP COLUMN proposal_id, DROP COLUMN created_by;
    """)
