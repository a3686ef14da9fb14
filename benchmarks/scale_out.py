"""A thousand agents on two workers of which one is killed: `make bench-scale-out [ARGS="--agents 100"]`.

Belongs here: which figures of the story are kept. Not here: the story itself, its servers, workers and checks (learning_pipelines_tests/scale_out).

Ends with an error, and is no result, unless every count afterwards is what the rows say.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks.record import left_out, record
from learning_pipelines_tests.scale_out import story


def main() -> int:
    code, found = story.run()
    note(found)
    return code


def note(found: dict[str, Any]) -> None:
    """Figures by what they say, not by the worker that happened to be killed: its replacement begins later and does less."""
    workers = found["throughput"]
    record("agents a minute, all workers, the kill within", found["agents_per_minute"], "agents")
    for one in workers:
        name = f"agents a minute, {_kind(one['worker'], found)}"
        record(name, one["agents_per_minute"], "agents")
        record(f"agents finished, {_kind(one['worker'], found)}", one["agents"], "agents")
    for name, what in (("noticed", "counts as failed"), ("asked_again", "is asked for again"), ("done", "is done by another worker")):
        for one in found["recovery"]:
            if (seconds := one[f"{name}_seconds"]) is not None:
                record(f"from the kill until its run {what}", seconds, "s")
    lived = sum(one["agents"] for one in workers if one["worker"] != found["killed"]["worker"])
    for name, seconds in found["processor_seconds"].items():  # what the killed worker had taken, nobody knows any more
        record(f"processor an agent, {name}", 1000 * seconds / (lived if name == "workers" else found["agents"]), "ms of a core")
    if not found["separate_file_systems"]:
        left_out("file systems of their own: this user may not mount any, so workers saw each other's")
    record("counts that are as the rows say", sum(one["ok"] for one in found["checks"]), "counts")
    record("counts that are not", sum(not one["ok"] for one in found["checks"]), "counts")


def _kind(worker: str, found: dict[str, Any]) -> str:
    if worker == found["killed"]["worker"]:
        return "the killed worker"
    return "its replacement" if worker == found["killed"]["replaced_by"] else "a worker that lived"


if __name__ == "__main__":
    sys.exit(main())
