"""What people say about search results: questions counted together, splits, training pairs, relevance of chunks corrected for position.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0023"
down_revision = "0027"
branch_labels = None
depends_on = None

# The same question asked twice is one question, however it is spaced or capitalized. A generated column, so that whatever counts events of a
# question finds them by index and no event is copied.
QUESTIONS = r"""
CREATE FUNCTION learning.question_id(question text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN md5(lower(btrim(regexp_replace(normalize(question, NFKC), '\s+', ' ', 'g'))));
ALTER TABLE learning.retrieval_events ADD COLUMN question_id text NOT NULL GENERATED ALWAYS AS (learning.question_id(query)) STORED;
CREATE INDEX retrieval_events_question ON learning.retrieval_events (organization_id, agent_id, question_id);

-- text: without personal data. place: numbers the questions of an agent, oldest first; near: the lowest place of those that are nearly the same
-- question (NULL: not searched yet, by `rule`). unknown: passages that were named and are neither a live document nor a live chunk. sources: events
-- and answers behind it, of them `answers` judged answers; contradictions: documents that some found helpful and others did not.
ALTER TABLE learning.retrieval_queries
    ADD COLUMN place bigint,
    ADD COLUMN near bigint,
    ADD COLUMN rule text,
    ADD COLUMN sketch bytea,
    ADD COLUMN encoder text,
    ADD COLUMN embedding halfvec,
    ADD COLUMN unknown jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN answers integer NOT NULL DEFAULT 0 CHECK (answers >= 0),
    ADD COLUMN contradictions integer NOT NULL DEFAULT 0 CHECK (contradictions >= 0),
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
CREATE UNIQUE INDEX retrieval_queries_place ON learning.retrieval_queries (organization_id, agent_id, place);

-- Executions that say which passages they were given and whose answers were judged: a weak word about those passages. gains: passage -> 0..1.
CREATE TABLE learning.retrieval_answers (
    organization_id uuid NOT NULL,
    execution_id text NOT NULL,
    agent_id uuid NOT NULL,
    question_id text NOT NULL,
    people text[] NOT NULL DEFAULT '{}',
    gains jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, execution_id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents
);
CREATE INDEX retrieval_answers_question ON learning.retrieval_answers (organization_id, agent_id, question_id);
SELECT learning.protect('learning.retrieval_answers', 'trainer', 'none');

-- What the questions of an agent were last resolved against: another corpus means that ids may mean something else.
CREATE TABLE learning.retrieval_feedback_state (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    corpus text NOT NULL,
    relevance_of text NOT NULL DEFAULT '',
    pairs_of text NOT NULL DEFAULT '',
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, agent_id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents
);
SELECT learning.protect('learning.retrieval_feedback_state', 'none', 'none');
"""

# One row per question and passage: what it is to that question. origin: which word of people it rests on, or that it was mined.
PAIRS = """
ALTER TABLE learning.embedding_training_pairs
    ADD COLUMN query_id text,
    ADD COLUMN chunk_id text,
    ADD COLUMN origin text NOT NULL DEFAULT 'feedback' CHECK (origin IN ('feedback', 'rating', 'correction', 'mined')),
    ADD COLUMN similarity real,
    ADD COLUMN rules text NOT NULL DEFAULT '',
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
CREATE UNIQUE INDEX embedding_training_pairs_once ON learning.embedding_training_pairs (organization_id, agent_id, query_id, chunk_id);
CREATE INDEX embedding_training_pairs_created ON learning.embedding_training_pairs (organization_id, agent_id, created_at);
"""

# examined: how often a person looked at the chunk, as the fitted curve says; helpful: how often of these it helped. The posterior is
# Beta(alpha, beta); mean, low and high are its mean and its 95 % interval.
RELEVANCE = """
CREATE TABLE learning.chunk_relevance (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    chunk_id text NOT NULL,
    shown double precision NOT NULL CHECK (shown >= 0),
    examined double precision NOT NULL CHECK (examined >= 0),
    helpful double precision NOT NULL CHECK (helpful >= 0),
    alpha double precision NOT NULL CHECK (alpha > 0),
    beta double precision NOT NULL CHECK (beta > 0),
    mean double precision NOT NULL CHECK (mean BETWEEN 0 AND 1),
    low double precision NOT NULL CHECK (low BETWEEN 0 AND 1),
    high double precision NOT NULL CHECK (high BETWEEN 0 AND 1),
    fitted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, agent_id, chunk_id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, chunk_id) REFERENCES learning.knowledge_chunks ON DELETE CASCADE
);
SELECT learning.protect('learning.chunk_relevance', 'trainer', 'none');

CREATE TABLE learning.examination_curves (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    rank integer NOT NULL CHECK (rank > 0),
    examination double precision NOT NULL CHECK (examination BETWEEN 0 AND 1),
    shown double precision NOT NULL CHECK (shown >= 0),
    helpful double precision NOT NULL CHECK (helpful >= 0),
    fitted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, agent_id, rank),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents
);
SELECT learning.protect('learning.examination_curves', 'trainer', 'none');
"""


def upgrade() -> None:
    op.execute(QUESTIONS)
    op.execute(PAIRS)
    op.execute(RELEVANCE)


def downgrade() -> None:
    op.execute("DROP TABLE learning.chunk_relevance, learning.examination_curves, learning.retrieval_answers, learning.retrieval_feedback_state")
    op.execute("""
    DROP INDEX learning.embedding_training_pairs_created;
    ALTER TABLE learning.embedding_training_pairs DROP COLUMN query_id, DROP COLUMN chunk_id, DROP COLUMN origin, DROP COLUMN similarity,
        DROP COLUMN rules, DROP COLUMN updated_at;
    ALTER TABLE learning.retrieval_queries DROP COLUMN place, DROP COLUMN near, DROP COLUMN rule, DROP COLUMN sketch, DROP COLUMN encoder,
        DROP COLUMN embedding, DROP COLUMN unknown, DROP COLUMN answers, DROP COLUMN contradictions, DROP COLUMN updated_at;
    ALTER TABLE learning.retrieval_events DROP COLUMN question_id;
    DROP FUNCTION learning.question_id(text);
    """)
