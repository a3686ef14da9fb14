"""What the gate of retrieval keeps beside its scores: the parts of the tested queries that must not be harmed.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0026"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE learning.acceptance_test_items ADD COLUMN slices text[] NOT NULL DEFAULT '{}'")


def downgrade() -> None:
    op.execute("ALTER TABLE learning.acceptance_test_items DROP COLUMN slices")
