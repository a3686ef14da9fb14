"""How long an expert waits for the annotation queue when many examples are pending: `make bench-review-queue ARGS="--sizes 10000 100000"`.

Belongs here: rows, timings, printing. Not here: assertions about time (there are none), the queue itself.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from benchmarks.record import record_numbers
from learning_pipelines.examples.experts import Expert
from learning_pipelines.examples.leases import lease_best
from learning_pipelines.examples.queue_items import shown
from learning_pipelines.examples.review import Verdict
from learning_pipelines.examples.review_undo import review_many, review_one
from learning_pipelines.examples.reviewing import Review
from learning_pipelines.feedback.identity import agent_id, organization_id, user_id
from learning_pipelines.storage import embedded, review_queue
from learning_pipelines.storage.database import Connection, Database, of_server
from learning_pipelines.storage.migrate import migrate
from learning_pipelines.storage.review_queue import Wanted
from learning_pipelines.storage.sessions import Acting, act_as

ORGANIZATION = organization_id("default")
EXPERT = Expert(ORGANIZATION, user_id(ORGANIZATION, "ada"), "ada", "user:ada")
AGENTS = 5
REPEATS = 15

# Ages over a year, five agents, all types, every tenth with several sources; a third is decided, and the expert has judged some of it.
ROWS = """
INSERT INTO learning_examples (organization_id, id, agent_id, example_type, source_type, input_text, original_output, expected_output, domain,
    content_hash, scrub_rules, confidence_score, support, review_status, created_at)
SELECT %(organization)s, 'e' || n, (%(agents)s::uuid[])[1 + n %% %(count)s],
    (ARRAY['correction', 'failure', 'negative', 'positive', 'edge_case', 'demonstration'])[1 + n %% 6], 'imported', repeat('Question ' || n || ' ', 12),
    repeat('answer ', 40), repeat('better ', 40), (ARRAY['tax', 'wages', 'law'])[1 + n %% 3], sha256(n::text::bytea), '1', (n::bigint * 7919 %% 1000) / 1000.0,
    CASE WHEN n %% 10 = 0 THEN 1 + n %% 7 ELSE 1 END, CASE WHEN n <= %(size)s THEN 'pending' ELSE 'approved' END,
    now() - make_interval(secs => n::bigint * 104729 %% 31536000)
FROM generate_series(1, %(size)s + %(size)s / 2) AS n"""
SOURCES = """
INSERT INTO example_sources (organization_id, example_id, feedback_id, execution_id, user_id)
SELECT organization_id, id, 'f' || id, 'x' || id, NULL FROM learning_examples"""
SEATS = """
INSERT INTO review_seats (organization_id, example_id, expert_id, round, seat, state)
SELECT organization_id, id, %s, 1, 1, CASE WHEN review_status = 'pending' THEN 'skipped' ELSE 'reviewed' END FROM learning_examples
WHERE hashtext(id) %% 4 = 0"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    for size in parser.parse_args().sizes:
        home = Path(tempfile.mkdtemp(prefix="review-"))
        try:
            database = of_server(embedded.ensure_running(home))
            migrate(database)
            found = measure(database, size)
            print(json.dumps({"pending": size, **found}, indent=1), flush=True)
            for name, numbers in found.items():
                record_numbers(f"{name}, {size:,} pending", numbers)
        finally:
            embedded.stop(home)
            shutil.rmtree(home, ignore_errors=True)


def measure(database: Database, size: int) -> dict[str, Any]:
    """Medians and worst of REPEATS, in milliseconds."""
    fill(database, size)
    agent = agent_id(ORGANIZATION, "agent-0")
    everything, one_agent, one_domain = Wanted(ORGANIZATION, EXPERT.id), Wanted(ORGANIZATION, EXPERT.id, agent), Wanted(ORGANIZATION, EXPERT.id, None, "tax")
    works: dict[str, Callable[[Connection], Any]] = {
        "page of 50": lambda c: shown(c, everything, 50), "page of 50, one agent": lambda c: shown(c, one_agent, 50),
        "page of 50, one domain": lambda c: shown(c, one_domain, 50), "total": lambda c: review_queue.total(c, everything),
        "next 10, leased": lambda c: lease_best(c, EXPERT, everything, 10), "verdict": _judge, "bulk of 100": _bulk,
    }  # fmt: skip
    return {name: timed(database, work) for name, work in works.items()}


def fill(database: Database, size: int) -> None:
    with database.connect("pipeline") as connection:
        connection.execute("INSERT INTO organizations (organization_id, slug) VALUES (%s, 'default')", [ORGANIZATION])
        connection.execute("INSERT INTO users (organization_id, id, external_id) VALUES (%s, %s, 'ada')", [ORGANIZATION, EXPERT.id])
        ids = [agent_id(ORGANIZATION, f"agent-{number}") for number in range(AGENTS)]
        for number, identity in enumerate(ids):
            connection.execute("INSERT INTO agents (organization_id, id, slug) VALUES (%s, %s, %s)", [ORGANIZATION, identity, f"agent-{number}"])
        connection.execute(ROWS, {"organization": ORGANIZATION, "agents": ids, "count": AGENTS, "size": size})
        connection.execute(SOURCES)
        connection.execute(SEATS, [EXPERT.id])
    with database.connect("owner") as connection:
        connection.execute("VACUUM ANALYZE")  # as autovacuum does within a minute


def timed(database: Database, work: Callable[[Connection], Any]) -> dict[str, float]:
    taken = []
    with database.connect("api") as connection:
        for _ in range(REPEATS):
            started = time.perf_counter()
            with connection.transaction():
                act_as(connection, Acting(ORGANIZATION, EXPERT.id, "expert"))
                work(connection)
            taken.append((time.perf_counter() - started) * 1000)
    return {"median_ms": round(statistics.median(taken), 1), "worst_ms": round(max(taken), 1)}


def _judge(connection: Connection) -> UUID:
    (name,) = review_queue.best(connection, Wanted(ORGANIZATION, EXPERT.id), 1)
    return review_one(connection, EXPERT, Review(name, Verdict.APPROVE))[0]


def _bulk(connection: Connection) -> UUID:
    ids = review_queue.best(connection, Wanted(ORGANIZATION, EXPERT.id), 100)
    return review_many(connection, EXPERT, ids, Verdict.APPROVE, None)[0]


if __name__ == "__main__":
    main()
