"""Learning: prompt versions and labels, training runs, experiments and their assignments.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

PROMPTS = """
CREATE TABLE learning.training_runs (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    agent_id uuid,
    dataset_id uuid,
    training_type text NOT NULL CHECK (training_type IN
        ('prompt_optimization', 'rag_tuning', 'fine_tuning', 'rlhf', 'dpo', 'behavior_learning')),
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
    dagster_run_id text,
    config jsonb NOT NULL DEFAULT '{}',
    progress double precision NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
    metrics jsonb NOT NULL DEFAULT '{}',
    best_metrics jsonb NOT NULL DEFAULT '{}',
    artifact_paths text[] NOT NULL DEFAULT '{}',
    error text,
    requires_review boolean NOT NULL DEFAULT true,
    reviewed_by uuid,
    review_status text CHECK (review_status IN ('pending', 'approved', 'rejected')),
    review_notes text,
    started_at timestamptz,
    completed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, dataset_id) REFERENCES learning.training_datasets,
    FOREIGN KEY (organization_id, reviewed_by) REFERENCES learning.users
);
CREATE INDEX training_runs_agent_status ON learning.training_runs (organization_id, agent_id, status);
CREATE INDEX training_runs_dataset ON learning.training_runs (organization_id, dataset_id);
SELECT learning.protect('learning.training_runs', 'trainer', 'trainer');

CREATE TABLE learning.prompt_versions (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    parent_version integer,
    origin text NOT NULL CHECK (origin IN ('imported', 'written', 'learnt')),
    strategy text,
    messages jsonb NOT NULL CHECK (jsonb_typeof(messages) = 'array'),
    model text,
    dataset_id uuid,
    training_run_id uuid,
    scores jsonb NOT NULL DEFAULT '{}',
    content_hash bytea NOT NULL,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, agent_id, version),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, agent_id, parent_version) REFERENCES learning.prompt_versions,
    FOREIGN KEY (organization_id, dataset_id) REFERENCES learning.training_datasets,
    FOREIGN KEY (organization_id, training_run_id) REFERENCES learning.training_runs,
    FOREIGN KEY (organization_id, created_by) REFERENCES learning.users
);
SELECT learning.protect('learning.prompt_versions', 'member', 'admin');

CREATE TABLE learning.prompt_labels (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    label text NOT NULL CHECK (label ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    version integer NOT NULL,
    moved_by uuid,
    moved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, agent_id, label),
    FOREIGN KEY (organization_id, agent_id, version) REFERENCES learning.prompt_versions,
    FOREIGN KEY (organization_id, moved_by) REFERENCES learning.users
);
SELECT learning.protect('learning.prompt_labels', 'member', 'admin');
"""

EXPERIMENTS = """
CREATE TABLE learning.learning_experiments (
    organization_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    agent_id uuid NOT NULL,
    name text NOT NULL,
    description text,
    status text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'running', 'paused', 'completed', 'cancelled')),
    control_config jsonb NOT NULL DEFAULT '{}',
    treatment_config jsonb NOT NULL DEFAULT '{}',
    control_percentage double precision NOT NULL DEFAULT 50 CHECK (control_percentage BETWEEN 0 AND 100),
    treatment_percentage double precision NOT NULL DEFAULT 50 CHECK (treatment_percentage BETWEEN 0 AND 100),
    min_duration_hours integer NOT NULL DEFAULT 168 CHECK (min_duration_hours >= 0),
    min_sample_size integer NOT NULL DEFAULT 1000 CHECK (min_sample_size >= 0),
    control_metrics jsonb NOT NULL DEFAULT '{}',
    treatment_metrics jsonb NOT NULL DEFAULT '{}',
    statistical_significance double precision,
    winner text CHECK (winner IN ('control', 'treatment')),
    decision text CHECK (decision IN ('adopt_treatment', 'keep_control', 'inconclusive', 'rollback')),
    decision_notes text,
    started_at timestamptz,
    ended_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents
);
CREATE INDEX learning_experiments_agent_status ON learning.learning_experiments (organization_id, agent_id, status);
SELECT learning.protect('learning.learning_experiments', 'experimenter', 'experimenter');

CREATE TABLE learning.experiment_assignments (
    organization_id uuid NOT NULL,
    experiment_id uuid NOT NULL,
    unit text NOT NULL,
    variant text NOT NULL,
    exposed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, experiment_id, unit),
    FOREIGN KEY (organization_id, experiment_id) REFERENCES learning.learning_experiments ON DELETE CASCADE
);
SELECT learning.protect('learning.experiment_assignments', 'experimenter', 'member');
"""


def upgrade() -> None:
    op.execute(PROMPTS)
    op.execute(EXPERIMENTS)


def downgrade() -> None:
    op.execute("""
    DROP TABLE learning.experiment_assignments, learning.learning_experiments, learning.prompt_labels,
        learning.prompt_versions, learning.training_runs;
    """)
