"""Trainers read what their runs asked models for, and training runs are listed newest first.

Belongs here: one forward step and its way back. Not here: writing usage, which stays the pipeline's.
"""

from alembic import op

revision = "0044"
down_revision = "0041"
branch_labels = None
depends_on = None

READ = """
DO $$ BEGIN
    EXECUTE format('CREATE POLICY api_read ON learning.llm_usage FOR SELECT TO learning_api USING (%s AND %s)',
        '(SELECT learning.current_organization_id()) IS NOT NULL AND organization_id = (SELECT learning.current_organization_id())',
        learning.rule_condition('trainer'));
END $$;
GRANT SELECT ON learning.llm_usage TO learning_api;
CREATE INDEX training_runs_newest ON learning.training_runs (organization_id, created_at DESC, id DESC);
"""


def upgrade() -> None:
    op.execute(READ)


def downgrade() -> None:
    op.execute("DROP INDEX learning.training_runs_newest")
    op.execute("DROP POLICY api_read ON learning.llm_usage; REVOKE SELECT ON learning.llm_usage FROM learning_api")
