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

RUNS = """
-- The last 30 days of an agent by the version that answered ('' where executions name none). Sums, so that versions add up.
CREATE TABLE learning.prompt_performance (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    prompt_version text NOT NULL,
    first_day date NOT NULL,
    last_day date NOT NULL,
    executions bigint NOT NULL,
    rating_count bigint NOT NULL,
    rating_sum bigint NOT NULL,
    thumbs_up bigint NOT NULL,
    thumbs_down bigint NOT NULL,
    corrections bigint NOT NULL,
    latency_ms_p50 double precision,
    latency_ms_p95 double precision,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    issues jsonb NOT NULL DEFAULT '{}',
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, agent_id, prompt_version),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents
);
SELECT learning.protect('learning.prompt_performance', 'member', 'none');

-- What a search tried. messages and serving are kept of what may be used (the winner and the front); a name ends with 12 digits of the hash.
CREATE TABLE learning.prompt_candidates (
    organization_id uuid NOT NULL,
    training_run_id uuid NOT NULL,
    name text NOT NULL,
    agent_id uuid NOT NULL,
    strategy text NOT NULL,
    parent text NOT NULL DEFAULT '',
    note text NOT NULL DEFAULT '',
    content_hash bytea,
    messages jsonb,
    serving jsonb,
    shown text[] NOT NULL DEFAULT '{}',
    items integer NOT NULL CHECK (items >= 0),
    mean_score double precision CHECK (mean_score BETWEEN 0 AND 1),
    input_tokens double precision,
    seconds double precision,
    outcome text NOT NULL,
    is_winner boolean NOT NULL DEFAULT false,
    on_front boolean NOT NULL DEFAULT false,
    PRIMARY KEY (organization_id, training_run_id, name),
    FOREIGN KEY (organization_id, training_run_id) REFERENCES learning.training_runs ON DELETE CASCADE,
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents
);
CREATE INDEX prompt_candidates_agent ON learning.prompt_candidates (organization_id, agent_id);
SELECT learning.protect('learning.prompt_candidates', 'trainer', 'none');

-- How a version (or a candidate that became none) did on the items of a split: the winner and the incumbent of every run.
CREATE TABLE learning.prompt_evaluations (
    organization_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    agent_id uuid NOT NULL,
    training_run_id uuid,
    content_hash bytea NOT NULL,
    version integer,
    dataset_id uuid,
    split text NOT NULL CHECK (split IN ('validation', 'test')),
    metric text NOT NULL,
    model text NOT NULL,
    items integer NOT NULL CHECK (items > 0),
    mean_score double precision NOT NULL CHECK (mean_score BETWEEN 0 AND 1),
    low double precision,
    high double precision,
    faults integer NOT NULL DEFAULT 0,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    seconds double precision NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, training_run_id, content_hash, split),
    FOREIGN KEY (organization_id, training_run_id) REFERENCES learning.training_runs ON DELETE CASCADE,
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, dataset_id) REFERENCES learning.training_datasets
);
CREATE INDEX prompt_evaluations_agent ON learning.prompt_evaluations (organization_id, agent_id, created_at);
SELECT learning.protect('learning.prompt_evaluations', 'trainer', 'none');
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
    op.execute(RUNS)


def downgrade() -> None:
    op.execute("DROP TABLE learning.prompt_evaluations, learning.prompt_candidates, learning.prompt_performance")
    op.execute("DROP TABLE learning.acceptance_test_items, learning.acceptance_tests, learning.proposals")
    op.execute("ALTER TABLE learning.agents DROP COLUMN learning_enabled")
    op.execute("ALTER TABLE learning.prompt_versions DROP COLUMN serving")
    op.execute("REVOKE UPDATE (scores) ON learning.prompt_versions FROM learning_pipeline")
    op.execute("GRANT UPDATE ON learning.prompt_versions TO learning_api, learning_pipeline")
    op.execute(API_UPDATE)
