"""Versions without a person: which lost their rows or words to an erasure, and which version took their place.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0050"
down_revision = "0048"
branch_labels = None
depends_on = None

# A version that held an erased person keeps its number, hash and counts, and can neither serve nor be rebuilt. successor: what took its place;
# NULL: nothing was left. Of prompts that is a version of origin erasure, or the nearest earlier one without the person.
COLUMNS = """
ALTER TABLE learning.training_datasets ADD COLUMN erased_at timestamptz, ADD COLUMN successor_id uuid,
    ADD FOREIGN KEY (organization_id, successor_id) REFERENCES learning.training_datasets;
ALTER TABLE learning.prompt_versions ADD COLUMN erased_at timestamptz, ADD COLUMN successor integer,
    ADD FOREIGN KEY (organization_id, agent_id, successor) REFERENCES learning.prompt_versions,
    DROP CONSTRAINT prompt_versions_origin_check, ADD CHECK (origin IN ('imported', 'written', 'learnt', 'erasure'));
-- A content goes when nothing names it: each of those that may is asked by it.
CREATE INDEX dataset_pairs_chosen ON learning.dataset_pairs (organization_id, chosen_content);
CREATE INDEX dataset_pairs_rejected ON learning.dataset_pairs (organization_id, rejected_content);
ALTER TABLE learning.behavior_versions ADD COLUMN erased_at timestamptz, ADD COLUMN successor integer;
ALTER TABLE learning.index_versions ADD COLUMN erased_at timestamptz, ADD COLUMN successor integer;
"""

# What nobody but the owner may change is changed by an erasure too, while it is under way, and by nothing else.
GUARDS = """
CREATE FUNCTION learning.is_erasing(wanted uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM learning.erasures e WHERE e.organization_id = wanted AND e.state = 'erasing')
$$;

CREATE FUNCTION learning.guard_erasing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT learning.is_owner() AND EXISTS (SELECT FROM (SELECT DISTINCT organization_id FROM gone) g WHERE NOT learning.is_erasing(g.organization_id)) THEN
        RAISE EXCEPTION 'rows of % go with an erased person only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER guard_erasing AFTER DELETE ON learning.dataset_examples
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION learning.guard_erasing();
CREATE TRIGGER guard_erasing AFTER DELETE ON learning.dataset_pairs
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION learning.guard_erasing();
CREATE TRIGGER guard_erasing AFTER DELETE ON learning.example_contents
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION learning.guard_erasing();
GRANT DELETE ON learning.dataset_examples, learning.dataset_pairs, learning.example_contents TO learning_pipeline;

CREATE FUNCTION learning.guard_prompt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT learning.is_owner() AND NOT learning.is_erasing(NEW.organization_id) THEN
        RAISE EXCEPTION 'a prompt version never changes' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE OF messages, serving, erased_at, successor ON learning.prompt_versions
    FOR EACH ROW EXECUTE FUNCTION learning.guard_prompt();
GRANT UPDATE (messages, serving, erased_at, successor) ON learning.prompt_versions TO learning_pipeline;
"""

# A run that an erasure ended has read what is erased: what it made of it is stored nowhere, however late it comes. The lock of the run's row lets none pass
# while it is being ended; what the erasure itself adds carries its mark.
LATE = """
CREATE FUNCTION learning.guard_late() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    state text;
BEGIN
    IF learning.is_owner() OR coalesce(current_setting('app.erasing', true), '') = 'on' THEN
        RETURN NEW;
    END IF;
    SELECT r.status INTO state FROM learning.training_runs r WHERE r.organization_id = NEW.organization_id AND r.id = NEW.training_run_id FOR SHARE;
    IF state = 'cancelled' THEN
        RAISE EXCEPTION 'the training run % was ended: what it learnt from was erased; run the job again', NEW.training_run_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
""" + "".join(
    f"""
CREATE TRIGGER guard_late BEFORE INSERT ON learning.{table} FOR EACH ROW WHEN (NEW.training_run_id IS NOT NULL) EXECUTE FUNCTION learning.guard_late();"""
    for table in ("prompt_versions", "prompt_candidates", "behavior_versions", "index_versions", "encoder_versions", "chunk_edits")
)

_GUARD_DATASET = """
CREATE OR REPLACE FUNCTION learning.guard_dataset() RETURNS trigger LANGUAGE plpgsql AS $$
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
    IF OLD.status IN ('ready', 'in_use', 'archived') AND (to_jsonb(NEW) - CHANGING) <> (to_jsonb(OLD) - CHANGING) THEN
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
"""
ERASABLE = _GUARD_DATASET.replace(
    "CHANGING",
    "CASE WHEN learning.is_erasing(OLD.organization_id) THEN '{status,recipe,domains,task_types,statistics,erased_at,successor_id}'::text[]"
    " ELSE '{status}' END",
)
SEALED = _GUARD_DATASET.replace("CHANGING", "'status'")


def upgrade() -> None:
    for step in (COLUMNS, GUARDS, LATE, ERASABLE):
        op.execute(step)


def downgrade() -> None:
    op.execute(SEALED)
    op.execute("DROP FUNCTION learning.guard_late CASCADE")
    op.execute("""
    DROP INDEX learning.dataset_pairs_chosen, learning.dataset_pairs_rejected;
    DROP TRIGGER guard ON learning.prompt_versions;
    DROP TRIGGER guard_erasing ON learning.dataset_examples;
    DROP TRIGGER guard_erasing ON learning.dataset_pairs;
    DROP TRIGGER guard_erasing ON learning.example_contents;
    REVOKE UPDATE (messages, serving, erased_at, successor) ON learning.prompt_versions FROM learning_pipeline;
    REVOKE DELETE ON learning.dataset_examples, learning.dataset_pairs, learning.example_contents FROM learning_pipeline;
    DROP FUNCTION learning.guard_prompt, learning.guard_erasing, learning.is_erasing;
    UPDATE learning.prompt_versions SET origin = 'learnt' WHERE origin = 'erasure';
    ALTER TABLE learning.prompt_versions DROP COLUMN erased_at, DROP COLUMN successor,
        DROP CONSTRAINT prompt_versions_origin_check, ADD CHECK (origin IN ('imported', 'written', 'learnt'));
    ALTER TABLE learning.behavior_versions DROP COLUMN erased_at, DROP COLUMN successor;
    ALTER TABLE learning.index_versions DROP COLUMN erased_at, DROP COLUMN successor;
    ALTER TABLE learning.training_datasets DROP COLUMN erased_at, DROP COLUMN successor_id;
    """)
