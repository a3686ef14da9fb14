"""Erasing rows: what is known of archived rows between the rewriting of their files and the end of the erasure; children of executions by an index.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None

# Rows of archived files that were written anew without them, kept until everything that was made of them is gone too. texts: their words.
ROWS = """
CREATE TABLE learning.erased_archive_rows (
    organization_id uuid NOT NULL,
    erasure_id uuid NOT NULL,
    table_name text NOT NULL CHECK (table_name IN ('agent_executions', 'agent_feedback')),
    row_id text NOT NULL,
    execution_id text NOT NULL,
    agent_id uuid NOT NULL,
    user_id uuid,
    session_id text,
    happened_at timestamptz NOT NULL,
    texts text[] NOT NULL,
    PRIMARY KEY (organization_id, erasure_id, table_name, row_id)
);
SELECT learning.protect('learning.erased_archive_rows', 'none', 'none');
"""

# What an agent ran for an execution goes with it. Few executions have a parent, and only these are in the index.
CHILDREN = """
CREATE INDEX agent_executions_parent ON learning.agent_executions (organization_id, parent_id) WHERE parent_id IS NOT NULL
"""


def upgrade() -> None:
    op.execute(ROWS)
    op.execute(CHILDREN)


def downgrade() -> None:
    op.execute("DROP INDEX learning.agent_executions_parent")
    op.execute("DROP TABLE learning.erased_archive_rows")
