"""Datasets: what a version contains, sealed; preference pairs, uses by training runs, exported files, news of reviews.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# Examples are edited later; a version is not. What it contains is kept once per content, under the hash of that content, which the
# database itself computes and checks.
CONTENTS = """
CREATE FUNCTION learning.example_content(e learning.learning_examples) RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT jsonb_build_object(
        'example_type', e.example_type, 'source_type', e.source_type, 'source_id', e.source_id, 'input_context', e.input_context,
        'input_text', e.input_text, 'original_output', e.original_output, 'expected_output', e.expected_output,
        'output_a', e.output_a, 'output_b', e.output_b, 'preferred_output', e.preferred_output, 'preference_strength', e.preference_strength,
        'domain', e.domain, 'task_type', e.task_type, 'complexity', e.complexity, 'jurisdictions', to_jsonb(e.jurisdictions),
        'tags', to_jsonb(e.tags))
$$;

CREATE TABLE learning.example_contents (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    content_hash bytea NOT NULL,
    content jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, content_hash),
    CHECK (content_hash = sha256(convert_to(content::text, 'UTF8')))
);
SELECT learning.protect('learning.example_contents', 'trainer', 'none');
REVOKE UPDATE, DELETE ON learning.example_contents FROM learning_pipeline;

ALTER TABLE learning.dataset_examples ADD COLUMN content_hash bytea, ADD COLUMN quality_score double precision, ADD COLUMN confidence_score double precision;
INSERT INTO learning.example_contents (organization_id, content_hash, content)
    SELECT DISTINCT ON (organization_id, hash) organization_id, hash, content FROM (
        SELECT e.organization_id, learning.example_content(e) AS content, sha256(convert_to(learning.example_content(e)::text, 'UTF8')) AS hash
        FROM learning.learning_examples e
        WHERE EXISTS (SELECT FROM learning.dataset_examples d WHERE d.organization_id = e.organization_id AND d.example_id = e.id)) AS found;
UPDATE learning.dataset_examples d SET content_hash = sha256(convert_to(learning.example_content(e)::text, 'UTF8'))
    FROM learning.learning_examples e WHERE e.organization_id = d.organization_id AND e.id = d.example_id;
ALTER TABLE learning.dataset_examples ALTER COLUMN content_hash SET NOT NULL,
    ADD FOREIGN KEY (organization_id, content_hash) REFERENCES learning.example_contents;
CREATE INDEX dataset_examples_content ON learning.dataset_examples (organization_id, content_hash);
-- Exports read a version in the order of its ids, byte by byte, whatever the collation of the database.
CREATE INDEX dataset_examples_in_order ON learning.dataset_examples (organization_id, dataset_id, example_id COLLATE "C");
ALTER TABLE learning.training_datasets ADD COLUMN pairs_count integer NOT NULL DEFAULT 0 CHECK (pairs_count >= 0),
    ADD COLUMN statistics jsonb NOT NULL DEFAULT '{}';
"""

# A pair holds no text: it names two contents, and which of their outputs is meant follows from the source (examples/preferences.py).
PAIRS = """
CREATE TABLE learning.preference_pairs (
    organization_id uuid NOT NULL,
    id text NOT NULL,
    agent_id uuid NOT NULL,
    source text NOT NULL CHECK (source IN ('correction', 'choice', 'rating')),
    chosen_example_id text NOT NULL,
    chosen_content bytea NOT NULL,
    rejected_example_id text NOT NULL,
    rejected_content bytea NOT NULL,
    prompt_hash bytea NOT NULL,
    chosen_hash bytea NOT NULL,
    rejected_hash bytea NOT NULL,
    strength double precision CHECK (strength BETWEEN 0 AND 1),
    weight double precision NOT NULL DEFAULT 1 CHECK (weight >= 0),
    split text CHECK (split IN ('train', 'validation', 'test')),
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'outvoted', 'contradicted', 'withdrawn')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    CHECK (chosen_hash <> rejected_hash),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, chosen_example_id) REFERENCES learning.learning_examples ON DELETE CASCADE,
    FOREIGN KEY (organization_id, rejected_example_id) REFERENCES learning.learning_examples ON DELETE CASCADE,
    FOREIGN KEY (organization_id, chosen_content) REFERENCES learning.example_contents,
    FOREIGN KEY (organization_id, rejected_content) REFERENCES learning.example_contents
);
CREATE INDEX preference_pairs_agent ON learning.preference_pairs (organization_id, agent_id, state);
CREATE INDEX preference_pairs_chosen ON learning.preference_pairs (organization_id, chosen_example_id);
CREATE INDEX preference_pairs_rejected ON learning.preference_pairs (organization_id, rejected_example_id);
CREATE INDEX preference_pairs_outputs ON learning.preference_pairs (organization_id, agent_id, prompt_hash, chosen_hash, rejected_hash);
CREATE INDEX preference_pairs_chosen_content ON learning.preference_pairs (organization_id, chosen_content);
CREATE INDEX preference_pairs_rejected_content ON learning.preference_pairs (organization_id, rejected_content);
SELECT learning.protect('learning.preference_pairs', 'trainer', 'none');

-- The pairs of a version, sealed with it: they are kept whole here, since preference_pairs changes with every rating.
CREATE TABLE learning.dataset_pairs (
    organization_id uuid NOT NULL,
    dataset_id uuid NOT NULL,
    pair_id text NOT NULL,
    source text NOT NULL CHECK (source IN ('correction', 'choice', 'rating')),
    chosen_example_id text NOT NULL,
    chosen_content bytea NOT NULL,
    rejected_example_id text NOT NULL,
    rejected_content bytea NOT NULL,
    strength double precision CHECK (strength BETWEEN 0 AND 1),
    weight double precision NOT NULL CHECK (weight >= 0),
    split text NOT NULL CHECK (split IN ('train', 'validation', 'test')),
    PRIMARY KEY (organization_id, dataset_id, pair_id),
    FOREIGN KEY (organization_id, dataset_id) REFERENCES learning.training_datasets ON DELETE CASCADE,
    FOREIGN KEY (organization_id, chosen_content) REFERENCES learning.example_contents,
    FOREIGN KEY (organization_id, rejected_content) REFERENCES learning.example_contents
);
CREATE INDEX dataset_pairs_in_order ON learning.dataset_pairs (organization_id, dataset_id, pair_id COLLATE "C");
SELECT learning.protect('learning.dataset_pairs', 'trainer', 'none');
"""

USES = """
-- Which training run used which version: a use is counted once, however often the run reports it.
CREATE TABLE learning.dataset_uses (
    organization_id uuid NOT NULL,
    dataset_id uuid NOT NULL,
    training_run_id uuid NOT NULL,
    splits text[] NOT NULL,
    examples integer NOT NULL,
    used_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, dataset_id, training_run_id),
    FOREIGN KEY (organization_id, dataset_id) REFERENCES learning.training_datasets ON DELETE CASCADE,
    FOREIGN KEY (organization_id, training_run_id) REFERENCES learning.training_runs ON DELETE CASCADE
);
SELECT learning.protect('learning.dataset_uses', 'trainer', 'none');

CREATE TABLE learning.dataset_exports (
    organization_id uuid NOT NULL,
    dataset_id uuid NOT NULL,
    format text NOT NULL,
    split text NOT NULL,
    path text NOT NULL,
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    rows bigint NOT NULL CHECK (rows >= 0),
    bytes bigint NOT NULL CHECK (bytes >= 0),
    held_back jsonb NOT NULL DEFAULT '{}',
    rules text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, dataset_id, format, split),
    FOREIGN KEY (organization_id, dataset_id) REFERENCES learning.training_datasets ON DELETE CASCADE
);
SELECT learning.protect('learning.dataset_exports', 'trainer', 'none');
"""

# The owner is exempt: erasing a person and restoring a backup are its work. Pipelines and API are not, by whatever login they come.
IMMUTABLE = """
CREATE FUNCTION learning.is_owner() RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT pg_has_role(current_user, 'learning_owner', 'USAGE') $$;

CREATE FUNCTION learning.guard_dataset() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    members bigint;
    pairs bigint;
BEGIN
    IF learning.is_owner() THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.status NOT IN ('draft', 'collecting', 'processing') THEN
            RAISE EXCEPTION 'a dataset version begins as draft, collecting or processing, not as %', NEW.status USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        IF OLD.status IN ('ready', 'in_use', 'archived') THEN
            RAISE EXCEPTION 'dataset version % of % is sealed: it cannot be deleted, only archived', OLD.version, OLD.name USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN (
            ('draft', 'collecting'), ('collecting', 'processing'), ('processing', 'ready'), ('ready', 'in_use'),
            ('draft', 'archived'), ('collecting', 'archived'), ('processing', 'archived'), ('ready', 'archived'), ('in_use', 'archived')) THEN
        RAISE EXCEPTION 'a dataset version that is % cannot become %', OLD.status, NEW.status USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.status IN ('ready', 'in_use', 'archived') AND (to_jsonb(NEW) - 'status') <> (to_jsonb(OLD) - 'status') THEN
        RAISE EXCEPTION 'dataset version % of % is sealed: only its status can change', OLD.version, OLD.name USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status = 'ready' AND OLD.status = 'processing' THEN
        SELECT count(*) INTO members FROM learning.dataset_examples d WHERE d.organization_id = NEW.organization_id AND d.dataset_id = NEW.id;
        SELECT count(*) INTO pairs FROM learning.dataset_pairs d WHERE d.organization_id = NEW.organization_id AND d.dataset_id = NEW.id;
        IF (members, pairs) <> (NEW.total_examples, NEW.pairs_count) THEN
            RAISE EXCEPTION 'dataset version % of % counts % examples and % pairs but holds % and %', NEW.version, NEW.name,
                NEW.total_examples, NEW.pairs_count, members, pairs USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON learning.training_datasets FOR EACH ROW EXECUTE FUNCTION learning.guard_dataset();

CREATE FUNCTION learning.guard_members() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT learning.is_owner() AND EXISTS (
            SELECT FROM (SELECT DISTINCT organization_id, dataset_id FROM added) a
            JOIN learning.training_datasets d ON d.organization_id = a.organization_id AND d.id = a.dataset_id
            WHERE d.status IN ('ready', 'in_use', 'archived')) THEN
        RAISE EXCEPTION 'a sealed dataset version takes nothing more' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER guard AFTER INSERT ON learning.dataset_examples REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION learning.guard_members();
CREATE TRIGGER guard AFTER INSERT ON learning.dataset_pairs REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION learning.guard_members();
REVOKE UPDATE, DELETE ON learning.dataset_examples, learning.dataset_pairs FROM learning_pipeline;
"""

# Whoever approves, withdraws or edits what is approved, by whatever way: the outbox says so in the same transaction. Its xid orders
# reviews by what is safely committed, which reviewed_at does not.
REVIEWS = """
CREATE FUNCTION learning.note_review() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO learning.outbox (organization_id, agent_id, kind, row_id, happened_at) VALUES (NEW.organization_id, NEW.agent_id, 'reviews', NEW.id, now());
    RETURN NULL;
END $$;
CREATE TRIGGER reviewed AFTER UPDATE OF review_status, is_active, example_type, input_context, input_text, original_output, expected_output,
    output_a, output_b, preferred_output, preference_strength, domain, task_type, complexity, jurisdictions, tags
ON learning.learning_examples FOR EACH ROW WHEN (
    (OLD.review_status = 'approved' OR NEW.review_status = 'approved')
    AND (OLD.review_status, OLD.is_active, OLD.example_type, OLD.input_context, OLD.input_text, OLD.original_output, OLD.expected_output, OLD.output_a,
        OLD.output_b, OLD.preferred_output, OLD.preference_strength, OLD.domain, OLD.task_type, OLD.complexity, OLD.jurisdictions, OLD.tags)
    IS DISTINCT FROM (NEW.review_status, NEW.is_active, NEW.example_type, NEW.input_context, NEW.input_text, NEW.original_output, NEW.expected_output,
        NEW.output_a, NEW.output_b, NEW.preferred_output, NEW.preference_strength, NEW.domain, NEW.task_type, NEW.complexity, NEW.jurisdictions, NEW.tags))
EXECUTE FUNCTION learning.note_review();
CREATE INDEX outbox_reviews ON learning.outbox (organization_id, agent_id, xid, id) WHERE kind IN ('examples', 'reviews');
"""


def upgrade() -> None:
    for step in (CONTENTS, PAIRS, USES, IMMUTABLE, REVIEWS):
        op.execute(step)


def downgrade() -> None:
    op.execute("""
    DROP INDEX learning.outbox_reviews;
    DROP TRIGGER reviewed ON learning.learning_examples;
    DROP TRIGGER guard ON learning.training_datasets;
    DROP TRIGGER guard ON learning.dataset_examples;
    DROP TABLE learning.dataset_exports, learning.dataset_uses, learning.dataset_pairs, learning.preference_pairs;
    DROP FUNCTION learning.note_review, learning.guard_members, learning.guard_dataset, learning.is_owner;
    GRANT UPDATE, DELETE ON learning.dataset_examples TO learning_pipeline;
    DROP INDEX learning.dataset_examples_in_order, learning.dataset_examples_content;
    ALTER TABLE learning.training_datasets DROP COLUMN statistics, DROP COLUMN pairs_count;
    ALTER TABLE learning.dataset_examples DROP COLUMN confidence_score, DROP COLUMN quality_score, DROP COLUMN content_hash;
    DROP TABLE learning.example_contents;
    DROP FUNCTION learning.example_content(learning.learning_examples);
    """)
