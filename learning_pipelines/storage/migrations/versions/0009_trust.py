"""Trust: what is known about each rater, and the weight that follows from it.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SELECT 1")


def downgrade() -> None:
    op.execute("SELECT 1")
