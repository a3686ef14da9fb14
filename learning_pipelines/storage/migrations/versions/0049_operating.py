"""How the whole installation stands, measured every half minute by the scheduler, so that a scraper costs one look at one row.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0049"
down_revision = "0045"
branch_labels = None
depends_on = None

# One row, of the nil organization, which is nobody's: totals over all organizations, no name of any. No principal can act for it but the service itself.
NUMBERS = """
CREATE TABLE learning.operating_numbers (
    organization_id uuid PRIMARY KEY,
    measured_at timestamptz NOT NULL DEFAULT now(),
    samples jsonb NOT NULL DEFAULT '[]'
);
SELECT learning.protect('learning.operating_numbers', 'member', 'none');
"""


def upgrade() -> None:
    op.execute(NUMBERS)


def downgrade() -> None:
    op.execute("DROP TABLE learning.operating_numbers")
