"""Corrections: how much each matters, the clusters they fall into, what became of a cluster that was learnt.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

# total: the sum of the members' vectors by `encoder`; NULL where the pair of labels (wrong_text, right_text) is the cluster. name, wrong_text and
# right_text are of scrubbed texts. learnt_by: what of the agent's behaviour holds it, for example rules/3. looks: tests of recurrence since learnt_at.
CORRECTIONS = """
CREATE TABLE learning.correction_clusters (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    id text NOT NULL,
    name text NOT NULL DEFAULT '',
    is_confusion boolean NOT NULL DEFAULT false,
    wrong_text text NOT NULL DEFAULT '',
    right_text text NOT NULL DEFAULT '',
    encoder text NOT NULL DEFAULT '',
    total vector,
    anchors text[] NOT NULL DEFAULT '{}',
    joined bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    learnt_at timestamptz,
    learnt_by text NOT NULL DEFAULT '',
    recurrences integer NOT NULL DEFAULT 0 CHECK (recurrences >= 0),
    looks integer NOT NULL DEFAULT 0 CHECK (looks >= 0),
    last_look jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'learnt', 'recurring')),
    PRIMARY KEY (organization_id, agent_id, id),
    CHECK ((state = 'open') = (learnt_at IS NULL)),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents
);
SELECT learning.protect('learning.correction_clusters', 'expert|trainer', 'none');

CREATE TABLE learning.correction_findings (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    example_id text NOT NULL,
    content_hash bytea NOT NULL,
    significance double precision NOT NULL CHECK (significance BETWEEN 0 AND 1),
    kinds text[] NOT NULL,
    wrong_text text NOT NULL DEFAULT '',
    right_text text NOT NULL DEFAULT '',
    cluster_id text NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, example_id),
    FOREIGN KEY (organization_id, example_id) REFERENCES learning.learning_examples ON DELETE CASCADE,
    FOREIGN KEY (organization_id, agent_id, cluster_id) REFERENCES learning.correction_clusters
);
CREATE INDEX correction_findings_cluster ON learning.correction_findings (organization_id, agent_id, cluster_id);
SELECT learning.protect('learning.correction_findings', 'expert|trainer', 'none');
"""


def upgrade() -> None:
    op.execute(CORRECTIONS)


def downgrade() -> None:
    op.execute("DROP TABLE learning.correction_findings, learning.correction_clusters")
