"""Executions of a session are read in order by an index of their own.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0043"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    CREATE INDEX agent_executions_session_created ON learning.agent_executions (organization_id, session_id, created_at) WHERE session_id IS NOT NULL
    """)


def downgrade() -> None:
    op.execute("DROP INDEX learning.agent_executions_session_created")
