"""Language models: answers that are kept, and what calls have used.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = """
-- The key is a hash of model, messages and parameters: what was asked is not stored a second time. Only successful answers are here.
CREATE TABLE learning.llm_responses (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    key bytea NOT NULL CHECK (octet_length(key) = 32),
    model text NOT NULL,
    answer text NOT NULL,
    cut_off boolean NOT NULL,
    input_tokens integer NOT NULL CHECK (input_tokens >= 0),
    output_tokens integer NOT NULL CHECK (output_tokens >= 0),
    cached_tokens integer NOT NULL CHECK (cached_tokens >= 0),
    seconds double precision NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, key)
);
CREATE INDEX llm_responses_created ON learning.llm_responses (created_at);
SELECT learning.protect('learning.llm_responses', 'none', 'none');

-- Sums per day, run, role and model. cost_usd is the sum where prices are known; with unpriced > 0 the whole cost is not.
CREATE TABLE learning.llm_usage (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    day date NOT NULL,
    run_id text NOT NULL,
    role text NOT NULL,
    model text NOT NULL,
    requests bigint NOT NULL CHECK (requests >= 0),
    answers bigint NOT NULL CHECK (answers >= 0),
    cache_hits bigint NOT NULL CHECK (cache_hits >= 0),
    input_tokens bigint NOT NULL CHECK (input_tokens >= 0),
    output_tokens bigint NOT NULL CHECK (output_tokens >= 0),
    cached_tokens bigint NOT NULL CHECK (cached_tokens >= 0),
    cost_usd numeric NOT NULL CHECK (cost_usd >= 0),
    unpriced bigint NOT NULL CHECK (unpriced >= 0),
    PRIMARY KEY (organization_id, day, run_id, role, model)
);
CREATE INDEX llm_usage_run ON learning.llm_usage (organization_id, run_id);
SELECT learning.protect('learning.llm_usage', 'none', 'none');
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    op.execute("DROP TABLE learning.llm_usage, learning.llm_responses;")
