"""Curation: duplicate clusters, conflicts, quality scores, reliability of experts.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

DUPLICATES = """
-- What an input looks like to the search for near-duplicates (examples/sketches.py), so that a newcomer is compared with all earlier
-- inputs without reading one of them. number: 0, 1, … in order of arrival per agent; cluster: the lowest number in its cluster;
-- is_listed: whether every pair with this input is among duplicate_links (not where the cluster was too large when it came);
-- rule and encoder: under which settings it was searched, and by whose vectors; nearest: cosine to the nearest other input (NULL without an encoder).
CREATE TABLE learning.example_sketches (
    organization_id uuid NOT NULL,
    example_id text NOT NULL,
    agent_id uuid NOT NULL,
    number bigint NOT NULL,
    cluster bigint NOT NULL,
    is_listed boolean NOT NULL,
    rule text NOT NULL,
    encoder text,
    input_hash bytea NOT NULL,
    sketch bytea NOT NULL,
    nearest real,
    is_rare boolean NOT NULL DEFAULT false,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, example_id),
    UNIQUE (organization_id, agent_id, number),
    FOREIGN KEY (organization_id, example_id) REFERENCES learning.learning_examples ON DELETE CASCADE
);
CREATE INDEX example_sketches_cluster ON learning.example_sketches (organization_id, agent_id, cluster);
SELECT learning.protect('learning.example_sketches', 'expert|trainer', 'none');

-- One vector per example and encoder: a change of the encoder adds, and going back to the former one costs nothing.
CREATE TABLE learning.example_embeddings (
    organization_id uuid NOT NULL,
    encoder text NOT NULL,
    example_id text NOT NULL,
    agent_id uuid NOT NULL,
    embedding halfvec NOT NULL,
    PRIMARY KEY (organization_id, encoder, example_id),
    FOREIGN KEY (organization_id, example_id) REFERENCES learning.learning_examples ON DELETE CASCADE
);
CREATE INDEX example_embeddings_example ON learning.example_embeddings (organization_id, example_id);
SELECT learning.protect('learning.example_embeddings', 'expert|trainer', 'none');

-- Near-duplicate pairs, first_id < second_id: every pair of a cluster that is small enough to be listed (examples/clusters.py).
-- compared: hash of the two examples' outputs when they were last compared; contradiction: what was found then, NULL for nothing.
CREATE TABLE learning.duplicate_links (
    organization_id uuid NOT NULL,
    first_id text NOT NULL,
    second_id text NOT NULL,
    agent_id uuid NOT NULL,
    similarity real NOT NULL CHECK (similarity BETWEEN 0 AND 1.001),
    leg text NOT NULL DEFAULT 'text' CHECK (leg IN ('text', 'embedding')),
    compared bytea,
    contradiction text,
    PRIMARY KEY (organization_id, first_id, second_id),
    CHECK (first_id < second_id),
    FOREIGN KEY (organization_id, first_id) REFERENCES learning.learning_examples ON DELETE CASCADE,
    FOREIGN KEY (organization_id, second_id) REFERENCES learning.learning_examples ON DELETE CASCADE
);
CREATE INDEX duplicate_links_second ON learning.duplicate_links (organization_id, second_id);
CREATE INDEX duplicate_links_agent ON learning.duplicate_links (organization_id, agent_id);
SELECT learning.protect('learning.duplicate_links', 'expert|trainer', 'none');

-- Clusters of two or more active examples, and who is in them.
CREATE VIEW learning.duplicate_clusters WITH (security_invoker = true) AS
SELECT s.organization_id, s.agent_id, s.cluster, count(*)::integer AS size, array_agg(s.example_id ORDER BY s.number) AS example_ids
FROM learning.example_sketches s JOIN learning.learning_examples e ON e.organization_id = s.organization_id AND e.id = s.example_id
WHERE e.is_active AND e.review_status <> 'rejected'
GROUP BY s.organization_id, s.agent_id, s.cluster HAVING count(*) > 1;
GRANT SELECT ON learning.duplicate_clusters TO learning_pipeline, learning_api;

-- Two examples with the same or a near-duplicate input that contradict each other. The hashes are those of the outputs that were
-- compared: once one of them changes, the conflict is no longer what was found.
CREATE TABLE learning.example_conflicts (
    organization_id uuid NOT NULL,
    first_id text NOT NULL,
    second_id text NOT NULL,
    agent_id uuid NOT NULL,
    reason text NOT NULL,
    first_output bytea NOT NULL,
    second_output bytea NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'dismissed', 'resolved')),
    found_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    settled_by uuid,
    notes text,
    PRIMARY KEY (organization_id, first_id, second_id),
    CHECK (first_id < second_id),
    FOREIGN KEY (organization_id, first_id) REFERENCES learning.learning_examples ON DELETE CASCADE,
    FOREIGN KEY (organization_id, second_id) REFERENCES learning.learning_examples ON DELETE CASCADE,
    FOREIGN KEY (organization_id, settled_by) REFERENCES learning.users
);
CREATE INDEX example_conflicts_open ON learning.example_conflicts (organization_id, agent_id) WHERE status = 'open';
CREATE INDEX example_conflicts_second ON learning.example_conflicts (organization_id, second_id);
SELECT learning.protect('learning.example_conflicts', 'expert|trainer', 'expert');
"""

VERDICTS = """
-- The verdict in force of each expert on each example: the newest of the latest round with verdicts (earlier rounds were about another
-- text; 0 is the first), unless withdrawn. 0 rejected, 1 needs revision, 2 approved; score 0..1: half verdict, half mean of the given
-- dimensions. An explanation or a category without a decision is no verdict.
CREATE VIEW learning.expert_verdicts WITH (security_invoker = true) AS
SELECT DISTINCT ON (n.organization_id, n.example_id, n.expert_id)
    n.organization_id, n.example_id, n.expert_id, v.verdict,
    CASE WHEN d.mean IS NULL THEN v.verdict / 2.0 ELSE (v.verdict / 2.0 + d.mean) / 2 END::double precision AS score,
    CASE WHEN n.is_verified AND n.verified_by <> n.expert_id THEN n.verified_by END AS verified_by, n.created_at
FROM (
    SELECT *, rank() OVER (PARTITION BY organization_id, example_id ORDER BY greatest(round, 1) DESC) AS age
    FROM learning.expert_annotations
    WHERE withdrawn_at IS NULL AND (approved IS NOT NULL OR annotation_type IN ('quality_assessment', 'correction'))
) n
CROSS JOIN LATERAL (SELECT CASE n.approved WHEN true THEN 2 WHEN false THEN 0 ELSE 1 END::smallint AS verdict) v
CROSS JOIN LATERAL (SELECT avg(given) AS mean
    FROM unnest(ARRAY[n.technical_accuracy, n.professional_quality, n.completeness, n.clarity]) AS dimensions (given)) d
WHERE n.age = 1
ORDER BY n.organization_id, n.example_id, n.expert_id, n.created_at DESC, n.received_at DESC, n.id;
GRANT SELECT ON learning.expert_verdicts TO learning_api, learning_pipeline;

CREATE TABLE learning.expert_reliability (
    organization_id uuid NOT NULL,
    expert_id uuid NOT NULL,
    reviews integer NOT NULL CHECK (reviews >= 0),
    shared integer NOT NULL CHECK (shared >= 0),
    reliability double precision NOT NULL CHECK (reliability BETWEEN 0 AND 1),
    confusion jsonb NOT NULL DEFAULT '[]',
    fitted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, expert_id),
    FOREIGN KEY (organization_id, expert_id) REFERENCES learning.users
);
SELECT learning.protect('learning.expert_reliability', 'trainer', 'none');

-- Examples on which experts disagree, and who decided (contradictory examples: example_conflicts). While one is open, the example's
-- column adjudicating is true; a newer disagreement opens it again.
CREATE TABLE learning.adjudications (
    organization_id uuid NOT NULL,
    example_id text NOT NULL,
    agent_id uuid NOT NULL,
    reason text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    resolved_by uuid,
    PRIMARY KEY (organization_id, example_id),
    FOREIGN KEY (organization_id, example_id) REFERENCES learning.learning_examples ON DELETE CASCADE,
    FOREIGN KEY (organization_id, resolved_by) REFERENCES learning.users
);
CREATE INDEX adjudications_open ON learning.adjudications (organization_id, agent_id) WHERE resolved_at IS NULL;
SELECT learning.protect('learning.adjudications', 'expert|trainer', 'expert');

-- What a judging model says about an example: whether it should be learnt from. Written by whatever runs the judge; agreement reads it.
CREATE TABLE learning.judge_verdicts (
    organization_id uuid NOT NULL,
    example_id text NOT NULL,
    judge text NOT NULL,
    approved boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, example_id, judge),
    FOREIGN KEY (organization_id, example_id) REFERENCES learning.learning_examples ON DELETE CASCADE
);
SELECT learning.protect('learning.judge_verdicts', 'expert|trainer', 'none');

-- How far raters agree about an agent; period is `all` or a week (YYYY-Www). counts: the distinct rows that it was computed from.
CREATE TABLE learning.annotation_agreement (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    pair text NOT NULL,
    period text NOT NULL,
    units integer NOT NULL CHECK (units >= 0),
    alpha double precision CHECK (alpha <= 1),
    alpha_low double precision,
    alpha_high double precision,
    kappa double precision,
    kappa_low double precision,
    kappa_high double precision,
    undefined text NOT NULL DEFAULT '',
    counts jsonb NOT NULL DEFAULT '[]',
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, agent_id, pair, period),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents
);
SELECT learning.protect('learning.annotation_agreement', 'expert|trainer', 'none');
"""

QUALITY = """
-- Calibrations of an organization; a version is never changed. knots: [[evidence, score], …], non-decreasing.
CREATE TABLE learning.quality_calibrations (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    version integer NOT NULL CHECK (version > 0),
    method text NOT NULL DEFAULT 'prior' CHECK (method IN ('prior', 'isotonic')),
    knots jsonb NOT NULL,
    verdicts integer NOT NULL CHECK (verdicts >= 0),
    numbers jsonb NOT NULL DEFAULT '{}',
    fitted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, version)
);
SELECT learning.protect('learning.quality_calibrations', 'trainer', 'none');

-- What the quality score of an example was made of. evidence NULL: nobody has said anything about it, so there is no score.
CREATE TABLE learning.example_quality (
    organization_id uuid NOT NULL,
    example_id text NOT NULL,
    agent_id uuid NOT NULL,
    imported_score double precision CHECK (imported_score BETWEEN 0 AND 1),
    experts integer NOT NULL DEFAULT 0 CHECK (experts >= 0),
    expert_score double precision CHECK (expert_score BETWEEN 0 AND 1),
    supporting double precision NOT NULL DEFAULT 0 CHECK (supporting >= 0),
    contradicting double precision NOT NULL DEFAULT 0 CHECK (contradicting >= 0),
    agreement double precision CHECK (agreement BETWEEN 0 AND 1),
    evidence double precision CHECK (evidence BETWEEN 0 AND 1),
    score double precision CHECK (score BETWEEN 0 AND 1),
    calibration integer,
    scored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, example_id),
    FOREIGN KEY (organization_id, example_id) REFERENCES learning.learning_examples ON DELETE CASCADE
);
CREATE INDEX example_quality_agent_calibration ON learning.example_quality (organization_id, agent_id, calibration);
CREATE INDEX example_quality_agent_scored ON learning.example_quality (organization_id, agent_id, scored_at);
SELECT learning.protect('learning.example_quality', 'expert|trainer', 'none');

-- Examples whose evidence changed since they were scored. Append-only for whoever writes; the reader deletes what it saw, so that nothing
-- that commits meanwhile is lost. No foreign key: an entry of an example that is gone is deleted like any other.
CREATE TABLE learning.stale_quality (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    id bigint NOT NULL DEFAULT nextval('learning.arrivals'),
    example_id text NOT NULL,
    PRIMARY KEY (organization_id, agent_id, id)
);
SELECT learning.protect('learning.stale_quality', 'none', 'expert');

-- What a computation over many rows saw last: equal fingerprint, nothing to do. agent_id is nil for what concerns an organization.
CREATE TABLE learning.curation_state (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    name text NOT NULL,
    fingerprint text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, agent_id, name)
);
SELECT learning.protect('learning.curation_state', 'none', 'none');

CREATE INDEX example_sources_user ON learning.example_sources (organization_id, user_id) WHERE user_id IS NOT NULL;
"""

# One insert per statement with the rights of whoever writes (import, API, pipeline): no writer has to know that scores depend on its rows.
STALE = """
CREATE FUNCTION learning.example_is_stale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO learning.stale_quality (organization_id, agent_id, example_id) SELECT organization_id, agent_id, id FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER example_is_stale AFTER INSERT ON learning.learning_examples
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.example_is_stale();

CREATE FUNCTION learning.annotated_is_stale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO learning.stale_quality (organization_id, agent_id, example_id)
    SELECT DISTINCT e.organization_id, e.agent_id, e.id FROM changed c
    JOIN learning.learning_examples e ON e.organization_id = c.organization_id AND e.id = c.example_id;
    RETURN NULL;
END $$;
CREATE TRIGGER annotation_added AFTER INSERT ON learning.expert_annotations
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.annotated_is_stale();
CREATE TRIGGER annotation_changed AFTER UPDATE ON learning.expert_annotations
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.annotated_is_stale();
CREATE TRIGGER annotation_removed AFTER DELETE ON learning.expert_annotations
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.annotated_is_stale();

-- What rests on a rater's feedback, or is contradicted by it, when the weight moved by more than a hundredth; without a row it was that
-- of a newcomer (storage/trust_weights.py).
CREATE FUNCTION learning.weighted_is_stale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO learning.stale_quality (organization_id, agent_id, example_id)
        SELECT DISTINCT t.organization_id, t.agent_id, t.example_id FROM changed c, learning.touched_by(c.organization_id, c.user_id) t
        WHERE abs(c.weight - 0.2878) > 0.01;
    ELSE
        INSERT INTO learning.stale_quality (organization_id, agent_id, example_id)
        SELECT DISTINCT t.organization_id, t.agent_id, t.example_id
        FROM changed c JOIN former f USING (organization_id, user_id), learning.touched_by(c.organization_id, c.user_id) t
        WHERE abs(c.weight - f.weight) > 0.01;
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION learning.touched_by(organization uuid, rater uuid) RETURNS TABLE (organization_id uuid, agent_id uuid, example_id text)
LANGUAGE sql STABLE AS $$
    SELECT e.organization_id, e.agent_id, e.id FROM learning.example_sources mine
    JOIN learning.example_sources s ON s.organization_id = mine.organization_id AND s.execution_id = mine.execution_id
    JOIN learning.learning_examples e ON e.organization_id = s.organization_id AND e.id = s.example_id
    WHERE mine.organization_id = organization AND mine.user_id = rater
$$;
CREATE TRIGGER weight_added AFTER INSERT ON learning.rater_weights
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.weighted_is_stale();
CREATE TRIGGER weight_changed AFTER UPDATE ON learning.rater_weights
    REFERENCING OLD TABLE AS former NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.weighted_is_stale();

INSERT INTO learning.stale_quality (organization_id, agent_id, example_id)
SELECT organization_id, agent_id, id FROM learning.learning_examples;
"""

QUALITY_BACK = """
DROP TRIGGER weight_changed ON learning.rater_weights;
DROP TRIGGER weight_added ON learning.rater_weights;
DROP TRIGGER annotation_removed ON learning.expert_annotations;
DROP TRIGGER annotation_changed ON learning.expert_annotations;
DROP TRIGGER annotation_added ON learning.expert_annotations;
DROP TRIGGER example_is_stale ON learning.learning_examples;
DROP FUNCTION learning.weighted_is_stale, learning.touched_by, learning.annotated_is_stale, learning.example_is_stale;
DROP INDEX learning.example_sources_user;
DROP TABLE learning.curation_state, learning.stale_quality, learning.example_quality, learning.quality_calibrations,
    learning.annotation_agreement, learning.judge_verdicts, learning.adjudications, learning.expert_reliability;
DROP VIEW learning.expert_verdicts;
"""


def upgrade() -> None:
    op.execute(DUPLICATES)
    op.execute(VERDICTS)
    op.execute(QUALITY)
    op.execute(STALE)


def downgrade() -> None:
    op.execute(QUALITY_BACK)
    op.execute("""
    DROP VIEW learning.duplicate_clusters;
    DROP TABLE learning.example_conflicts, learning.duplicate_links, learning.example_embeddings, learning.example_sketches;
    """)
