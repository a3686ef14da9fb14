"""Indexes that lineage goes by: from users and training runs to what is theirs.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0040"
down_revision = "0038"
branch_labels = None
depends_on = None

INDEXES = {
    "learning_examples_user": "learning_examples (organization_id, user_id) WHERE user_id IS NOT NULL",
    "demonstrations_user": "demonstrations (organization_id, user_id) WHERE user_id IS NOT NULL",
    "retrieval_events_user": "retrieval_events (organization_id, user_id) WHERE user_id IS NOT NULL",
    "experiment_assignments_unit": "experiment_assignments (organization_id, unit)",
    "dataset_uses_run": "dataset_uses (organization_id, training_run_id)",
    "acceptance_tests_run": "acceptance_tests (organization_id, training_run_id) WHERE training_run_id IS NOT NULL",
    "prompt_versions_run": "prompt_versions (organization_id, training_run_id) WHERE training_run_id IS NOT NULL",
    "index_versions_run": "index_versions (organization_id, training_run_id) WHERE training_run_id IS NOT NULL",
    "behavior_versions_run": "behavior_versions (organization_id, training_run_id) WHERE training_run_id IS NOT NULL",
}


# A dataset of 8,000 examples has some 35,000 sources: with what is asked of them in the index they are counted without a look at the rows.
SOURCES = "learning.example_sources (organization_id, example_id)"


def upgrade() -> None:
    for name, on in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON learning.{on}")
    op.execute(f"DROP INDEX learning.example_sources_example; CREATE INDEX example_sources_example ON {SOURCES} INCLUDE (feedback_id, user_id, created_at)")


def downgrade() -> None:
    op.execute(f"DROP INDEX {', '.join(f'learning.{name}' for name in INDEXES)}")
    op.execute(f"DROP INDEX learning.example_sources_example; CREATE INDEX example_sources_example ON {SOURCES}")
