"""Lineage: what a prompt version was learnt from, and what learnt from a feedback or a user. One statement answers one question.

Belongs here: SQL from versions back to feedback, and from feedback and users forward to versions; ids, counts and times, no texts. Not here: the shape of
answers, notes and who may ask (reports/lineage.py, api/lineage.py).

Rows tell single examples as far as datasets: a run that learnt from a dataset learnt from all of its train split, and chose on validation. Retrieval learns
from all judged questions of an agent that are there when a run begins, a policy from all demonstrations: for these the times say what a run can have seen.
Lists hold at most `limit` entries, counts are exact.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

Found = dict[str, Any]


def of_prompt(connection: Connection, agent: AgentRef, version: int, *, limit: int, own: UUID | None = None) -> Found | None:
    """Back from a prompt version: its parents, their runs, datasets, examples, feedback, tests, proposals and experiments. None if there is no such version.

    `own`: of feedback and examples only the ids of this user's; counts are of all.
    """
    values = {"organization": agent.organization_id, "agent": agent.agent_id, "version": version, "limit": limit, "own": own}
    row = connection.execute(_OF_PROMPT, values).fetchone()
    return None if row is None or row[0] is None else dict(row[0])


def of_feedback(connection: Connection, organization_id: UUID, feedback_id: str, *, limit: int) -> Found | None:
    """Forward from a feedback on an answer or, where none has this id, on search results. None if neither has it."""
    values = {"organization": organization_id, "feedback": feedback_id, "limit": limit}
    row = connection.execute(_OF_FEEDBACK, values).fetchone()
    return None if row is None or row[0] is None else dict(row[0])


def of_user(connection: Connection, organization_id: UUID, user: str, *, limit: int) -> Found | None:
    """Forward from a user by the name that the outside calls them. None if nobody of this name was ever seen."""
    row = connection.execute(_OF_USER, {"organization": organization_id, "user": user, "limit": limit}).fetchone()
    return None if row is None or row[0] is None else dict(row[0])


def lacks_prompts(connection: Connection, organization_id: UUID) -> bool:
    """Whether prompt versions of the organization were deleted: numbers are given in turn, so that gaps tell."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM prompt_versions WHERE organization_id = %s GROUP BY agent_id HAVING max(version) > count(*))", [organization_id]
    ).fetchone()
    return row is not None and bool(row[0])


def sees_feedback(connection: Connection, organization_id: UUID, feedback_id: str) -> bool:
    """Whether whoever the transaction acts for sees the feedback, of either kind; what was archived is seen by whoever sees everyone's."""
    row = connection.execute(
        """SELECT EXISTS (SELECT FROM agent_feedback WHERE organization_id = %(organization)s AND id = %(id)s)
        OR EXISTS (SELECT FROM retrieval_events WHERE organization_id = %(organization)s AND id = %(id)s)
        OR learning.sees_everyone() AND EXISTS (SELECT FROM ingest_keys WHERE organization_id = %(organization)s
            AND kind IN ('feedback', 'retrieval_feedback') AND external_id = %(id)s)""",
        {"organization": organization_id, "id": feedback_id},
    ).fetchone()
    return row is not None and bool(row[0])


def _listed(source: str, columns: str, order: str) -> str:
    """A JSON object of how many rows a CTE has, and the first of them."""
    return f"""jsonb_build_object('count', (SELECT count(*) FROM {source}), 'items',
        (SELECT coalesce(jsonb_agg(to_jsonb(x)), '[]') FROM (SELECT {columns} FROM {source} ORDER BY {order} LIMIT %(limit)s) x))"""


def _ids(source: str, column: str, where: str = "true") -> str:
    """The same of ids alone."""
    return f"jsonb_build_object('count', (SELECT count(*) FROM {source}), 'items', {_first(source, column, where)})"


def _first(source: str, column: str, where: str = "true") -> str:
    return f"""(SELECT coalesce(jsonb_agg(x.id), '[]')
        FROM (SELECT {column} AS id FROM {source} WHERE {where} ORDER BY ({column}) COLLATE "C" LIMIT %(limit)s) x)"""


_MINE = "organization_id = %(organization)s"


def _each(select: str, name: str, on: str) -> str:
    """For each row before it one look into an index: as a join, few rows that a planner takes for many are joined with all of a table that holds millions."""
    return f"CROSS JOIN LATERAL ({select} WHERE {name}.{_MINE} AND {on} OFFSET 0) {name}"


_DATASET = "d.id, d.name, d.version, d.status, encode(d.content_hash, 'hex') AS seal, d.total_examples, d.created_at"
_RUN = "r.id, r.agent_id, r.training_type, r.status, r.dagster_run_id, r.created_at, r.completed_at"
_RUNS = _listed("runs", "id, training_type AS type, status, dagster_run_id, created_at, completed_at", "created_at, id")
_PROPOSALS = _listed("proposed", "id, kind, state, verdict, version, rollout, created_at, reviewed_at", "created_at, id")
_EXPERIMENTS = _listed("tried", "id, name, kind, subject, status, variants, decision, winner, started_at, ended_at", "created_at, id")
_TESTS = _listed("tested", "id, kind, k, alpha, verdict, training_run_id, created_at", "created_at, id")

_OF_PROMPT = f"""
WITH RECURSIVE chain AS (
    SELECT p.version, p.parent_version, p.origin, p.strategy, p.training_run_id, p.dataset_id, p.serving #>> '{{retrieval,dataset_id}}' AS shown_from,
        p.created_at, 0 AS depth
    FROM prompt_versions p WHERE p.{_MINE} AND p.agent_id = %(agent)s AND p.version = %(version)s
    UNION ALL
    SELECT p.version, p.parent_version, p.origin, p.strategy, p.training_run_id, p.dataset_id, p.serving #>> '{{retrieval,dataset_id}}', p.created_at,
        c.depth + 1
    FROM chain c JOIN prompt_versions p ON p.version = c.parent_version WHERE p.{_MINE} AND p.agent_id = %(agent)s AND p.version < c.version
),
runs AS MATERIALIZED (
    SELECT {_RUN}, r.dataset_id FROM training_runs r WHERE r.{_MINE} AND r.id IN (SELECT training_run_id FROM chain)
),
data AS MATERIALIZED (
    SELECT {_DATASET}, s.splits FROM training_datasets d
    LEFT JOIN LATERAL (SELECT jsonb_object_agg(c.split, c.n) AS splits FROM (SELECT e.split, count(*) AS n FROM dataset_examples e
        WHERE e.{_MINE} AND e.dataset_id = d.id GROUP BY 1) c) s ON true
    WHERE d.{_MINE} AND d.id IN (SELECT dataset_id FROM chain UNION SELECT shown_from::uuid FROM chain UNION SELECT dataset_id FROM runs
        UNION SELECT u.dataset_id FROM dataset_uses u WHERE u.{_MINE} AND u.training_run_id IN (SELECT id FROM runs))
),
members AS MATERIALIZED (
    SELECT e.example_id AS id, max(d.created_at) AS until FROM data d JOIN dataset_examples e ON e.dataset_id = d.id WHERE e.{_MINE} GROUP BY 1
),
sources AS MATERIALIZED (
    SELECT s.feedback_id AS id, s.example_id, s.user_id, s.created_at > m.until AS later FROM members m
    {_each("SELECT s.feedback_id, s.example_id, s.user_id, s.created_at FROM example_sources s", "s", "s.example_id = m.id")}
),
said AS (SELECT id, user_id FROM sources WHERE NOT later),
shown AS MATERIALIZED (
    SELECT DISTINCT one.id FROM prompt_candidates c CROSS JOIN LATERAL unnest(c.shown) AS one (id)
    WHERE c.{_MINE} AND c.training_run_id IN (SELECT id FROM runs) AND c.is_winner
),
proposed AS MATERIALIZED (
    SELECT o.id, o.kind, o.state, o.verdict, (o.subject ->> 'version')::integer AS version, o.rollout, o.created_at, o.reviewed_at FROM proposals o
    WHERE o.{_MINE} AND o.agent_id = %(agent)s AND o.kind = 'prompt' AND (o.subject ->> 'version')::integer IN (SELECT version FROM chain)
),
tested AS MATERIALIZED (
    SELECT t.id, t.kind, t.k, t.alpha, t.verdict, t.training_run_id, t.created_at FROM acceptance_tests t
    WHERE t.{_MINE} AND t.agent_id = %(agent)s AND t.training_run_id IN (SELECT id FROM runs)
),
tried AS MATERIALIZED (
    SELECT e.id, e.name, e.kind, e.subject, e.status, v.variants, e.decision, e.winner, e.started_at, e.ended_at, e.created_at FROM learning_experiments e
    CROSS JOIN LATERAL (SELECT jsonb_object_agg(a ->> 'variant', (a ->> 'version')::integer) AS variants FROM jsonb_array_elements(e.arms) a
        WHERE (a ->> 'version')::integer IN (SELECT version FROM chain)) v
    WHERE e.{_MINE} AND e.agent_id = %(agent)s AND e.subject = 'prompt' AND v.variants IS NOT NULL
)
SELECT (SELECT jsonb_build_object('version', c.version, 'origin', c.origin, 'strategy', c.strategy, 'created_at', c.created_at, 'labels',
        ARRAY(SELECT l.label FROM prompt_labels l WHERE l.{_MINE} AND l.agent_id = %(agent)s AND l.version = c.version ORDER BY 1)) || jsonb_build_object(
    'parents', (SELECT coalesce(jsonb_agg(jsonb_build_object('version', b.version, 'origin', b.origin, 'strategy', b.strategy, 'training_run_id',
        b.training_run_id, 'created_at', b.created_at) ORDER BY b.depth), '[]') FROM chain b WHERE b.depth > 0),
    'training_runs', {_RUNS},
    'datasets', {_listed("data", "id, name, version, status, seal, total_examples AS examples, splits, created_at", "created_at, id")},
    'examples', {_ids("members", "id", "%(own)s::uuid IS NULL OR id IN (SELECT example_id FROM sources WHERE user_id = %(own)s)")}
        || jsonb_build_object('without_feedback', (SELECT count(*) FROM members)
            - (SELECT count(*) FROM (SELECT DISTINCT example_id FROM sources) d)),
    'feedback', {_ids("said", "id", "%(own)s::uuid IS NULL OR user_id = %(own)s")} || jsonb_build_object(
        'people', (SELECT count(d.user_id) FROM (SELECT DISTINCT user_id FROM said) d), 'later', (SELECT count(*) FROM sources WHERE later)),
    'demonstrated', {_ids("shown", "id", "%(own)s::uuid IS NULL OR id IN (SELECT example_id FROM sources WHERE user_id = %(own)s)")},
    'tests', {_TESTS}, 'proposals', {_PROPOSALS}, 'experiments', {_EXPERIMENTS}) FROM chain c WHERE c.depth = 0)
"""

# What follows from examples (touched: id), judged questions (asked: agent_id, question_id, since) and demonstrations (showed: agent_id, id, since).
_FORWARD = f"""
data AS MATERIALIZED (
    SELECT {_DATASET}, h.splits, h.examples FROM (
        SELECT c.dataset_id, jsonb_object_agg(c.split, c.n) AS splits, sum(c.n)::bigint AS examples FROM (
            SELECT e.dataset_id, e.split, count(*) AS n FROM touched t
            {_each("SELECT e.dataset_id, e.split FROM dataset_examples e", "e", "e.example_id = t.id")} GROUP BY 1, 2) c
        GROUP BY 1) h
    JOIN training_datasets d ON d.id = h.dataset_id WHERE d.{_MINE}
),
paired AS MATERIALIZED (
    SELECT p.id, p.is_active FROM asked a
    {_each("SELECT p.id, p.is_active FROM embedding_training_pairs p", "p", "p.agent_id = a.agent_id AND p.query_id = a.question_id")}
),
clustered AS MATERIALIZED (
    SELECT DISTINCT f.agent_id, f.cluster_id FROM touched t
    {_each("SELECT f.agent_id, f.cluster_id FROM correction_findings f", "f", "f.example_id = t.id AND f.cluster_id IS NOT NULL")}
),
from_data AS MATERIALIZED (
    SELECT {_RUN} FROM data d JOIN training_runs r ON r.dataset_id = d.id WHERE r.{_MINE}
    UNION SELECT {_RUN} FROM data d JOIN dataset_uses u ON u.dataset_id = d.id JOIN training_runs r ON r.id = u.training_run_id WHERE u.{_MINE} AND r.{_MINE}
),
from_questions AS MATERIALIZED (
    SELECT {_RUN} FROM (SELECT agent_id, min(since) AS since FROM asked GROUP BY 1) a JOIN training_runs r ON r.agent_id = a.agent_id
    WHERE r.{_MINE} AND r.training_type = 'rag_tuning' AND r.created_at >= a.since
),
behaviors AS MATERIALIZED (
    SELECT b.agent_id, b.kind, b.number, b.topic, b.training_run_id, b.created_at FROM behavior_versions b WHERE b.{_MINE} AND (
        b.training_run_id IN (SELECT id FROM from_data) OR b.kind = 'guidance' AND b.config ->> 'dataset_id' IN (SELECT id::text FROM data)
        OR b.kind = 'rules' AND (b.agent_id, b.topic) IN (SELECT agent_id, cluster_id FROM clustered)
        OR b.kind = 'playbook' AND b.config -> 'learnt_from' ?| (SELECT array_agg(id) FROM showed)
        OR b.kind = 'policy' AND b.created_at >= (SELECT min(s.since) FROM showed s WHERE s.agent_id = b.agent_id))
),
runs AS MATERIALIZED (
    SELECT * FROM from_data UNION SELECT * FROM from_questions
    UNION SELECT {_RUN} FROM training_runs r WHERE r.{_MINE} AND r.id IN (SELECT training_run_id FROM behaviors)
),
indexed AS MATERIALIZED (
    SELECT v.agent_id, v.number, v.kind, v.training_run_id, v.created_at FROM index_versions v
    WHERE v.{_MINE} AND v.training_run_id IN (SELECT id FROM from_questions)
),
prompted AS MATERIALIZED (
    SELECT p.agent_id, p.version, false AS inherited, p.created_at FROM prompt_versions p
    WHERE p.{_MINE} AND (p.training_run_id IN (SELECT id FROM from_data) OR p.dataset_id IN (SELECT id FROM data))
    UNION ALL
    SELECT p.agent_id, p.version, true, p.created_at FROM prompted b JOIN prompt_versions p ON p.agent_id = b.agent_id AND p.parent_version = b.version
    WHERE p.{_MINE} AND p.version > b.version
),
prompts AS MATERIALIZED (
    SELECT p.agent_id, p.version, bool_and(p.inherited) AS inherited, min(p.created_at) AS created_at FROM prompted p GROUP BY 1, 2
),
shown AS MATERIALIZED (
    SELECT DISTINCT p.agent_id, p.version FROM prompt_versions p JOIN prompt_candidates c ON c.training_run_id = p.training_run_id
    WHERE p.{_MINE} AND c.{_MINE} AND c.is_winner AND p.training_run_id IN (SELECT id FROM from_data) AND c.shown && (SELECT array_agg(id) FROM touched)
),
versions AS MATERIALIZED (
    SELECT agent_id, 'prompt' AS subject, NULL AS of_kind, version FROM prompts UNION ALL SELECT agent_id, 'index', NULL, number FROM indexed
    UNION ALL SELECT agent_id, CASE kind WHEN 'policy' THEN 'policy' END, kind, number FROM behaviors
),
proposed AS MATERIALIZED (
    SELECT o.id, o.kind, o.state, o.verdict, (o.subject ->> 'version')::integer AS version, o.rollout, o.created_at, o.reviewed_at FROM proposals o
    WHERE o.{_MINE} AND EXISTS (SELECT FROM versions v WHERE v.agent_id = o.agent_id AND v.version = (o.subject ->> 'version')::integer
        AND CASE WHEN v.of_kind IS NOT NULL THEN o.subject ->> 'kind' = v.of_kind WHEN v.subject = 'prompt' THEN o.kind = 'prompt'
            ELSE o.kind IN ('index', 'reranker', 'expansion', 'chunk_edit') END)
),
tested AS MATERIALIZED (
    SELECT t.id, t.kind, t.k, t.alpha, t.verdict, t.training_run_id, t.created_at FROM acceptance_tests t WHERE t.{_MINE} AND t.id IN (
        SELECT i.test_id FROM (SELECT id FROM touched UNION SELECT id FROM showed UNION SELECT question_id FROM asked) n
        {_each("SELECT i.test_id FROM acceptance_test_items i", "i", "i.example_id = n.id")})
),
tried AS MATERIALIZED (
    SELECT e.id, e.name, e.kind, e.subject, e.status, v.variants, e.decision, e.winner, e.started_at, e.ended_at, e.created_at FROM learning_experiments e
    CROSS JOIN LATERAL (SELECT jsonb_object_agg(a ->> 'variant', (a ->> 'version')::integer) AS variants FROM jsonb_array_elements(e.arms) a
        WHERE (e.agent_id, e.subject, (a ->> 'version')::integer) IN (SELECT agent_id, subject, version FROM versions)) v
    WHERE e.{_MINE} AND v.variants IS NOT NULL
)"""

_LEARNT = f"""jsonb_build_object(
    'datasets', {_listed("data", "id, name, version, status, seal, examples, splits, created_at", "created_at, id")},
    'training_runs', {_RUNS},
    'prompts', {_listed(
        "(SELECT g.slug AS agent, p.version, p.inherited, (p.agent_id, p.version) IN (SELECT agent_id, version FROM shown) AS demonstrates, p.created_at"
        f" FROM prompts p JOIN agents g ON g.{_MINE} AND g.id = p.agent_id) p", "*", "created_at, agent, version")},
    'indexes', {_listed(
        f"(SELECT g.slug AS agent, v.number AS version, v.kind, v.created_at FROM indexed v JOIN agents g ON g.{_MINE} AND g.id = v.agent_id) v", "*",
        "created_at, agent, version")},
    'behavior', {_listed(
        "(SELECT g.slug AS agent, b.kind, b.number AS version, b.created_at FROM behaviors b"
        f" JOIN agents g ON g.{_MINE} AND g.id = b.agent_id) b", "*", "created_at, agent, kind, version")},
    'clusters', (SELECT count(*) FROM clustered),
    'pairs', {_ids("paired", "id::text")} || jsonb_build_object('active', (SELECT count(*) FROM paired WHERE is_active)),
    'tests', {_TESTS}, 'proposals', {_PROPOSALS}, 'experiments', {_EXPERIMENTS})"""

# The key says when it came in, so that only one of the months is looked into. Archived feedback is known by its key and its source alone.
_OF_FEEDBACK = f"""
WITH RECURSIVE keyed AS MATERIALIZED (
    SELECT k.kind, k.agent_id, k.happened_at, k.received_at FROM ingest_keys k
    WHERE k.{_MINE} AND k.kind IN ('feedback', 'retrieval_feedback') AND k.external_id = %(feedback)s ORDER BY k.kind LIMIT 1
),
given AS MATERIALIZED (
    SELECT f.execution_id, f.pending_execution, f.feedback_type, f.user_id, f.created_at FROM agent_feedback f
    WHERE f.{_MINE} AND f.id = %(feedback)s AND f.received_at >= (SELECT received_at FROM keyed) - interval '1 second'
        AND f.received_at <= (SELECT received_at FROM keyed) + interval '1 second' AND (SELECT kind FROM keyed) = 'feedback'
),
searched AS MATERIALIZED (
    SELECT e.agent_id, e.question_id, e.user_id, e.created_at, e.received_at FROM retrieval_events e
    WHERE e.{_MINE} AND e.id = %(feedback)s AND (SELECT kind FROM keyed) = 'retrieval_feedback'
),
sourced AS MATERIALIZED (SELECT s.example_id AS id, s.execution_id, s.user_id FROM example_sources s WHERE s.{_MINE} AND s.feedback_id = %(feedback)s),
touched AS MATERIALIZED (SELECT id FROM sourced),
judged AS MATERIALIZED (SELECT execution_id FROM given UNION SELECT execution_id FROM sourced),
speaker AS MATERIALIZED (SELECT coalesce((SELECT user_id FROM given), (SELECT user_id FROM searched), (SELECT user_id FROM sourced)) AS id),
asked AS MATERIALIZED (
    SELECT r.agent_id, r.question_id, (SELECT received_at FROM keyed) AS since FROM judged j
    {_each("SELECT r.agent_id, r.question_id FROM retrieval_answers r", "r", "r.execution_id = j.execution_id")}
    UNION SELECT a.id, e.question_id, e.received_at FROM searched e JOIN agents a ON a.{_MINE} AND (e.agent_id IS NULL OR a.id = e.agent_id)
        AND e.question_id IS NOT NULL
),
showed AS MATERIALIZED (SELECT NULL::uuid AS agent_id, NULL::text AS id, NULL::timestamptz AS since WHERE false),
{_FORWARD},
counted AS MATERIALIZED (
    SELECT x.experiment_id AS id, e.name, x.variant, x.refused FROM judged j
    {_each("SELECT x.experiment_id, x.variant, x.refused FROM experiment_executions x", "x", "x.execution_id = j.execution_id")}
    JOIN learning_experiments e ON e.{_MINE} AND e.id = x.experiment_id
)
SELECT jsonb_build_object('feedback_id', %(feedback)s::text, 'kind', k.kind, 'agent', (SELECT slug FROM agents WHERE {_MINE} AND id = k.agent_id),
    'user', (SELECT u.external_id FROM users u WHERE u.{_MINE} AND u.id = (SELECT id FROM speaker)),
    'feedback_type', (SELECT feedback_type FROM given),
    'created_at', coalesce((SELECT created_at FROM given), (SELECT created_at FROM searched), k.happened_at),
    'execution_id', (SELECT min(execution_id) FROM judged), 'pending_execution', coalesce((SELECT pending_execution FROM given), false),
    'archived', NOT EXISTS (SELECT FROM given) AND NOT EXISTS (SELECT FROM searched),
    'examples', (SELECT coalesce(jsonb_agg(jsonb_build_object('example_id', e.id, 'example_type', e.example_type, 'review_status', e.review_status,
        'is_active', e.is_active, 'times_used_in_training', e.times_used_in_training, 'datasets', (SELECT coalesce(jsonb_agg(jsonb_build_object('id', d.id,
            'name', d.name, 'version', d.version, 'split', m.split) ORDER BY d.name, d.version), '[]')
            FROM dataset_examples m JOIN training_datasets d ON d.id = m.dataset_id WHERE m.{_MINE} AND d.{_MINE} AND m.example_id = e.id))), '[]')
        FROM learning_examples e WHERE e.{_MINE} AND e.id IN (SELECT id FROM touched)),
    'counted_in', {_listed("counted", "id, name, variant, refused", "id")}) || {_LEARNT} FROM keyed k
"""

_OF_USER = f"""
WITH RECURSIVE who AS MATERIALIZED (SELECT id, created_at FROM users WHERE {_MINE} AND external_id = %(user)s),
said AS MATERIALIZED (SELECT f.id FROM agent_feedback f WHERE f.{_MINE} AND f.user_id = (SELECT id FROM who)),
searched AS MATERIALIZED (
    SELECT e.id, e.agent_id, e.question_id, e.received_at FROM retrieval_events e WHERE e.{_MINE} AND e.user_id = (SELECT id FROM who)
),
sourced AS MATERIALIZED (
    SELECT s.example_id AS id, s.feedback_id, s.execution_id, 'feedback' AS via FROM example_sources s WHERE s.{_MINE} AND s.user_id = (SELECT id FROM who)
    UNION ALL SELECT s.example_id, s.feedback_id, s.execution_id, 'input' FROM example_sources s
    WHERE s.{_MINE} AND s.input_user_id = (SELECT id FROM who)
),
own AS MATERIALIZED (SELECT e.id FROM learning_examples e WHERE e.{_MINE} AND e.user_id = (SELECT id FROM who)),
reviewed AS MATERIALIZED (SELECT a.id, a.example_id FROM expert_annotations a
    WHERE a.{_MINE} AND a.expert_id = (SELECT id FROM who) AND a.withdrawn_at IS NULL),
touched AS MATERIALIZED (SELECT id FROM sourced UNION SELECT id FROM own UNION SELECT example_id FROM reviewed),
showed AS MATERIALIZED (SELECT d.agent_id, d.id, d.received_at AS since FROM demonstrations d WHERE d.{_MINE} AND d.user_id = (SELECT id FROM who)),
asked AS MATERIALIZED (
    SELECT r.agent_id, r.question_id, r.created_at AS since FROM (SELECT DISTINCT execution_id FROM sourced) s
    {_each("SELECT r.agent_id, r.question_id, r.created_at FROM retrieval_answers r", "r", "r.execution_id = s.execution_id")}
    UNION SELECT a.id, e.question_id, e.received_at FROM searched e JOIN agents a ON a.{_MINE} AND (e.agent_id IS NULL OR a.id = e.agent_id)
        AND e.question_id IS NOT NULL
),
{_FORWARD},
assigned AS MATERIALIZED (
    SELECT x.experiment_id AS id, e.name, x.variant, x.epoch, x.exposed_at FROM experiment_assignments x
    JOIN learning_experiments e ON e.{_MINE} AND e.id = x.experiment_id AND e.unit = 'user' WHERE x.{_MINE} AND x.unit = %(user)s
)
SELECT jsonb_build_object('user', %(user)s::text, 'first_seen', w.created_at,
    'executions', (SELECT count(*) FROM agent_executions x WHERE x.{_MINE} AND x.user_id = w.id),
    'feedback', (SELECT count(*) FROM said), 'retrieval_feedback', (SELECT count(*) FROM searched), 'demonstrations', (SELECT count(*) FROM showed),
    'annotations', (SELECT count(*) FROM reviewed), 'feedback_ids', {_first("said", "id")}, 'example_ids', {_first("touched", "id")},
    'examples', (SELECT count(*) FROM touched), 'assigned', {_listed("assigned", "id, name, variant, epoch, exposed_at", "exposed_at, id")}) || {_LEARNT}
    || jsonb_build_object('examples_by', jsonb_build_object('feedback', (SELECT count(DISTINCT id) FROM sourced WHERE via = 'feedback'),
        'input', (SELECT count(DISTINCT id) FROM sourced WHERE via = 'input'), 'own', (SELECT count(*) FROM own),
        'review', (SELECT count(DISTINCT example_id) FROM reviewed))) FROM who w
"""
