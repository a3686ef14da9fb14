"""What a judging model says: of examples with its scores and failures, and of a sample of live executions, apart from human feedback.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0017"
down_revision = "0015"
branch_labels = None
depends_on = None

VERDICTS = """
-- fault: why there is no verdict; kept, so that it is not asked for again. judged_hash: of the text that was judged; another text deserves another verdict.
ALTER TABLE learning.judge_verdicts
    ADD COLUMN score double precision CHECK (score BETWEEN 0 AND 1),
    ADD COLUMN scores jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(scores) = 'object'),
    ADD COLUMN fault text,
    ADD COLUMN judged_hash bytea,
    ALTER COLUMN approved DROP NOT NULL,
    ADD CONSTRAINT judge_verdicts_verdict_or_fault CHECK (num_nonnulls(approved, fault) = 1);
"""

EXECUTIONS = """
-- No foreign key to executions: they are partitioned. Nothing that counts what people say reads this table.
CREATE TABLE learning.execution_scores (
    organization_id uuid NOT NULL,
    execution_id text NOT NULL,
    judge text NOT NULL,
    agent_id uuid NOT NULL,
    source text NOT NULL DEFAULT 'automated' CHECK (source = 'automated'),
    score double precision CHECK (score BETWEEN 0 AND 1),
    scores jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(scores) = 'object'),
    fault text,
    prompt_version text,
    execution_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, execution_id, judge),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    CHECK (num_nonnulls(score, fault) = 1)
);
CREATE INDEX execution_scores_agent ON learning.execution_scores (organization_id, agent_id, execution_at);
SELECT learning.protect('learning.execution_scores', 'expert|trainer', 'none');
"""


def upgrade() -> None:
    op.execute(VERDICTS)
    op.execute(EXECUTIONS)


def downgrade() -> None:
    op.execute("DROP TABLE learning.execution_scores")
    op.execute("DELETE FROM learning.judge_verdicts WHERE approved IS NULL")
    op.execute("""ALTER TABLE learning.judge_verdicts DROP CONSTRAINT judge_verdicts_verdict_or_fault, DROP COLUMN score, DROP COLUMN scores,
        DROP COLUMN fault, DROP COLUMN judged_hash, ALTER COLUMN approved SET NOT NULL""")
