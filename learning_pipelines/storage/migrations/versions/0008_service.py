"""The feedback service: what its role may read and write beside the first steps.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TENANT = "(SELECT learning.current_organization_id()) IS NOT NULL AND organization_id = (SELECT learning.current_organization_id())"

UP = f"""
-- A token for one execution may name nobody: what it says is anonymous. Only inserting: rows without a user are nobody's own to read.
CREATE POLICY api_insert_anonymous ON learning.agent_feedback FOR INSERT TO learning_api WITH CHECK ({TENANT} AND user_id IS NULL);

-- Statistics are exact between two computations: the application may see which days changed since (ids and times, no text).
CREATE POLICY api_read ON learning.outbox FOR SELECT TO learning_api USING ({TENANT} AND (SELECT learning.sees_everyone()));
CREATE POLICY api_read ON learning.outbox_positions FOR SELECT TO learning_api USING ({TENANT} AND (SELECT learning.sees_everyone()));
GRANT SELECT ON learning.outbox, learning.outbox_positions TO learning_api;

-- Whoever authenticates a key notes that it was used, and nothing else of it.
CREATE POLICY api_touch ON learning.api_keys FOR UPDATE TO learning_api USING ({TENANT}) WITH CHECK ({TENANT});
GRANT UPDATE (last_used_at) ON learning.api_keys TO learning_api;

-- The audit only grows: its grant to update was revoked with the first steps, the policy that went with it goes too.
DROP POLICY api_update ON learning.audit_log;
"""

DOWN = f"""
CREATE POLICY api_update ON learning.audit_log FOR UPDATE TO learning_api USING ({TENANT} AND true) WITH CHECK ({TENANT} AND true);
REVOKE UPDATE (last_used_at) ON learning.api_keys FROM learning_api;
DROP POLICY api_touch ON learning.api_keys;
REVOKE SELECT ON learning.outbox, learning.outbox_positions FROM learning_api;
DROP POLICY api_read ON learning.outbox_positions;
DROP POLICY api_read ON learning.outbox;
DROP POLICY api_insert_anonymous ON learning.agent_feedback;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
