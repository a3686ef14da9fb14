"""Datasets that know what changed since they were made; what an adjudicator is shown; counting the annotation queue.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# Append-only for whoever writes; the refresh of a dataset deletes what it saw, so that nothing that commits meanwhile is lost. One row per
# statement and agent, by triggers with the rights of whoever writes: no writer has to know that datasets depend on its rows.
TABLES = """
CREATE TABLE learning.example_changes (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    id bigint NOT NULL DEFAULT nextval('learning.arrivals'),
    -- Examples that were there before and whose content is another now; NULL: too many to name.
    reworded text[],
    PRIMARY KEY (organization_id, agent_id, id)
);
SELECT learning.protect('learning.example_changes', 'none', 'expert');

-- What the last refresh of an agent's dataset was asked and told: with the same question and no change since, that is the answer.
CREATE TABLE learning.dataset_states (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    question jsonb NOT NULL,
    answer jsonb NOT NULL,
    heard_xid xid8 NOT NULL, -- how far it had heard the outbox
    heard_id bigint NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, agent_id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents ON DELETE CASCADE
);
SELECT learning.protect('learning.dataset_states', 'none', 'none');
CREATE INDEX example_sketches_unlisted ON learning.example_sketches (organization_id, agent_id, cluster) WHERE NOT is_listed;
"""

_CONTENT = ", ".join(
    f"{{0}}.{name}"
    for name in (
        "example_type", "source_type", "source_id", "input_context", "input_text", "original_output", "expected_output", "output_a", "output_b",
        "preferred_output", "preference_strength", "domain", "task_type", "complexity", "jurisdictions", "tags",
    )
)  # fmt: skip
_COUNTED = "{0}.is_active, {0}.review_status = 'approved', {0}.user_id, {0}.created_at, {0}.content_hash, {0}.quality_score, {0}.confidence_score"

# What is neither approved nor was counts only by its input: that takes part in the search for near-duplicates.
CHANGES = f"""
CREATE FUNCTION learning.examples_came_or_went() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO learning.example_changes (organization_id, agent_id, reworded)
    SELECT DISTINCT organization_id, agent_id, '{{}}'::text[] FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER examples_came AFTER INSERT ON learning.learning_examples
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.examples_came_or_went();
CREATE TRIGGER examples_went AFTER DELETE ON learning.learning_examples
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.examples_came_or_went();

CREATE FUNCTION learning.examples_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO learning.example_changes (organization_id, agent_id, reworded)
    SELECT organization_id, agent, CASE WHEN count(*) FILTER (WHERE reworded) <= 1000 THEN coalesce(array_agg(id) FILTER (WHERE reworded), '{{}}') END
    FROM (
        SELECT n.organization_id, n.id, ARRAY[n.agent_id, o.agent_id] AS agents,
            o.id IS NULL OR ({_CONTENT.format("o")}) IS DISTINCT FROM ({_CONTENT.format("n")}) AS reworded
        FROM changed n LEFT JOIN former o ON o.organization_id = n.organization_id AND o.id = n.id
        WHERE o.id IS NULL OR o.agent_id <> n.agent_id OR o.input_text <> n.input_text OR o.is_active <> n.is_active
            OR (o.review_status = 'rejected') <> (n.review_status = 'rejected')
            OR ((o.review_status = 'approved' OR n.review_status = 'approved')
                AND ({_CONTENT.format("o")}, {_COUNTED.format("o")}) IS DISTINCT FROM ({_CONTENT.format("n")}, {_COUNTED.format("n")}))
    ) AS found, LATERAL (SELECT DISTINCT unnest(agents) AS agent) AS concerned
    WHERE agent IS NOT NULL GROUP BY 1, 2;
    RETURN NULL;
END $$;
CREATE TRIGGER examples_changed AFTER UPDATE ON learning.learning_examples
    REFERENCING OLD TABLE AS former NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.examples_changed();

-- People hold examples together. What is not approved yet is looked at when it is.
CREATE FUNCTION learning.example_people_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO learning.example_changes (organization_id, agent_id, reworded)
    SELECT DISTINCT e.organization_id, e.agent_id, '{{}}'::text[] FROM changed c
    JOIN learning.learning_examples e ON e.organization_id = c.organization_id AND e.id = c.example_id WHERE e.review_status = 'approved';
    RETURN NULL;
END $$;
CREATE TRIGGER people_came AFTER INSERT ON learning.example_sources
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.example_people_changed();
CREATE TRIGGER people_changed AFTER UPDATE ON learning.example_sources
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.example_people_changed();
CREATE TRIGGER people_went AFTER DELETE ON learning.example_sources
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.example_people_changed();

-- Ratings make pairs, by the weight of who rated. New feedback is in the outbox; deleted feedback and weights, of whatever agents, are not.
CREATE FUNCTION learning.ratings_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO learning.example_changes (organization_id, agent_id, reworded)
    SELECT DISTINCT organization_id, agent_id, '{{}}'::text[] FROM changed WHERE agent_id IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER feedback_went AFTER DELETE ON learning.agent_feedback
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.ratings_changed();

CREATE FUNCTION learning.weights_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO learning.example_changes (organization_id, agent_id, reworded) SELECT a.organization_id, a.id, '{{}}'::text[]
        FROM learning.agents a WHERE a.organization_id IN (
            SELECT n.organization_id FROM changed n LEFT JOIN former o USING (organization_id, user_id) WHERE o.weight IS DISTINCT FROM n.weight);
    ELSE
        INSERT INTO learning.example_changes (organization_id, agent_id, reworded) SELECT a.organization_id, a.id, '{{}}'::text[]
        FROM learning.agents a WHERE a.organization_id IN (SELECT organization_id FROM changed);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER weights_came AFTER INSERT ON learning.rater_weights
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.weights_changed();
CREATE TRIGGER weights_changed AFTER UPDATE ON learning.rater_weights
    REFERENCING OLD TABLE AS former NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.weights_changed();
CREATE TRIGGER weights_went AFTER DELETE ON learning.rater_weights
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.weights_changed();
"""

CHANGES_BACK = """
DROP TRIGGER weights_went ON learning.rater_weights;
DROP TRIGGER weights_changed ON learning.rater_weights;
DROP TRIGGER weights_came ON learning.rater_weights;
DROP TRIGGER feedback_went ON learning.agent_feedback;
DROP TRIGGER people_went ON learning.example_sources;
DROP TRIGGER people_changed ON learning.example_sources;
DROP TRIGGER people_came ON learning.example_sources;
DROP TRIGGER examples_changed ON learning.learning_examples;
DROP TRIGGER examples_went ON learning.learning_examples;
DROP TRIGGER examples_came ON learning.learning_examples;
DROP FUNCTION learning.weights_changed, learning.ratings_changed, learning.example_people_changed, learning.examples_changed,
    learning.examples_came_or_went;
DROP INDEX learning.example_sketches_unlisted;
DROP TABLE learning.dataset_states, learning.example_changes;
"""

# What an adjudicator chooses between: the different texts that were approved, without who approved them. The expert whose verdict opened the
# case may read the others' verdicts; the adjudicator may not, and is shown this. The index counts the annotation queue without reading texts.
REVIEW = """
ALTER TABLE learning.adjudications ADD COLUMN candidates text[] NOT NULL DEFAULT '{}';
CREATE INDEX learning_examples_open ON learning.learning_examples (organization_id, agent_id)
    INCLUDE (review_status, domain, example_type, id, user_id, reviews_needed, review_round)
    WHERE is_active AND review_status IN ('pending', 'in_review', 'needs_revision');
"""


def upgrade() -> None:
    for step in (TABLES, CHANGES, REVIEW):
        op.execute(step)


def downgrade() -> None:
    op.execute("DROP INDEX learning.learning_examples_open; ALTER TABLE learning.adjudications DROP COLUMN candidates;")
    op.execute(CHANGES_BACK)
