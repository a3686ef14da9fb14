"""What there was at a moment: rows that can be broken, and runs whose process works; a blow that meets neither proves nothing about them.

Belongs here: these looks. Not here: what must hold (invariants.py), looking all the time (watch.py).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

import psycopg

from learning_pipelines.errors import LearningError
from learning_pipelines.storage.database import Database, of_server
from learning_pipelines.storage.embedded import HOST, EmbeddedServer
from learning_pipelines.storage.embedded_place import place_of, read_password
from learning_pipelines.storage.embedded_process import find_postmaster
from learning_pipelines_tests.chaos.world import World

ROWS = ("learning_examples", "expert_annotations", "training_datasets")
_PID = re.compile(r"\(pid: (\d+)\)")


@dataclass(frozen=True)
class Sight:
    """Rows by table; how many runs of each job had a process that worked."""

    rows: dict[str, int] = field(default_factory=dict)
    works: dict[str, int] = field(default_factory=dict)


def sight(world: World) -> Sight | None:
    """As things are now; None while the database is away: a look waits for nothing, or the next blow would wait too."""
    try:
        database = _database(world)
        if database is None:
            return None
        with database.connect("pipeline") as connection:
            rows = {table: int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in ROWS}  # type: ignore[arg-type, index]
        with psycopg.connect(database.dagster_url, connect_timeout=5) as connection:
            found = connection.execute(_STARTED).fetchall()
    except (psycopg.Error, LearningError, OSError):
        return None
    there = {process.pid for process in world.processes()["run"]}
    return Sight(rows, dict(Counter(str(job) for job, said in found if at_work(str(said), there))))


def _database(world: World) -> Database | None:
    """Of the server whose process is there, whether it takes anybody in or not (`embedded.running` waits until it does)."""
    place = place_of(world.home)
    main = find_postmaster(place.data)
    if main is None or main.port is None:
        return None
    return of_server(EmbeddedServer(HOST, main.port, read_password(place), place.data, place.log, main.process.pid, False))


_STARTED = """
SELECT r.pipeline_name, string_agg(e.event, ' ' ORDER BY e.id) FROM runs r JOIN event_logs e USING (run_id)
WHERE r.status = 'STARTED' AND e.dagster_event_type = 'ENGINE_EVENT' GROUP BY r.run_id, r.pipeline_name"""


def at_work(said: str, there: set[int]) -> bool:
    """Whether the process in which a run said that it executes its steps is one of those."""
    return any(int(pid) in there for pid in _PID.findall(said))
