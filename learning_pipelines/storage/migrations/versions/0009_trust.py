"""Trust: what is known about each rater, the weight that follows from it, and the sums and marks that use it.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

RATERS = """
-- A text as it is compared with others: letters and digits without case; NULL if it is too short to be anybody's own.
CREATE FUNCTION learning.text_hash(words text) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN char_length(plain) >= 20 THEN md5(plain)::uuid END
    FROM (SELECT btrim(lower(regexp_replace(words, '[^[:alnum:]]+', ' ', 'g'))) AS plain) AS normalised
$$;

-- The weight in use. A rater without a row counts as a newcomer (feedback/trust.py).
CREATE TABLE learning.rater_weights (
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    weight double precision NOT NULL CHECK (weight BETWEEN 0 AND 1),
    flags text[] NOT NULL DEFAULT '{}' CHECK (flags <@ ARRAY
        ['burst', 'constant', 'against_crowd', 'against_experts', 'self_votes', 'copied_texts', 'lockstep']),
    signals jsonb NOT NULL DEFAULT '{}',
    ratings bigint NOT NULL CHECK (ratings >= 0),
    rules text NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, user_id),
    FOREIGN KEY (organization_id, user_id) REFERENCES learning.users ON DELETE CASCADE
);
SELECT learning.protect('learning.rater_weights', 'own', 'none');

-- Hashes of normalised comments and corrections by who sent them, so that copies are found without reading old texts again.
-- executions: up to three that the text was sent about; more say nothing new.
CREATE TABLE learning.feedback_texts (
    organization_id uuid NOT NULL,
    text_hash uuid NOT NULL,
    user_id uuid NOT NULL,
    executions text[] NOT NULL,
    is_correction boolean NOT NULL,
    PRIMARY KEY (organization_id, text_hash, user_id)
);
CREATE INDEX feedback_texts_user ON learning.feedback_texts (organization_id, user_id);
SELECT learning.protect('learning.feedback_texts', 'none', 'none');
"""

USES = """
-- `distrusted`: nobody but raters of next to no weight supports it; it waits for review like any other, marked.
ALTER TABLE learning.learning_examples ADD COLUMN distrusted boolean NOT NULL DEFAULT false;
CREATE INDEX learning_examples_reviewed ON learning.learning_examples (organization_id, reviewed_at) WHERE reviewed_at IS NOT NULL;

-- The same sums as the raw ones beside them, each feedback multiplied by its rater's weight.
-- NULL: computed before there were weights; the next computation of the day fills it in.
ALTER TABLE learning.feedback_metrics
    ADD COLUMN rating_weight_sum double precision,
    ADD COLUMN rating_weighted_sum double precision,
    ADD COLUMN thumbs_up_weighted double precision,
    ADD COLUMN thumbs_down_weighted double precision;
"""


def upgrade() -> None:
    op.execute(RATERS)
    op.execute(USES)


def downgrade() -> None:
    op.execute("""
    ALTER TABLE learning.feedback_metrics DROP COLUMN rating_weight_sum, DROP COLUMN rating_weighted_sum,
        DROP COLUMN thumbs_up_weighted, DROP COLUMN thumbs_down_weighted;
    DROP INDEX learning.learning_examples_reviewed;
    ALTER TABLE learning.learning_examples DROP COLUMN distrusted;
    DROP TABLE learning.feedback_texts, learning.rater_weights;
    DROP FUNCTION learning.text_hash;
    """)
