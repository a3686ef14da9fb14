"""Review: seats and leases, several reviewers per example, blind opinions, what an undo needs, the order of the queue.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TENANT = "(SELECT learning.current_organization_id()) IS NOT NULL AND organization_id = (SELECT learning.current_organization_id())"

STATE = """
-- review_round: grows when a revision is asked for, so that verdicts on the former text do not count for the next one.
-- reviews_needed: fixed when an item is first leased or judged; one more while experts disagree (adjudicating).
-- support: how many pieces of feedback say the same.
ALTER TABLE learning.learning_examples
    ADD COLUMN review_round smallint NOT NULL DEFAULT 1 CHECK (review_round > 0),
    ADD COLUMN reviews_needed smallint CHECK (reviews_needed BETWEEN 1 AND 10),
    ADD COLUMN adjudicating boolean NOT NULL DEFAULT false,
    ADD COLUMN support integer NOT NULL DEFAULT 1 CHECK (support >= 0);

-- round 0: stored before there were rounds, or by an import. base_output: the expected output that corrected_output replaces.
-- withdrawn_at: undone; it counts for nothing any more.
ALTER TABLE learning.expert_annotations
    ADD COLUMN round smallint NOT NULL DEFAULT 0 CHECK (round >= 0),
    ADD COLUMN is_verdict boolean NOT NULL DEFAULT false,
    ADD COLUMN base_output text,
    ADD COLUMN action_id uuid,
    ADD COLUMN withdrawn_at timestamptz;
CREATE UNIQUE INDEX expert_annotations_one_verdict ON learning.expert_annotations (organization_id, example_id, expert_id, round)
    WHERE is_verdict AND withdrawn_at IS NULL;

-- Reviewers wanted and how long a lease lasts: of an agent, or (nil) of every agent of the organization without a row of its own.
CREATE TABLE learning.review_settings (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    agent_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    reviewers smallint NOT NULL DEFAULT 1 CHECK (reviewers BETWEEN 1 AND 9),
    lease_seconds integer NOT NULL DEFAULT 900 CHECK (lease_seconds BETWEEN 10 AND 86400),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, agent_id)
);
SELECT learning.protect('learning.review_settings', 'expert|trainer', 'admin');

-- What an expert did with an item last. An item of a round has seats 1 … reviews_needed, and a seat is held by one expert:
-- a lease reserves it, a verdict keeps it for good.
CREATE TABLE learning.review_seats (
    organization_id uuid NOT NULL,
    example_id text NOT NULL,
    expert_id uuid NOT NULL,
    round smallint NOT NULL CHECK (round > 0),
    seat smallint NOT NULL CHECK (seat >= 0),
    state text NOT NULL DEFAULT 'leased' CHECK (state IN ('leased', 'reviewed', 'released', 'expired', 'skipped')),
    leased_until timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, example_id, expert_id),
    FOREIGN KEY (organization_id, example_id) REFERENCES learning.learning_examples ON DELETE CASCADE,
    FOREIGN KEY (organization_id, expert_id) REFERENCES learning.users
);
CREATE UNIQUE INDEX review_seats_one_holder ON learning.review_seats (organization_id, example_id, round, seat) WHERE state IN ('leased', 'reviewed');
CREATE INDEX review_seats_expert ON learning.review_seats (organization_id, expert_id, state);
SELECT learning.protect('learning.review_seats', 'expert|trainer', 'expert');

-- What one request of an expert decided, and the state each item had before and after (no texts): what an undo goes back to.
CREATE TABLE learning.review_actions (
    organization_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    expert_id uuid NOT NULL,
    kind text NOT NULL DEFAULT 'single' CHECK (kind IN ('single', 'bulk')),
    created_at timestamptz NOT NULL DEFAULT now(),
    undone_at timestamptz,
    undone_by uuid,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, expert_id) REFERENCES learning.users,
    FOREIGN KEY (organization_id, undone_by) REFERENCES learning.users
);
SELECT learning.protect('learning.review_actions', 'expert|trainer', 'expert');

CREATE TABLE learning.review_action_items (
    organization_id uuid NOT NULL,
    action_id uuid NOT NULL,
    example_id text NOT NULL,
    annotation_id uuid NOT NULL,
    before jsonb NOT NULL DEFAULT '{}',
    after jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (organization_id, action_id, example_id),
    FOREIGN KEY (organization_id, action_id) REFERENCES learning.review_actions ON DELETE CASCADE,
    FOREIGN KEY (organization_id, example_id) REFERENCES learning.learning_examples ON DELETE CASCADE,
    FOREIGN KEY (organization_id, annotation_id) REFERENCES learning.expert_annotations ON DELETE CASCADE
);
CREATE INDEX review_action_items_example ON learning.review_action_items (organization_id, example_id);
CREATE INDEX review_action_items_annotation ON learning.review_action_items (organization_id, annotation_id);
SELECT learning.protect('learning.review_action_items', 'expert|trainer', 'expert');
"""

# An expert reads what others said about an item once it is decided, or once they have judged it themselves. Trainers and admins read all;
# the routes of review act as an expert for them too.
BLIND = f"""
DROP POLICY api_read ON learning.expert_annotations;
CREATE POLICY api_read ON learning.expert_annotations FOR SELECT TO learning_api USING ({TENANT} AND ((SELECT learning.has_role('trainer')) OR (
    (SELECT learning.has_role('expert')) AND (expert_id = (SELECT learning.current_user_id())
        OR EXISTS (SELECT FROM learning.learning_examples e
            WHERE e.organization_id = expert_annotations.organization_id AND e.id = expert_annotations.example_id
              AND (e.review_status IN ('approved', 'rejected') OR e.review_round > expert_annotations.round))
        OR EXISTS (SELECT FROM learning.review_seats s
            WHERE s.organization_id = expert_annotations.organization_id AND s.example_id = expert_annotations.example_id
              AND s.expert_id = (SELECT learning.current_user_id()) AND s.state = 'reviewed' AND s.round >= expert_annotations.round)))));
"""

# The same numbers as examples/review_value.py, where they are explained; a test holds the two together.
ORDER = """
CREATE FUNCTION learning.review_priority(example_type text, confidence double precision, support integer, distrusted boolean, created_at timestamptz)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ln(CASE example_type WHEN 'correction' THEN 1.0 WHEN 'failure' THEN 1.0 WHEN 'edge_case' THEN 0.9 WHEN 'negative' THEN 0.8
            WHEN 'demonstration' THEN 0.8 WHEN 'preference' THEN 0.6 ELSE 0.4 END::double precision)
        + ln(CASE WHEN confidence IS NULL THEN 1.0 WHEN confidence <= 0 OR confidence >= 1 THEN 0.1
            ELSE greatest(0.1, -(confidence * ln(confidence) + (1 - confidence) * ln(1 - confidence)) / ln(2::double precision)) END::double precision)
        + ln(ln(1 + greatest(support, 1)::double precision) / ln(2::double precision))
        + CASE WHEN distrusted THEN ln(0.25::double precision) ELSE 0 END
        + ln(2::double precision) * extract(epoch FROM created_at - to_timestamp(0))::double precision / 2592000
$$;
CREATE INDEX learning_examples_queue ON learning.learning_examples
    (organization_id, agent_id, learning.review_priority(example_type, confidence_score, support, distrusted, created_at))
    WHERE is_active AND review_status IN ('pending', 'in_review', 'needs_revision');
CREATE INDEX learning_examples_adjudicating ON learning.learning_examples (organization_id, agent_id) WHERE adjudicating;
CREATE INDEX example_sources_input_user ON learning.example_sources (organization_id, input_user_id) WHERE input_user_id IS NOT NULL;

CREATE FUNCTION learning.support_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE learning.learning_examples e SET support = c.sources
    FROM (SELECT d.organization_id, d.example_id, count(s.feedback_id)::integer AS sources
        FROM (SELECT DISTINCT organization_id, example_id FROM changed) d
        LEFT JOIN learning.example_sources s ON s.organization_id = d.organization_id AND s.example_id = d.example_id GROUP BY 1, 2) c
    WHERE e.organization_id = c.organization_id AND e.id = c.example_id AND e.support <> c.sources;
    RETURN NULL;
END $$;
CREATE TRIGGER support_added AFTER INSERT ON learning.example_sources
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.support_changed();
CREATE TRIGGER support_removed AFTER DELETE ON learning.example_sources
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.support_changed();

UPDATE learning.learning_examples e SET support = c.sources
FROM (SELECT organization_id, example_id, count(*)::integer AS sources FROM learning.example_sources GROUP BY 1, 2 HAVING count(*) > 1) c
WHERE e.organization_id = c.organization_id AND e.id = c.example_id;
"""

DOWN = f"""
DROP TRIGGER support_removed ON learning.example_sources;
DROP TRIGGER support_added ON learning.example_sources;
DROP FUNCTION learning.support_changed;
DROP INDEX learning.learning_examples_adjudicating, learning.learning_examples_queue, learning.example_sources_input_user;
DROP FUNCTION learning.review_priority;
DROP POLICY api_read ON learning.expert_annotations;
CREATE POLICY api_read ON learning.expert_annotations FOR SELECT TO learning_api
    USING ({TENANT} AND ((SELECT learning.has_role('expert')) OR (SELECT learning.has_role('trainer'))));
DROP TABLE learning.review_action_items, learning.review_actions, learning.review_seats, learning.review_settings;
DROP INDEX learning.expert_annotations_one_verdict;
DELETE FROM learning.expert_annotations WHERE withdrawn_at IS NOT NULL;
ALTER TABLE learning.expert_annotations DROP COLUMN round, DROP COLUMN is_verdict, DROP COLUMN base_output, DROP COLUMN action_id,
    DROP COLUMN withdrawn_at;
ALTER TABLE learning.learning_examples DROP COLUMN review_round, DROP COLUMN reviews_needed, DROP COLUMN adjudicating, DROP COLUMN support;
"""


def upgrade() -> None:
    op.execute(STATE)
    op.execute(BLIND)
    op.execute(ORDER)


def downgrade() -> None:
    op.execute(DOWN)
