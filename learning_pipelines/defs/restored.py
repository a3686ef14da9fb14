"""A child process that makes a restored Dagster go on here: `python -m learning_pipelines.defs.restored`, one JSON document on standard output.

Belongs here: cursors of sensors, runs that were under way, heartbeats. Not here: the outbox they point into (storage/outbox_moves.py).
"""

import json
import logging
import sys

import dagster as dg

from learning_pipelines.defs.cursors import Cursor
from learning_pipelines.storage import outbox_moves
from learning_pipelines.storage.store import Store

_LOST = "The installation was restored from a backup that was taken while this run was under way."


def main() -> None:
    logging.getLogger("dagster").setLevel(logging.WARNING)
    with dg.DagsterInstance.get() as instance:
        moved = _move_cursors(instance, Store())
        json.dump({"cursors": moved, "runs": _end_lost_runs(instance)}, sys.stdout)
        instance.wipe_daemon_heartbeats()


def _move_cursors(instance: dg.DagsterInstance, store: Store) -> int:
    """Sensors that read the outbox go on where they stood. Returns how many."""
    cursors = {state.selector_id: (state, cursor) for state in instance.all_instigator_state() if (cursor := _cursor(state)) is not None}
    with store.database.connect("owner") as connection:
        moved = outbox_moves.settle(connection, [cursor.position for _, cursor in cursors.values()])
    found = [(state, cursor, moved[cursor.position]) for state, cursor in cursors.values() if cursor.position in moved]
    for state, cursor, there in found:
        instance.update_instigator_state(state.with_data(state.instigator_data._replace(cursor=Cursor.at(there, cursor.days).text)))
    return len(found)


def _cursor(state) -> Cursor | None:
    """The cursor of a sensor that reads the outbox, None for anything else."""
    text = getattr(state.instigator_data, "cursor", None)
    try:
        return Cursor.read(text)
    except (ValueError, TypeError):
        return None


def _end_lost_runs(instance: dg.DagsterInstance) -> int:
    """Runs whose process was left behind: failed, so that they are tried again and hold no place in a pool."""
    lost = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]))
    for record in lost:
        instance.report_run_failed(record.dagster_run, _LOST)
        instance.event_log_storage.free_concurrency_slots_for_run(record.dagster_run.run_id)
    return len(lost)


if __name__ == "__main__":
    main()
