"""Weekly reports: scores of what serves on frozen held-out sets, and deliveries.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0045"
down_revision = "0046"
branch_labels = None
depends_on = None

# items: ids in their order (for an index {id: {document: gain}} beside it in `gains`); no texts. content_hash: of everything that is scored, texts too:
# where it is no longer the same, the next number is frozen and `reason` says why.
SCORES = """
CREATE TABLE learning.serving_sets (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('prompt', 'index')),
    number integer NOT NULL CHECK (number > 0),
    dataset_id uuid,
    items text[] NOT NULL CHECK (cardinality(items) > 0),
    gains jsonb NOT NULL DEFAULT '{}',
    content_hash bytea NOT NULL,
    reason text NOT NULL,
    frozen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, agent_id, kind, number),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, dataset_id) REFERENCES learning.training_datasets
);
SELECT learning.protect('learning.serving_sets', 'trainer', 'none');

-- scores: one per item of the set, in its order. n = 0: nothing was measured, and reason says why. subject: what answered (content, guidance, model).
CREATE TABLE learning.serving_scores (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('prompt', 'index')),
    week date NOT NULL CHECK (extract(isodow FROM week) = 1),
    set_number integer,
    version integer,
    subject text NOT NULL DEFAULT '',
    metric text NOT NULL DEFAULT '',
    model text NOT NULL DEFAULT '',
    n integer NOT NULL CHECK (n >= 0),
    score double precision CHECK (score BETWEEN 0 AND 1),
    low double precision,
    high double precision,
    scores double precision[] NOT NULL DEFAULT '{}',
    faults integer NOT NULL DEFAULT 0,
    calls integer NOT NULL DEFAULT 0,
    drift jsonb NOT NULL DEFAULT '{}',
    reason text NOT NULL DEFAULT '',
    measured_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, agent_id, kind, week),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, agent_id, kind, set_number) REFERENCES learning.serving_sets,
    CHECK (cardinality(scores) = n AND (n = 0) = (reason <> ''))
);
SELECT learning.protect('learning.serving_scores', 'member', 'none');
"""

# The row is written before anything is sent: whoever finds it `sending` does not know whether it arrived, and does not send again.
DELIVERIES = """
CREATE TABLE learning.report_deliveries (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    week date NOT NULL CHECK (extract(isodow FROM week) = 1),
    channel text NOT NULL CHECK (channel IN ('email', 'slack', 'webhook')),
    state text NOT NULL CHECK (state IN ('sending', 'sent', 'failed', 'unknown')),
    attempts integer NOT NULL DEFAULT 0,
    error text NOT NULL DEFAULT '',
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, week, channel)
);
SELECT learning.protect('learning.report_deliveries', 'admin', 'none');
"""


def upgrade() -> None:
    op.execute(SCORES)
    op.execute(DELIVERIES)


def downgrade() -> None:
    op.execute("DROP TABLE learning.report_deliveries, learning.serving_scores, learning.serving_sets")
