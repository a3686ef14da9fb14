"""A look at the database every second or two while everything else goes on: what may never move backwards, what there may be one of at any time.

Belongs here: looking, and what was seen wrong. Not here: what must hold at the end (invariants.py).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from learning_pipelines.errors import LearningError
from learning_pipelines.storage import embedded
from learning_pipelines.storage.database import Connection, of_server

Place = tuple[str, str, str, str]
"""Reader, organization, agent, cluster."""


@dataclass
class Seen:
    """`positions` of every reader of the outbox as last seen; `faults` in words; `looks` that succeeded."""

    positions: dict[Place, tuple[int, int]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    looks: int = 0

    def moved(self, positions: Iterable[tuple[Place, tuple[int, int]]]) -> None:
        """Takes up what was seen now; one that lies before what was seen earlier is a fault."""
        for place, now in positions:
            before = self.positions.get(place)
            if before is not None and now < before:
                self.faults.append(f"the position of {place[0]} went from {before} back to {now}")
            self.positions[place] = now


def look(connection: Connection, seen: Seen) -> None:
    """One look."""
    rows = connection.execute("SELECT reader, organization_id::text, agent_id::text, cluster, xid::text, id FROM outbox_positions").fetchall()
    seen.moved(((str(row[0]), str(row[1]), str(row[2]), str(row[3])), (int(row[4]), int(row[5]))) for row in rows)
    seen.faults += several_labels(connection)
    seen.looks += 1


def several_labels(connection: Connection) -> list[str]:
    """Labels that point at more than one version of an agent, or at none that is there."""
    several = connection.execute("SELECT agent_id, label, count(*) FROM prompt_labels GROUP BY 1, 2 HAVING count(*) > 1").fetchall()
    nowhere = connection.execute(
        """SELECT l.agent_id, l.label FROM prompt_labels l WHERE NOT EXISTS (SELECT FROM prompt_versions v
            WHERE v.organization_id = l.organization_id AND v.agent_id = l.agent_id AND v.version = l.version)"""
    ).fetchall()
    return [f"{count} versions have the label {label} of {agent}" for agent, label, count in several] + [
        f"the label {label} of {agent} points at no version" for agent, label in nowhere
    ]


class Watch:
    """`with Watch(home) as watch`: looks until the end of the block; a database that is away is looked at again later."""

    def __init__(self, home: Path, pause: float = 1.5) -> None:
        self._home, self._pause = home, pause
        self.seen = Seen()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch")

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ends.wait(self._pause):
            try:
                server = embedded.running(self._home)
                if server is not None:
                    with of_server(server).connect("pipeline") as connection:
                        look(connection, self.seen)
            except (psycopg.Error, LearningError, OSError):
                continue  # it was struck this very moment
