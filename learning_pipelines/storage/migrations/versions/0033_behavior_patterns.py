"""What demonstrations have in common: frequent sequences, transitions, and what failures do that successes do not.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0033"
down_revision = "0035"
branch_labels = None
depends_on = None

# number: in the order in which they are told, of one agent; a type may be as long as it likes, so the sequence itself is no key.
# support and total: demonstrations that hold it, of all of the task type (anti: failures). times and of_times: what the confidence is of (anti: successes).
PATTERNS = """
CREATE TABLE learning.behavior_patterns (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    kind text NOT NULL CHECK (kind IN ('pattern', 'transition', 'anti')),
    task_type text NOT NULL DEFAULT '',
    how text NOT NULL DEFAULT 'done' CHECK (how IN ('done', 'omitted')),
    types text[] NOT NULL,
    support integer NOT NULL CHECK (support >= 0),
    total integer NOT NULL CHECK (total >= support),
    times integer NOT NULL CHECK (times >= 0),
    of_times integer NOT NULL CHECK (of_times >= times),
    low double precision NOT NULL,
    high double precision NOT NULL,
    lift double precision NOT NULL,
    p double precision CHECK (p BETWEEN 0 AND 1),
    q double precision CHECK (q BETWEEN 0 AND 1),
    evidence text[] NOT NULL DEFAULT '{}',
    computed_by text,
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, agent_id, number),
    CHECK ((kind = 'anti') = (p IS NOT NULL AND q IS NOT NULL)),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents
);
SELECT learning.protect('learning.behavior_patterns', 'trainer', 'none');
"""


def upgrade() -> None:
    op.execute(PATTERNS)


def downgrade() -> None:
    op.execute("DROP TABLE learning.behavior_patterns")
