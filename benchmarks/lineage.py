"""How long a question of lineage takes among a million feedback events, as the role of the service under row-level security: `make bench-lineage`.

Belongs here: rows, timings, printing. Not here: assertions about time (there are none), the questions themselves (storage/lineage.py).

Five agents, the first with half of everything, and as many executions as feedback, over six months. People follow a power law (one of fifty thousand said
4,500 things), examples too. Seven feedback events of ten speak for one of 0.4 examples per event; a tenth of the examples is approved. Every agent has
24 dataset versions that grow week by week, a run and a test for each, and every third run made a prompt version that goes on from the one before. Retrieval is
trained daily; ten experiments with all users assigned.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.record import record
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.reports import lineage
from learning_pipelines.storage import embedded
from learning_pipelines.storage.database import Connection, Database, of_server
from learning_pipelines.storage.migrate import migrate
from learning_pipelines.storage.sessions import Acting, act_as
from learning_pipelines.storage.tenants import AgentRef, agents, ensure_organization

ORGANIZATION = organization_id("default")
ASKING = Acting(ORGANIZATION, role="admin", application=True)
AGENTS, WEEKS, USERS = 5, 24, 50_000

# Which agent, person and example an event is about follows from its number alone; half of the events are the first agent's.
EVENTS = f"""
CREATE TABLE public.events AS SELECT n, CASE WHEN n %% 2 = 0 THEN 0 ELSE 1 + n / 2 %% {AGENTS - 1} END AS agent,
    floor({USERS} * power(learning_share(n, 1), 2))::integer AS person, floor(%(examples)s * power(learning_share(n, 2), 1.5))::integer AS example,
    learning_share(n, 3) < 0.7 AS teaches, now() - make_interval(days => {WEEKS * 7}) * learning_share(n, 4) AS at
FROM generate_series(1, %(events)s) AS n"""
SHARE = """
CREATE FUNCTION public.learning_share(n bigint, salt integer) RETURNS double precision LANGUAGE sql IMMUTABLE AS
$$ SELECT (hashint8extended(n, salt) & 9007199254740991)::double precision / 9007199254740992 $$"""
FILLING = {
    "users": f"""INSERT INTO users (organization_id, id, external_id)
        SELECT %(o)s, md5('user' || n)::uuid, 'user-' || n FROM generate_series(0, {USERS - 1}) n""",
    "agents": f"INSERT INTO agents (organization_id, id, slug) SELECT %(o)s, md5('agent' || n)::uuid, 'agent-' || n FROM generate_series(0, {AGENTS - 1}) n",
    "executions": """INSERT INTO agent_executions (organization_id, id, agent_id, user_id, input, output, created_at, received_at)
        SELECT %(o)s, 'x' || n, md5('agent' || agent)::uuid, md5('user' || person)::uuid, 'question', 'answer', at, at FROM public.events""",
    "feedback": """INSERT INTO agent_feedback (organization_id, id, arrival, execution_id, agent_id, user_id, feedback_type, created_at, received_at)
        SELECT %(o)s, 'f' || n, n, 'x' || n, md5('agent' || agent)::uuid, md5('user' || person)::uuid,
            (ARRAY['thumbs_up', 'thumbs_up', 'thumbs_down', 'correction'])[1 + n %% 4], at, at FROM public.events""",
    "keys": """INSERT INTO ingest_keys (organization_id, kind, external_id, content_hash, agent_id, happened_at, received_at)
        SELECT %(o)s, 'feedback', 'f' || n, '\\x00', md5('agent' || agent)::uuid, at, at FROM public.events""",
    "examples": """INSERT INTO learning_examples (organization_id, id, agent_id, example_type, source_type, user_id, input_text, expected_output, content_hash,
            scrub_rules, review_status)
        SELECT DISTINCT ON (agent, example) %(o)s, 'e' || agent || '-' || example, md5('agent' || agent)::uuid, 'correction', 'user_feedback',
            md5('user' || person)::uuid, 'question ' || example, 'answer', sha256((agent || '-' || example)::bytea), '1',
            CASE WHEN example %% 10 = 0 THEN 'approved' ELSE 'pending' END FROM public.events WHERE teaches ORDER BY agent, example, n""",
    "sources": """INSERT INTO example_sources (organization_id, example_id, feedback_id, execution_id, user_id, input_user_id, created_at)
        SELECT %(o)s, 'e' || agent || '-' || example, 'f' || n, 'x' || n, md5('user' || person)::uuid, md5('user' || person)::uuid, at
        FROM public.events WHERE teaches""",
    "findings": """INSERT INTO correction_findings (organization_id, agent_id, example_id, content_hash, significance, kinds, wrong_text, right_text,
            cluster_id)
        SELECT organization_id, agent_id, id, content_hash, 1, '{}', 'w', 'r', 'c' || (row_number() OVER ()) %% 50 FROM learning_examples
        WHERE review_status = 'approved'""",
    "datasets": f"""INSERT INTO training_datasets (organization_id, id, name, version, status, content_hash, created_at)
        SELECT %(o)s, md5('data' || a || '/' || w)::uuid, 'agent-' || a, w, 'ready', sha256((a || '/' || w)::bytea),
            now() - make_interval(days => 7 * ({WEEKS} - w)) FROM generate_series(0, {AGENTS - 1}) a, generate_series(1, {WEEKS}) w""",
    "members": f"""INSERT INTO dataset_examples (organization_id, dataset_id, example_id, split, content_hash)
        SELECT e.organization_id, md5('data' || a || '/' || w)::uuid, e.id,
            CASE WHEN k %% 10 < 5 THEN 'train' WHEN k %% 10 < 7 THEN 'validation' ELSE 'test' END, e.content_hash
        FROM (SELECT e.*, row_number() OVER (PARTITION BY agent_id ORDER BY md5(id)) AS k, count(*) OVER (PARTITION BY agent_id) AS of FROM learning_examples e
            WHERE review_status = 'approved') e
        JOIN generate_series(0, {AGENTS - 1}) a ON e.agent_id = md5('agent' || a)::uuid JOIN generate_series(1, {WEEKS}) w ON e.k <= e.of * w / {WEEKS}""",
    "runs": f"""INSERT INTO training_runs (organization_id, id, agent_id, dataset_id, training_type, status, created_at)
        SELECT %(o)s, md5('run' || a || '/' || w)::uuid, md5('agent' || a)::uuid, md5('data' || a || '/' || w)::uuid, 'prompt_optimization', 'completed',
            now() - make_interval(days => 7 * ({WEEKS} - w)) FROM generate_series(0, {AGENTS - 1}) a, generate_series(1, {WEEKS}) w
        UNION ALL SELECT %(o)s, md5('rag' || a || '/' || d)::uuid, md5('agent' || a)::uuid, NULL, 'rag_tuning', 'completed', now() - make_interval(days => d)
        FROM generate_series(0, {AGENTS - 1}) a, generate_series(1, {WEEKS * 7}) d""",
    "uses": """INSERT INTO dataset_uses (organization_id, dataset_id, training_run_id, splits, examples, used_at)
        SELECT organization_id, dataset_id, id, '{train,validation}', 1, created_at FROM training_runs WHERE dataset_id IS NOT NULL""",
    "prompts": f"""INSERT INTO prompt_versions (organization_id, agent_id, version, parent_version, origin, messages, dataset_id, training_run_id,
            content_hash)
        SELECT %(o)s, md5('agent' || a)::uuid, v, nullif(v - 1, 0), CASE WHEN v = 1 THEN 'imported' ELSE 'learnt' END, '[]',
            CASE WHEN v > 1 THEN md5('data' || a || '/' || 3 * (v - 1))::uuid END, CASE WHEN v > 1 THEN md5('run' || a || '/' || 3 * (v - 1))::uuid END,
            sha256((a || '/' || v)::bytea) FROM generate_series(0, {AGENTS - 1}) a, generate_series(1, {WEEKS // 3 + 1}) v""",
    "winners": """INSERT INTO prompt_candidates (organization_id, training_run_id, name, agent_id, strategy, parent, note, content_hash, messages, serving,
            shown, items, outcome, is_winner, on_front)
        SELECT r.organization_id, r.id, 'won', r.agent_id, 'few_shot', '', '', '\\x00', '[]', '{}', ARRAY(SELECT example_id FROM dataset_examples d
            WHERE d.organization_id = r.organization_id AND d.dataset_id = r.dataset_id AND d.split = 'train' ORDER BY md5(example_id) LIMIT 8), 1, 'kept',
            true, true FROM training_runs r WHERE r.training_type = 'prompt_optimization'""",
    "tests": """INSERT INTO acceptance_tests (organization_id, id, agent_id, kind, training_run_id, candidate, incumbent, k, alpha, verdict)
        SELECT organization_id, id, agent_id, 'prompt', id, '{}', '{}', 1, 0.05, 'better' FROM training_runs WHERE dataset_id IS NOT NULL""",
    "items": """INSERT INTO acceptance_test_items (organization_id, test_id, example_id)
        SELECT t.organization_id, t.id, d.example_id FROM acceptance_tests t JOIN training_runs r ON r.id = t.training_run_id
        CROSS JOIN LATERAL (SELECT example_id FROM dataset_examples d WHERE d.organization_id = r.organization_id AND d.dataset_id = r.dataset_id
            AND d.split = 'test' ORDER BY md5(example_id) LIMIT 300) d""",
    "proposals": """INSERT INTO proposals (organization_id, agent_id, kind, state, verdict, subject, incumbent, evidence, training_run_id)
        SELECT organization_id, agent_id, 'prompt', 'approved', 'better', jsonb_build_object('version', version), jsonb_build_object('version', version - 1),
            '{}', training_run_id FROM prompt_versions WHERE version > 1""",
    "indexes": f"""INSERT INTO index_versions (organization_id, encoder_id, status, agent_id, number, kind, training_run_id)
        SELECT %(o)s, md5('encoder')::uuid, 'ready', md5('agent' || a)::uuid, v, 'reranker', md5('rag' || a || '/' || 16 * v)::uuid
        FROM generate_series(0, {AGENTS - 1}) a, generate_series(1, 10) v""",
    "behavior": f"""INSERT INTO behavior_versions (organization_id, agent_id, kind, number, config, training_run_id)
        SELECT %(o)s, md5('agent' || a)::uuid, 'guidance', w, jsonb_build_object('dataset_id', md5('data' || a || '/' || w)::uuid),
            md5('run' || a || '/' || w)::uuid FROM generate_series(0, {AGENTS - 1}) a, generate_series(1, {WEEKS}) w""",
    "experiments": """INSERT INTO learning_experiments (organization_id, id, agent_id, name, status, arms)
        SELECT %(o)s, md5('experiment' || n)::uuid, md5('agent' || n %% 5)::uuid, 'experiment-' || n, 'running',
            jsonb_build_array(jsonb_build_object('variant', 'control', 'version', 1 + n / 2, 'weight', 0.5),
                jsonb_build_object('variant', 'treatment', 'version', 2 + n / 2, 'weight', 0.5)) FROM generate_series(1, 10) n""",
    "assignments": f"""INSERT INTO experiment_assignments (organization_id, experiment_id, unit, variant, exposed_at)
        SELECT %(o)s, md5('experiment' || e)::uuid, 'user-' || u, 'control', now() FROM generate_series(1, 10) e, generate_series(0, {USERS - 1}) u""",
    "answers": """INSERT INTO retrieval_answers (organization_id, execution_id, agent_id, question_id, created_at)
        SELECT %(o)s, 'x' || n, md5('agent' || agent)::uuid, md5('question' || n %% 20000), at FROM public.events WHERE n %% 10 = 0""",
    "pairs": """INSERT INTO embedding_training_pairs (organization_id, agent_id, query, document, document_id, label, query_id, chunk_id, origin)
        SELECT %(o)s, md5('agent0')::uuid, 'q', 'd', 'd', 'positive', md5('question' || n), 'c' || c, 'feedback'
        FROM generate_series(0, 19999) n, generate_series(1, 5) c""",
    "counted": """INSERT INTO experiment_executions (organization_id, experiment_id, execution_id, unit, variant)
        SELECT %(o)s, md5('experiment' || 1 + n %% 10)::uuid, 'x' || n, 'user-' || person, 'control' FROM public.events WHERE n %% 3 = 0""",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="Feedback events.")
    parser.add_argument("--asks", type=int, default=200, help="Questions of each kind.")
    parser.add_argument("--home", type=Path, help="Fill this home, or ask what it holds; by default a new one that is deleted at the end.")
    parser.add_argument("--explain", action="store_true", help="Print the plan of the largest question of each kind.")
    given = parser.parse_args()
    home = given.home or Path(tempfile.mkdtemp(prefix="lineage-"))
    try:
        database = of_server(embedded.ensure_running(home), "lineage")
        migrate(database)
        begun = time.monotonic()
        fill(database, given.events)
        print(json.dumps({"events": given.events, "filled_in_seconds": round(time.monotonic() - begun)}), flush=True)
        print(json.dumps(measure(database, given.events, given.asks), indent=1), flush=True)
        if given.explain:
            explain(database, given.events)
    finally:
        embedded.stop(home)
        if given.home is None:
            shutil.rmtree(home, ignore_errors=True)


def fill(database: Database, events: int) -> None:
    """Rows by SQL alone, past triggers and foreign keys; does nothing where they are there."""
    with database.connect("pipeline") as connection:
        if agents(connection, "default"):
            return
        ensure_organization(connection, ORGANIZATION, "default")
    with psycopg.connect(database.admin_url, autocommit=True) as session:
        session.execute("SET search_path = learning, public")
        session.execute("SET session_replication_role = replica")
        for month in range(-WEEKS // 4 - 1, 1):
            for table in ("agent_executions", "agent_feedback"):
                session.execute("SELECT learning.make_partitions(%s, (now() + make_interval(months => %s))::date, 1)", [table, month])
        session.execute(SHARE)
        session.execute(EVENTS, {"events": events, "examples": 2 * events // 25})
        for name, statement in FILLING.items():
            begun = time.monotonic()
            rows = session.execute(statement, {"o": ORGANIZATION}).rowcount  # type: ignore[call-overload]
            print(f"  {name}: {rows} rows in {time.monotonic() - begun:.1f} s", flush=True)
        session.execute("DROP TABLE public.events")
        session.execute("VACUUM (ANALYZE)")


def measure(database: Database, events: int, asks: int) -> dict[str, Any]:
    """Of each question p50, p99 and most in milliseconds, and how much it found at most. The transaction and who it acts for count too. `server`: the time that
    the database worked on it, which other work on the machine does not lengthen (Linux)."""
    seeded = random.Random(7)
    with database.connect("pipeline") as connection:
        known = agents(connection, "default")
        (taught,) = connection.execute("SELECT array_agg(feedback_id) FROM (SELECT feedback_id FROM example_sources s JOIN dataset_examples d"
            " USING (organization_id, example_id) WHERE s.organization_id = %s LIMIT 100000) x", [ORGANIZATION]).fetchone() or ([],)  # fmt: skip
    newest = WEEKS // 3 + 1
    questions: dict[str, Callable[[], Callable[[Connection], Any]]] = {
        "prompt, the newest of the largest agent": lambda: of_prompt(known[0], newest),
        "prompt, any": lambda: of_prompt(seeded.choice(known), seeded.randint(1, newest)),
        "feedback, any": lambda: of_feedback(f"f{seeded.randint(1, events)}"),
        "feedback in a dataset": lambda: of_feedback(seeded.choice(taught)),
        "user, any": lambda: of_user(f"user-{seeded.randrange(USERS)}"),
        "user who said most": lambda: of_user("user-0"),
    }
    found: dict[str, Any] = {}
    with database.connect("api") as connection:
        (server,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
        for name, make in questions.items():
            waited, worked, sizes = [], [], dict[str, int]()
            for ask in [make() for _ in range(asks)]:
                begun, before = time.perf_counter(), working(server)
                with acting(connection):
                    answer = ask(connection)
                waited.append(1000 * (time.perf_counter() - begun))
                worked.append(working(server) - before)
                sizes = {key: max(size, sizes.get(key, 0)) for key, size in counts(answer).items()}
            found[name] = {"waited_ms": quantiles(waited), "server_ms": quantiles(worked), "found": sizes}
            for key in ("waited_ms", "server_ms"):
                for share, value in found[name][key].items():
                    record(f"lineage of a {name}, {events:,} events, {key.removesuffix('_ms')} {share}", value, "ms")
            print(f"  {name}: waited {found[name]['waited_ms']}, server {found[name]['server_ms']}", flush=True)
    return found


def working(process: int) -> float:
    """Milliseconds that a process has been on a processor; 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e6
    except OSError:
        return 0.0


def quantiles(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {"p50": round(ordered[len(ordered) // 2], 1), "p99": round(ordered[int(len(ordered) * 0.99)], 1), "most": round(ordered[-1], 1)}


def explain(database: Database, events: int) -> None:
    """Plans of the statements with the most to find."""
    from learning_pipelines.storage import lineage as statements

    with database.connect("pipeline") as connection:
        largest = agents(connection, "default")[0]
    values: dict[str, Any] = {"organization": ORGANIZATION, "limit": 100, "own": None, "agent": largest.agent_id, "version": WEEKS // 3 + 1, "user": "user-0"}
    with database.connect("api") as connection:
        for statement in (statements._OF_PROMPT, statements._OF_FEEDBACK, statements._OF_USER):
            with acting(connection):
                rows = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", {**values, "feedback": f"f{events}"}).fetchall()  # type: ignore[call-overload]
                print("\n".join(row[0] for row in rows), "\n")


@contextmanager
def acting(connection: Connection) -> Iterator[None]:
    with connection.transaction():
        act_as(connection, ASKING)
        yield


def of_prompt(agent: AgentRef, version: int) -> Callable[[Connection], Any]:
    return lambda connection: lineage.of_prompt(connection, agent, version)


def of_feedback(name: str) -> Callable[[Connection], Any]:
    return lambda connection: lineage.of_feedback(connection, ORGANIZATION, name)


def of_user(name: str) -> Callable[[Connection], Any]:
    return lambda connection: lineage.of_user(connection, ORGANIZATION, name)


def counts(answer: dict[str, Any]) -> dict[str, int]:
    lists = {name: value["count"] for name, value in answer.items() if isinstance(value, dict) and "count" in value}
    return lists | {name: value for name, value in answer.items() if name in ("feedback", "examples", "executions") and isinstance(value, int)}


if __name__ == "__main__":
    main()
