"""Indexes that answer counts of examples and annotations without a look at the rows.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0042"
down_revision = "0043"
branch_labels = None
depends_on = None

# Among a million examples, counting those that wait and those that are approved reads the first; what came today the second and the third.
INDEXES = {
    "learning_examples_counted": "learning_examples (organization_id, review_status, agent_id) WHERE is_active",
    "learning_examples_received": "learning_examples (organization_id, received_at, agent_id)",
    "expert_annotations_received": "expert_annotations (organization_id, received_at, example_id) WHERE withdrawn_at IS NULL",
}


def upgrade() -> None:
    for name, on in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON learning.{on}")


def downgrade() -> None:
    op.execute(f"DROP INDEX {', '.join(f'learning.{name}' for name in INDEXES)}")
