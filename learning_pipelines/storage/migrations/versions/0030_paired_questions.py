"""Which questions have their training pairs, and which word of people a judged answer was.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0030"
down_revision = "0026"
branch_labels = None
depends_on = None

# paired: what the pairs of a question were last made from (a hash of its judgements, its neighbours' and the rules); NULL: not yet.
PAIRED = """
ALTER TABLE learning.retrieval_queries ADD COLUMN paired text;
ALTER TABLE learning.retrieval_answers ADD COLUMN origin text NOT NULL DEFAULT 'rating' CHECK (origin IN ('rating', 'correction'));
"""


def upgrade() -> None:
    op.execute(PAIRED)


def downgrade() -> None:
    op.execute("ALTER TABLE learning.retrieval_queries DROP COLUMN paired")
    op.execute("ALTER TABLE learning.retrieval_answers DROP COLUMN origin")
