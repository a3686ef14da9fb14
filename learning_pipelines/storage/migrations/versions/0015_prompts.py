"""Prompts that are learnt: how a version picks demonstrations, tests it was put to, proposals and their approval.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

VERSIONS = """
-- serving: what is done for each input beside the messages, for example {"retrieval": {"k": 5, "dataset_id": "…"}}; {} for nothing.
ALTER TABLE learning.prompt_versions ADD COLUMN serving jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(serving) = 'object');
-- A version never changes; what was measured of it may be added.
REVOKE UPDATE ON learning.prompt_versions FROM learning_api, learning_pipeline;
DROP POLICY api_update ON learning.prompt_versions;
GRANT UPDATE (scores) ON learning.prompt_versions TO learning_pipeline;
-- Whether the agent may learn: where false, its learning jobs end skipped and nothing learnt is approved. What serves stays.
ALTER TABLE learning.agents ADD COLUMN learning_enabled boolean NOT NULL DEFAULT true;
"""

TABLES = """
-- A change somebody may approve. subject and incumbent name what is compared (for prompts {"version": n}).
CREATE TABLE learning.proposals (
    organization_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    agent_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('prompt', 'index', 'reranker', 'expansion', 'chunk_edit', 'policy', 'playbook', 'fine_tune')),
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'approved', 'rejected')),
    verdict text NOT NULL CHECK (verdict IN ('better', 'no evidence', 'worse')),
    subject jsonb NOT NULL,
    incumbent jsonb NOT NULL,
    evidence jsonb NOT NULL DEFAULT '{}',
    training_run_id uuid,
    dagster_run_id text,
    rollout text CHECK (rollout IN ('immediate', 'canary')),
    reviewed_by uuid,
    reviewed_at timestamptz,
    notes text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, training_run_id) REFERENCES learning.training_runs,
    FOREIGN KEY (organization_id, reviewed_by) REFERENCES learning.users
);
CREATE INDEX proposals_agent ON learning.proposals (organization_id, agent_id, kind, state);
SELECT learning.protect('learning.proposals', 'trainer', 'admin');

-- One meeting of a candidate with the incumbent on held-out items. alpha is spent when the row is written, before anything is scored.
CREATE TABLE learning.acceptance_tests (
    organization_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    agent_id uuid NOT NULL,
    kind text NOT NULL,
    training_run_id uuid,
    candidate jsonb NOT NULL,
    incumbent jsonb NOT NULL,
    k integer NOT NULL CHECK (k > 0),
    alpha double precision NOT NULL CHECK (alpha > 0 AND alpha < 1),
    evidence jsonb NOT NULL DEFAULT '{}',
    verdict text CHECK (verdict IN ('better', 'no evidence', 'worse')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, training_run_id) REFERENCES learning.training_runs
);
CREATE INDEX acceptance_tests_agent ON learning.acceptance_tests (organization_id, agent_id, kind, created_at);
SELECT learning.protect('learning.acceptance_tests', 'trainer', 'none');

CREATE TABLE learning.acceptance_test_items (
    organization_id uuid NOT NULL,
    test_id uuid NOT NULL,
    example_id text NOT NULL,
    incumbent_score double precision CHECK (incumbent_score BETWEEN 0 AND 1),
    candidate_score double precision CHECK (candidate_score BETWEEN 0 AND 1),
    PRIMARY KEY (organization_id, test_id, example_id),
    FOREIGN KEY (organization_id, test_id) REFERENCES learning.acceptance_tests ON DELETE CASCADE
);
CREATE INDEX acceptance_test_items_example ON learning.acceptance_test_items (organization_id, example_id);
SELECT learning.protect('learning.acceptance_test_items', 'trainer', 'none');
"""


API_UPDATE = """
DO $$ BEGIN
    EXECUTE format('CREATE POLICY api_update ON learning.prompt_versions FOR UPDATE TO learning_api USING (%1$s) WITH CHECK (%1$s)',
        '(SELECT learning.current_organization_id()) IS NOT NULL AND organization_id = (SELECT learning.current_organization_id()) AND '
        || learning.rule_condition('admin'));
END $$
"""


def upgrade() -> None:
    op.execute(VERSIONS)
    op.execute(TABLES)


def downgrade() -> None:
    op.execute("DROP TABLE learning.acceptance_test_items, learning.acceptance_tests, learning.proposals")
    op.execute("ALTER TABLE learning.agents DROP COLUMN learning_enabled")
    op.execute("ALTER TABLE learning.prompt_versions DROP COLUMN serving")
    op.execute("REVOKE UPDATE (scores) ON learning.prompt_versions FROM learning_pipeline")
    op.execute("GRANT UPDATE ON learning.prompt_versions TO learning_api, learning_pipeline")
    op.execute(API_UPDATE)
