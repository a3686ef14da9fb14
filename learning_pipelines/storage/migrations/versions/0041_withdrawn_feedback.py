"""Feedback that takes back: it supersedes what the same user said before, and is itself not in force.

Belongs here: one forward step and its way back. Not here: which feedback may take back (feedback/kinds.py).
"""

import importlib

from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

capture = importlib.import_module("learning_pipelines.storage.migrations.versions.0002_capture")
_PLAIN = "(f.facets & ~coalesce(newer.facets, 0))::smallint"
_WITHDRAWN = "(CASE WHEN f.withdrawn THEN 0 ELSE f.facets & ~coalesce(newer.facets, 0) END)::smallint"


def upgrade() -> None:
    assert _PLAIN in capture.IN_FORCE
    op.execute("ALTER TABLE learning.agent_feedback ADD COLUMN withdrawn boolean NOT NULL DEFAULT false")
    op.execute("DROP VIEW learning.feedback_in_force")
    op.execute(capture.IN_FORCE.replace(_PLAIN, _WITHDRAWN))


def downgrade() -> None:
    op.execute("DROP VIEW learning.feedback_in_force; ALTER TABLE learning.agent_feedback DROP COLUMN withdrawn")
    op.execute(capture.IN_FORCE)
