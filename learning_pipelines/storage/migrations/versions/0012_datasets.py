"""Datasets: preference pairs, exports, life cycle.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SELECT 1")


def downgrade() -> None:
    op.execute("SELECT 1")
