"""Privacy: which examples were scrubbed by which rules.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Versions are whole numbers as text: by length, then by digits, they are in order. What older rules scrubbed stands first: finding
    # none costs one probe, however many examples there are.
    op.execute("""
    CREATE INDEX learning_examples_scrub_rules ON learning.learning_examples (organization_id, agent_id, length(scrub_rules), scrub_rules, id)
    """)


def downgrade() -> None:
    op.execute("DROP INDEX learning.learning_examples_scrub_rules")
