"""The statements that turn one staged batch of a kind into rows, identity keys and outbox entries, set by set.

Belongs here: the columns of each staging table and its merge statement. Not here: COPY, transactions, outcomes (ingest.py).

Look-ups in ingest_keys are LATERAL … LIMIT 1 or scalar subqueries on purpose: always one index probe per staged row, whatever the
statistics say (a join was planned as a scan of the whole key table: 100 times slower).

Every merge takes `organization` and returns (line, problem, detail) of the rows that were not stored; problem `seen` means that
the id is known already.
"""

from __future__ import annotations

from dataclasses import dataclass

FURTHER = "/* further steps over accepted */"
"""Where a writer may add steps of its own to a merge: each a comma and a common table expression that reads `accepted`."""
NIL = "00000000-0000-0000-0000-000000000000"
COMMON = (
    ("line", "bigint"), ("id", "text"), ("content_hash", "bytea"), ("agent_id", "uuid"), ("user_id", "uuid"), ("user_external", "text"),
    ("created_at", "timestamptz"), ("context", "jsonb"),
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """How one kind is stored: its staging columns after COMMON, its merge, and whether a changed record updates the stored one.

    `before` and `after`: statements around the merge, in its transaction.
    """

    columns: tuple[tuple[str, str], ...]
    merge: str
    updates: bool = False
    after: str | None = None
    before: str | None = None


def _users() -> str:
    return """
    INSERT INTO users (organization_id, id, external_id, role)
    SELECT DISTINCT %(organization)s::uuid, s.user_id, s.user_external, 'user' FROM accepted s
    WHERE s.user_id IS NOT NULL ORDER BY 2 ON CONFLICT DO NOTHING"""


# Whoever demonstrates is an expert from then on, unless that right was withdrawn. Only who is new or a plain user is written, so that nobody waits
# for the row of an expert.
_EXPERTS = """
    INSERT INTO users AS u (organization_id, id, external_id, role)
    SELECT DISTINCT %(organization)s::uuid, s.user_id, s.user_external, 'expert' FROM accepted s
    WHERE s.user_id IS NOT NULL AND NOT EXISTS (SELECT FROM users k WHERE k.organization_id = %(organization)s AND k.id = s.user_id AND k.role <> 'user')
    ORDER BY 2 ON CONFLICT (organization_id, id) DO UPDATE SET role = 'expert' WHERE u.role = 'user' AND u.expertise_withdrawn_at IS NULL"""


def _outbox(kind: str, execution: str = "NULL::text", execution_at: str = "NULL::timestamptz") -> str:
    return f"""
    INSERT INTO outbox (organization_id, agent_id, kind, row_id, execution_id, happened_at, execution_at)
    SELECT %(organization)s, coalesce(s.agent_id, '{NIL}'), '{kind}', s.id, {execution}, coalesce(s.created_at, now()), {execution_at}
    FROM accepted s ORDER BY s.line"""


def _keys(kind: str, source: str) -> str:
    """Claims the identities in id order, so that two writers of the same ids wait for each other instead of deadlocking."""
    return f"""
    INSERT INTO ingest_keys (organization_id, kind, external_id, content_hash, agent_id, happened_at)
    SELECT %(organization)s, '{kind}', s.id, s.content_hash, s.agent_id, coalesce(s.created_at, now()) FROM {source} s ORDER BY s.id
    ON CONFLICT DO NOTHING RETURNING external_id"""


def _append_only(kind: str, staged: str, insert: str, outbox: str) -> str:
    """A kind whose records never change: new ids are stored, known ones are left to the caller to judge."""
    return f"""
    WITH fresh AS ({_keys(kind, staged)}),
    accepted AS MATERIALIZED (SELECT s.* FROM {staged} s JOIN fresh f ON f.external_id = s.id),
    met AS ({_users()}),
    stored AS ({insert}),
    noted AS ({outbox}) {FURTHER}
    SELECT s.line, 'seen' AS problem, NULL::text AS detail FROM {staged} s
    WHERE NOT EXISTS (SELECT FROM fresh f WHERE f.external_id = s.id)"""


FEEDBACK_COLUMNS = (
    ("execution_id", "text"), ("feedback_type", "text"), ("rating", "smallint"), ("accuracy_rating", "smallint"),
    ("helpfulness_rating", "smallint"), ("clarity_rating", "smallint"), ("completeness_rating", "smallint"),
    ("issue_categories", "text[]"), ("feedback_text", "text"), ("correction_text", "text"), ("task_context", "jsonb"),
    ("withdrawn", "boolean"),
)  # fmt: skip
_FEEDBACK_NAMES = ", ".join(name for name, _ in FEEDBACK_COLUMNS)

FEEDBACK = f"""
WITH resolved AS MATERIALIZED (
    SELECT s.line, s.id, s.content_hash, coalesce(x.agent_id, s.agent_id) AS agent_id, s.user_id, s.user_external, s.created_at,
        s.context, {", ".join(f"s.{name}" for name, _ in FEEDBACK_COLUMNS)},
        x.external_id IS NULL AS pending, x.happened_at AS execution_at,
        CASE WHEN x.external_id IS NULL AND s.agent_id IS NULL THEN 'unknown_execution'
             WHEN x.agent_id <> s.agent_id THEN 'other_agent' END AS problem
    FROM staged_feedback s
    LEFT JOIN LATERAL (
        SELECT * FROM ingest_keys k WHERE k.organization_id = %(organization)s AND k.kind = 'executions' AND k.external_id = s.execution_id LIMIT 1
    ) x ON true
),
acceptable AS (SELECT * FROM resolved WHERE problem IS NULL),
fresh AS ({_keys("feedback", "acceptable")}),
accepted AS MATERIALIZED (SELECT s.* FROM resolved s JOIN fresh f ON f.external_id = s.id),
met AS ({_users()}),
stored AS (
    INSERT INTO agent_feedback (organization_id, id, pending_execution, agent_id, user_id, {_FEEDBACK_NAMES}, context, created_at)
    SELECT %(organization)s, id, pending, agent_id, user_id, {_FEEDBACK_NAMES}, context, coalesce(created_at, now())
    FROM accepted ORDER BY line
),
noted AS ({_outbox("feedback", "s.execution_id", "s.execution_at")}) {FURTHER}
-- What is stored already is judged by its content alone, also where it would be refused today: its execution may have come meanwhile.
SELECT r.line, CASE WHEN r.problem IS NULL OR EXISTS (
        SELECT FROM ingest_keys k WHERE k.organization_id = %(organization)s AND k.kind = 'feedback' AND k.external_id = r.id) THEN 'seen' ELSE r.problem END,
    r.execution_id AS detail
FROM resolved r
WHERE NOT EXISTS (SELECT FROM fresh f WHERE f.external_id = r.id)"""

EXECUTION_COLUMNS = (
    ("session_id", "text"), ("parent_id", "text"), ("input", "text"), ("output", "text"), ("messages", "jsonb"), ("tags", "text[]"),
    ("environment", "text"), ("retrieved", "jsonb"), ("prompt_version", "text"), ("latency_ms", "double precision"),
    ("input_tokens", "integer"), ("output_tokens", "integer"), ("cost_usd", "double precision"),
)  # fmt: skip
_EXECUTION_NAMES = ", ".join(name for name, _ in EXECUTION_COLUMNS)

EXECUTIONS = _append_only(
    "executions",
    "staged_executions",
    f"""
    INSERT INTO agent_executions (organization_id, id, agent_id, user_id, {_EXECUTION_NAMES}, context, created_at)
    SELECT %(organization)s, id, agent_id, user_id, {_EXECUTION_NAMES}, context, coalesce(created_at, now()) FROM accepted ORDER BY line""",
    _outbox("executions", "s.id", "coalesce(s.created_at, now())"),
)


# Feedback that came before its execution joins it now and takes the execution's agent. Where the two transactions overlap, neither
# sees the other: the reader of the outbox joins those (storage/outbox.py).
# It counts from now on, and perhaps for another agent than it named: the outbox says so.
def join_pending(wanted: str) -> str:
    """The statement that joins pending feedback to executions as far as they are known; `wanted` is a FROM item with alias w and column id."""
    return f"""
WITH joined AS (
    UPDATE agent_feedback f SET pending_execution = false, agent_id = x.agent_id
    FROM {wanted} CROSS JOIN LATERAL (
        SELECT * FROM ingest_keys k WHERE k.organization_id = %(organization)s AND k.kind = 'executions' AND k.external_id = w.id LIMIT 1
    ) x
    WHERE f.organization_id = %(organization)s AND f.pending_execution AND f.execution_id = w.id
      AND EXISTS (SELECT FROM agent_feedback p WHERE p.organization_id = %(organization)s AND p.pending_execution)
    RETURNING f.id, f.agent_id, f.execution_id, f.created_at, x.happened_at
)
INSERT INTO outbox (organization_id, agent_id, kind, row_id, execution_id, happened_at, execution_at)
SELECT %(organization)s, agent_id, 'feedback', id, execution_id, created_at, happened_at FROM joined"""


JOIN_PENDING = join_pending("staged_executions w")

EXAMPLE_COLUMNS = (
    ("example_type", "text"), ("input_context", "jsonb"), ("input_text", "text"), ("original_output", "text"), ("expected_output", "text"),
    ("output_a", "text"), ("output_b", "text"), ("preferred_output", "text"), ("preference_strength", "smallint"), ("domain", "text"),
    ("task_type", "text"), ("complexity", "smallint"), ("jurisdictions", "text[]"), ("tags", "text[]"), ("quality_score", "double precision"),
    ("review_status", "text"), ("example_hash", "bytea"), ("scrub_rules", "text"), ("scrubbed_entities", "jsonb"),
)  # fmt: skip
_EXAMPLE_NAMES = ", ".join(name for name, _ in EXAMPLE_COLUMNS if name != "example_hash")

EXAMPLES = _append_only(
    "examples",
    "staged_examples",
    f"""
    INSERT INTO learning_examples (organization_id, id, agent_id, source_type, user_id, content_hash, reviewed_at, {_EXAMPLE_NAMES}, created_at)
    SELECT %(organization)s, id, agent_id, 'imported', user_id, example_hash, CASE WHEN review_status IN ('approved', 'rejected') THEN now() END,
        {_EXAMPLE_NAMES}, coalesce(created_at, now())
    FROM accepted ORDER BY line""",
    _outbox("examples"),
)

DEMONSTRATION_COLUMNS = (
    ("task_type", "text"), ("task_description", "text"), ("input_state", "jsonb"), ("actions", "jsonb"), ("reasoning", "text"), ("final_output", "text"),
    ("outcome", "text"), ("replaces", "text"),
)  # fmt: skip
_DEMONSTRATION_NAMES = ", ".join(name for name, _ in DEMONSTRATION_COLUMNS)


def lock_replaced(wanted: str) -> str:
    """Locks the demonstrations that are about to be replaced: the merge after it sees what whoever replaced them first has committed."""
    return f"SELECT FROM demonstrations WHERE organization_id = %(organization)s AND id = ANY({wanted}) ORDER BY id FOR UPDATE"


LOCK_REPLACED = lock_replaced("ARRAY(SELECT replaces FROM staged_demonstrations WHERE replaces IS NOT NULL)")
# A new version names the one it replaces, which must be the newest of its chain: stored, or earlier in this batch. Of two that replace the same one
# the first does.
DEMONSTRATIONS = f"""
WITH looked_up AS MATERIALIZED (
    SELECT s.line, s.id, s.replaces, s.user_external, o.id IS NOT NULL AS is_stored, o.version,
        coalesce(o.agent_id, e.agent_id) = s.agent_id AS same_agent, o.is_active OR o.id IS NULL AND e.line < s.line AS replaceable,
        EXISTS (SELECT FROM ingest_keys k WHERE k.organization_id = %(organization)s AND k.kind = 'demonstrations' AND k.external_id = s.id) AS known,
        EXISTS (SELECT FROM users u WHERE u.organization_id = %(organization)s AND u.id = s.user_id AND u.expertise_withdrawn_at IS NOT NULL) AS withdrawn
    FROM staged_demonstrations s
    LEFT JOIN LATERAL (SELECT * FROM demonstrations d WHERE d.organization_id = %(organization)s AND d.id = s.replaces LIMIT 1) o ON true
    LEFT JOIN staged_demonstrations e ON e.id = s.replaces
),
targets AS MATERIALIZED (
    SELECT l.*, same_agent AND replaceable AND NOT withdrawn
        AND row_number() OVER (PARTITION BY replaces, same_agent AND replaceable AND NOT withdrawn AND NOT known ORDER BY line) = 1 AS replacing
    FROM looked_up l
),
chained AS MATERIALIZED (
    WITH RECURSIVE chain AS (
        SELECT line, id, coalesce(version, 0) + 1 AS version FROM targets WHERE replaces IS NULL AND NOT withdrawn OR replacing AND is_stored
        UNION ALL
        SELECT t.line, t.id, c.version + 1 FROM chain c JOIN targets t ON t.replaces = c.id AND t.replacing AND NOT t.is_stored
    ) SELECT line, version FROM chain
),
acceptable AS (SELECT s.* FROM staged_demonstrations s JOIN chained USING (line)),
fresh AS ({_keys("demonstrations", "acceptable")}),
accepted AS MATERIALIZED (SELECT s.*, c.version FROM staged_demonstrations s JOIN fresh f ON f.external_id = s.id JOIN chained c ON c.line = s.line),
met AS ({_EXPERTS}),
replaced AS (
    UPDATE demonstrations o SET is_active = false FROM accepted s WHERE o.organization_id = %(organization)s AND o.id = s.replaces AND o.is_active
),
stored AS (
    INSERT INTO demonstrations (organization_id, id, agent_id, user_id, {_DEMONSTRATION_NAMES}, version, is_active, context, created_at)
    SELECT %(organization)s, s.id, s.agent_id, s.user_id, {", ".join(f"s.{name}" for name, _ in DEMONSTRATION_COLUMNS)}, s.version, n.id IS NULL, s.context,
        coalesce(s.created_at, now())
    FROM accepted s LEFT JOIN accepted n ON n.replaces = s.id ORDER BY s.line
),
noted AS ({_outbox("demonstrations")}) {FURTHER}
SELECT t.line, CASE WHEN t.known OR c.line IS NOT NULL THEN 'seen' WHEN t.withdrawn THEN 'expert_withdrawn'
        WHEN t.same_agent AND (t.is_stored OR t.replaceable AND NOT t.replacing) THEN 'replaced_already' ELSE 'replaces_unknown' END AS problem,
    CASE WHEN t.withdrawn THEN t.user_external ELSE t.replaces END AS detail
FROM targets t LEFT JOIN chained c USING (line) WHERE NOT EXISTS (SELECT FROM fresh f WHERE f.external_id = t.id)"""

RETRIEVAL_COLUMNS = (("query", "text"), ("retrieved", "text[]"), ("relevant", "text[]"), ("rating", "smallint"), ("helped", "boolean"))
_RETRIEVAL_NAMES = ", ".join(name for name, _ in RETRIEVAL_COLUMNS)

RETRIEVAL_FEEDBACK = _append_only(
    "retrieval_feedback",
    "staged_retrieval_feedback",
    f"""
    INSERT INTO retrieval_events (organization_id, id, agent_id, user_id, {_RETRIEVAL_NAMES}, context, created_at)
    SELECT %(organization)s, id, agent_id, user_id, {_RETRIEVAL_NAMES}, context, coalesce(created_at, now()) FROM accepted ORDER BY line""",
    _outbox("retrieval_feedback"),
)


def _updating(kind: str, staged: str, upsert: str) -> str:
    """A kind whose records may change: the key's hash says whether there is anything to do."""
    return f"""
    WITH fresh AS (
        INSERT INTO ingest_keys AS k (organization_id, kind, external_id, content_hash, agent_id, happened_at)
        SELECT %(organization)s, '{kind}', s.id, s.content_hash, s.agent_id, now() FROM {staged} s ORDER BY s.id
        ON CONFLICT (organization_id, kind, external_id) DO UPDATE
            SET content_hash = excluded.content_hash, agent_id = excluded.agent_id, happened_at = now(), received_at = now()
            WHERE k.content_hash <> excluded.content_hash
        RETURNING external_id
    ),
    accepted AS MATERIALIZED (SELECT s.* FROM {staged} s JOIN fresh f ON f.external_id = s.id),
    stored AS ({upsert}),
    noted AS ({_outbox(kind)}) {FURTHER}
    SELECT s.line, 'seen' AS problem, NULL::text AS detail FROM {staged} s
    WHERE NOT EXISTS (SELECT FROM fresh f WHERE f.external_id = s.id)"""


DOCUMENT_COLUMNS = (("title", "text"), ("text", "text"), ("metadata", "jsonb"))
DOCUMENTS = _updating(
    "documents",
    "staged_documents",
    """
    INSERT INTO documents (organization_id, id, agent_id, title, text, metadata, context, content_hash)
    SELECT %(organization)s, id, agent_id, title, text, metadata, context, content_hash FROM accepted ORDER BY id
    ON CONFLICT (organization_id, id) DO UPDATE SET agent_id = excluded.agent_id, title = excluded.title, text = excluded.text,
        metadata = excluded.metadata, context = excluded.context, content_hash = excluded.content_hash, is_active = true, updated_at = now()""",
)

AGENT_COLUMNS = (
    ("name", "text"), ("system_prompt", "text"), ("prompt_messages", "jsonb"), ("prompt_hash", "bytea"), ("model", "text"), ("domain", "text"),
    ("metric", "jsonb"), ("labels", "text[]"),
)  # fmt: skip
AGENTS = _updating(
    "agents",
    "staged_agents",
    """
    INSERT INTO agents (organization_id, id, slug, name, system_prompt, model, domain, metric, labels, context)
    SELECT %(organization)s, agent_id, id, name, system_prompt, model, domain, metric, labels, context FROM accepted ORDER BY id
    ON CONFLICT (organization_id, slug) DO UPDATE SET name = excluded.name, system_prompt = excluded.system_prompt, model = excluded.model,
        domain = excluded.domain, metric = excluded.metric, labels = excluded.labels, context = excluded.context, updated_at = now()""",
)
# A prompt that is new to the agent becomes its next version; production follows only while it points at an imported version (or nothing),
# and previous is what it pointed at before.
AGENT_PROMPTS = """
WITH added AS (
    INSERT INTO prompt_versions (organization_id, agent_id, version, parent_version, origin, messages, model, content_hash)
    SELECT a.organization_id, a.id, coalesce(latest.version, 0) + 1, latest.version, 'imported', s.prompt_messages, s.model, s.prompt_hash
    FROM staged_agents s
    JOIN agents a ON a.organization_id = %(organization)s AND a.slug = s.id
    LEFT JOIN LATERAL (SELECT max(version) AS version FROM prompt_versions p WHERE p.organization_id = a.organization_id AND p.agent_id = a.id) latest ON true
    LEFT JOIN LATERAL (SELECT content_hash FROM prompt_versions p WHERE p.organization_id = a.organization_id AND p.agent_id = a.id
        AND p.origin = 'imported' AND p.erased_at IS NULL ORDER BY version DESC LIMIT 1) imported ON true
    WHERE s.system_prompt IS NOT NULL AND s.prompt_hash IS DISTINCT FROM imported.content_hash
    RETURNING organization_id, agent_id, version
), served AS (
    SELECT l.organization_id, l.agent_id, l.version FROM added
    JOIN prompt_labels l ON l.organization_id = added.organization_id AND l.agent_id = added.agent_id AND l.label = 'production'
    JOIN prompt_versions p ON p.organization_id = l.organization_id AND p.agent_id = l.agent_id AND p.version = l.version AND p.origin = 'imported'
), left_behind AS (
    INSERT INTO prompt_labels (organization_id, agent_id, label, version)
    SELECT organization_id, agent_id, 'previous', version FROM served
    ON CONFLICT (organization_id, agent_id, label) DO UPDATE SET version = excluded.version, moved_by = NULL, moved_at = now()
)
INSERT INTO prompt_labels AS l (organization_id, agent_id, label, version)
SELECT organization_id, agent_id, 'production', version FROM added
ON CONFLICT (organization_id, agent_id, label) DO UPDATE SET version = excluded.version, moved_by = NULL, moved_at = now()
    WHERE EXISTS (SELECT FROM prompt_versions p WHERE p.organization_id = l.organization_id AND p.agent_id = l.agent_id
        AND p.version = l.version AND p.origin = 'imported')"""

KINDS: dict[str, Kind] = {
    "agents": Kind(AGENT_COLUMNS, AGENTS, updates=True, after=AGENT_PROMPTS),
    "executions": Kind(EXECUTION_COLUMNS, EXECUTIONS, after=JOIN_PENDING),
    "feedback": Kind(FEEDBACK_COLUMNS, FEEDBACK),
    "examples": Kind(EXAMPLE_COLUMNS, EXAMPLES),
    "demonstrations": Kind(DEMONSTRATION_COLUMNS, DEMONSTRATIONS, before=LOCK_REPLACED),
    "documents": Kind(DOCUMENT_COLUMNS, DOCUMENTS, updates=True),
    "retrieval_feedback": Kind(RETRIEVAL_COLUMNS, RETRIEVAL_FEEDBACK),
}
