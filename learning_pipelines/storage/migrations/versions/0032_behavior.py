"""Behaviour: on which side of the split a demonstration stands, whose expertise counts, versions of what was learnt and the labels that serve them.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

# Whoever demonstrates counts as an expert until somebody withdraws that; a withdrawn right is remembered, so that no later import restores it.
PEOPLE = """
ALTER TABLE learning.users ADD COLUMN expertise_withdrawn_at timestamptz;
ALTER TABLE learning.demonstrations
    ADD COLUMN outcome text NOT NULL DEFAULT 'success' CHECK (outcome IN ('success', 'failure')),
    ADD COLUMN replaces text;

CREATE TABLE learning.demonstration_splits (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    demonstration_id text NOT NULL,
    split text CHECK (split IN ('train', 'validation', 'test')),
    left_out text NOT NULL DEFAULT '',
    cluster text NOT NULL DEFAULT '',
    PRIMARY KEY (organization_id, demonstration_id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, demonstration_id) REFERENCES learning.demonstrations
);
CREATE INDEX demonstration_splits_agent ON learning.demonstration_splits (organization_id, agent_id);
SELECT learning.protect('learning.demonstration_splits', 'trainer', 'none');
"""

# topic: the task type of a playbook, the cluster of rules; '' where an agent has one of the kind. number counts per agent and kind.
# Label number 0: nothing learnt serves, which is what serves before anything is approved.
VERSIONS = """
CREATE TABLE learning.behavior_versions (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('policy', 'playbook', 'rules', 'guidance', 'fine_tune')),
    number integer NOT NULL CHECK (number > 0),
    topic text NOT NULL DEFAULT '',
    parent integer,
    config jsonb NOT NULL DEFAULT '{}',
    artifact_path text,
    artifact_sha256 text,
    metrics jsonb NOT NULL DEFAULT '{}',
    training_run_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, agent_id, kind, number),
    CHECK ((artifact_path IS NULL) = (artifact_sha256 IS NULL)),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, training_run_id) REFERENCES learning.training_runs
);
SELECT learning.protect('learning.behavior_versions', 'member', 'none');

CREATE TABLE learning.behavior_labels (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('policy', 'playbook', 'rules', 'guidance', 'fine_tune')),
    topic text NOT NULL DEFAULT '',
    label text NOT NULL CHECK (label IN ('serving', 'candidate', 'previous')),
    number integer NOT NULL CHECK (number >= 0),
    moved_by uuid,
    moved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, agent_id, kind, topic, label),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, moved_by) REFERENCES learning.users
);
SELECT learning.protect('learning.behavior_labels', 'member', 'admin');
"""


def upgrade() -> None:
    op.execute(PEOPLE)
    op.execute(VERSIONS)


def downgrade() -> None:
    op.execute("DROP TABLE learning.behavior_labels, learning.behavior_versions, learning.demonstration_splits")
    op.execute("ALTER TABLE learning.demonstrations DROP COLUMN outcome, DROP COLUMN replaces")
    op.execute("ALTER TABLE learning.users DROP COLUMN expertise_withdrawn_at")
