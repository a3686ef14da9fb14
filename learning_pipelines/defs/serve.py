"""Starting, stopping and examining a whole installation: database and Dagster together.

Belongs here: the order of things behind `up`, `down`, `verify` and `status`. Not here: how each part works (storage/, processes.py);
dagster is not imported.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from learning_pipelines.defs import processes, status_problems
from learning_pipelines.defs.cursors import BY_OUTBOX, position_of
from learning_pipelines.defs.instance import child, environment
from learning_pipelines.encoder_server import stop_encoder
from learning_pipelines.errors import LearningError
from learning_pipelines.llm_server import stop_model
from learning_pipelines.settings import Settings
from learning_pipelines.storage import embedded, learnt_corrections, migrate, operating, outbox, overview, proposals
from learning_pipelines.storage.database import Connection, Database, open_database
from learning_pipelines.storage.installation import Finding, findings
from learning_pipelines.storage.scheduler_lock import only_scheduler
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.tenants import known_organization

Say = Callable[[str], None]
REVIVE_EVERY_SECONDS = 2.0


@contextmanager
def installation(settings: Settings, part: processes.Part = "up") -> Iterator[Database]:
    """The database, migrated, for as long as an `up`, a part of it or `demo` lasts; an embedded server that this started is stopped at the end.

    What another part still uses is left to it.
    """
    with processes.only_one(settings, part):
        was_running = settings.database_url is None and embedded.running(settings.home) is not None
        try:
            database = open_database(settings)
            migrate.migrate(database)
            with nullcontext() if part == "worker" or database.embedded else only_scheduler(database):
                yield database
        finally:
            if not processes.others_running(settings, part):
                _stop_models(settings)
                if settings.database_url is None and not was_running:
                    embedded.stop(settings.home)


_STARTING = {"up": "the feedback service and Dagster", "worker": "the feedback service, Dagster's code server and its UI", "scheduler": "Dagster's daemon"}


def serve(settings: Settings, say: Say, part: processes.Part = "up") -> None:
    """`up`, or one part of it: it runs until SIGINT or SIGTERM."""
    if part != "scheduler":
        with processes.only_one(settings, part):  # says that it is up already, before it complains about ports that are not free
            processes.require_free_ports(settings)
    with stop_signals() as stopping, installation(settings, part) as database:
        say(f"Starting {_STARTING[part]} …")
        what = "Ctrl-C stops everything" if part == "up" else f"Ctrl-C stops the {part}"
        run_services(settings, database, stopping, say, lambda urls: say(f"Up. {urls}   ({what})"), part)


def run_services(
    settings: Settings, database: Database, stopping: Callable[[], bool], say: Say, ready: Callable[[str], None], part: processes.Part = "up"
) -> None:
    """Runs the processes until told to stop; revives the embedded server if it is killed. `ready` is told where they answer."""
    services = processes.Services(settings, database, part)
    try:
        services.start()
        ready("Schedules and sensors run." if part == "scheduler" else f"Pages and API: {services.api_url}   Dagster UI: {services.url}")
        services.watch(stopping, say, _reviver(settings, say))
    finally:
        services.stop()


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Within it SIGINT and SIGTERM only set a flag, so that everything is stopped in order; yields the flag."""
    asked: list[int] = []
    before = {number: signal.signal(number, lambda received, _: asked.append(received)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _reviver(settings: Settings, say: Say) -> Callable[[], None]:
    last = time.monotonic()

    def revive() -> None:
        nonlocal last
        if settings.database_url is not None or time.monotonic() - last < REVIVE_EVERY_SECONDS:
            return
        last = time.monotonic()
        try:
            if embedded.ensure_running(settings.home).started_here:
                say("The embedded database had ended; it runs again with every committed row.")
        except LearningError as error:
            say(f"Error: {error}")

    return revive


def stop(settings: Settings) -> list[str]:
    """`down`: what was running and is not any more."""
    stopped = ["feedback service and Dagster"] if processes.stop_running(settings) else []
    stopped += _stop_models(settings)  # after Dagster: a run that loses one of them would start it again
    if settings.database_url is None and (settings.home / "postgres").exists() and embedded.stop(settings.home):
        stopped.append("embedded database")
    return stopped


def _stop_models(settings: Settings) -> list[str]:
    """Ends the encoder of this home, and the embedded model unless another home uses it."""
    stopped = ["encoder"] if stop_encoder(settings) else []
    return stopped + (["embedded model"] if stop_model(settings) else [])


def verify(settings: Settings) -> list[Finding]:
    """Every check of the installation, database first."""
    found = [_home(settings)]
    if not found[0].ok:
        return found
    try:
        database = open_database(settings)
    except LearningError as error:
        return [*found, Finding("database reachable", False, str(error))]
    found += findings(database)
    if not all(one.ok for one in found):
        return found
    return [*found, _archive(settings, database), *_dagster(settings, database)]


def _archive(settings: Settings, database: Database) -> Finding:
    """Every archived file against what was written down of it."""
    from learning_pipelines.feedback.archive.checking import check

    try:
        checked = check(Store(settings, database))
    except LearningError as error:
        return Finding("archived files as they were written", False, str(error))
    wrong = f"{len(checked.wrong)} of {checked.files} are not: {'; '.join(checked.wrong[:5])}."
    return Finding("archived files as they were written", not checked.wrong, wrong if checked.wrong else f"{checked.files} files.")


def _home(settings: Settings) -> Finding:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        probe = settings.home / f".writable-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        return Finding("LEARNING_HOME writable", False, f"{settings.home}: {error.strerror}. Point LEARNING_HOME to a folder of your own.")
    return Finding("LEARNING_HOME writable", True)


def _dagster(settings: Settings, database: Database) -> list[Finding]:
    try:
        state = dagster_state(settings, database)
    except LearningError as error:
        return [Finding("code location loads", False, str(error))]
    stopped = state["stopped"]
    return [
        Finding("code location loads", True),
        Finding("schedules and sensors on", not stopped, f"Stopped: {', '.join(stopped)}. Switch them on in the Dagster UI (Automation)." if stopped else ""),
    ]


def dagster_state(settings: Settings, database: Database) -> dict[str, Any]:
    """What defs/state.py says. Raises LearningError with the last line of its output if it cannot be loaded."""
    log = settings.home / "logs" / "state.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as errors:
        process = child("learning_pipelines.defs.state", environment(settings, database), stderr=errors)
        answer, _ = process.communicate()
    if process.returncode != 0:
        raise LearningError(f"The code location does not load: {processes.last_line(log)}.", f"The whole text is in {log}.")
    state: dict[str, Any] = json.loads(answer)
    return state


def status(settings: Settings, organization: str | None) -> dict[str, Any]:
    """Counts, jobs, sensors, what waits (`queue`), freshness, failed checks, agents for which learning is off (`<organization>/<agent>`) and problems."""
    store = Store(settings)
    migrate.require_head(store.database)
    slug = None if organization is None else known_organization(store, organization)
    with store.pipeline() as connection:

        def lag(sensor: dict[str, Any]) -> int:
            return outbox.lag(connection, position_of(sensor["cursor"]))

        counts = overview.table_counts(connection, slug)
        state = dagster_state(settings, store.database)
        sensors = [
            {"name": sensor["name"], "lag_rows": lag(sensor) if sensor["name"] in BY_OUTBOX else None, "last_tick": sensor["last_tick"]}
            for sensor in state["sensors"]
        ]
        orphans = overview.orphans(connection, settings.orphan_days, slug)
        unsearchable = overview.documents_without_chunks(connection, slug)
        again = corrected_again(connection, slug)
        disabled = sorted(proposals.disabled_agents(connection, slug))
        queue = _queue(state, operating.waiting(connection, slug))
        work = status_problems.of_data(connection, settings, slug, dt.datetime.now(dt.UTC))
    problems = [*_problems(settings, store, state, orphans), *(f"{count} documents cannot be searched for: {why}" for why, count in unsearchable.items())]
    problems += [*again, *work, *status_problems.of_dagster(settings, state)]
    return {
        "counts": counts, "jobs": state["jobs"], "sensors": sensors, "queue": queue, "freshness": state["freshness"], "failed_checks": state["failed_checks"],
        "disabled": disabled, "problems": problems,
    }  # fmt: skip


def _queue(state: dict[str, Any], waiting: operating.Waiting) -> dict[str, Any]:
    """What waits: runs for their turn, examples for experts, entries of the outbox for the examples' reader; ages in seconds."""
    return {
        "runs_queued": state["runs"]["queued"], "runs_running": state["runs"]["running"],
        "annotations": waiting.annotations, "annotations_oldest_seconds": round(waiting.annotations_oldest),
        "outbox": waiting.outbox, "outbox_oldest_seconds": round(waiting.outbox_oldest),
    }  # fmt: skip


def corrected_again(connection: Connection, slug: str | None) -> list[str]:
    """A problem for every agent that is corrected again in what it had learnt."""
    counts = Counter(partition.partition("/")[2] for partition, _, _ in learnt_corrections.recurring(connection, slug))
    return [
        f"{count} {'thing' if count == 1 else 'things'} that {agent} had learnt {'is' if count == 1 else 'are'} corrected again "
        f"(`learning-pipelines corrections --agent {agent}`)"
        for agent, count in counts.items()
    ]


def _problems(settings: Settings, store: Store, state: dict[str, Any], orphans: int) -> list[str]:
    problems = [f"{one.name}: {one.advice}" for one in findings(store.database) if not one.ok]
    if orphans:
        problems.append(f"{orphans} feedback rows have waited more than {settings.orphan_days} days for their execution (LEARNING_ORPHAN_DAYS)")
    up = processes.parts_running(settings)
    if not up:
        problems.append("Nothing is up: no feedback is taken, schedules and sensors do not run (`learning-pipelines up`)")
    elif "scheduler" not in up:
        problems.append("No scheduler is up: schedules, sensors and queued runs wait (`make learning-scheduler`)")
    elif "worker" not in up:
        problems.append("No worker is up: no feedback is taken, and the scheduler has no code to run (`make learning-worker`)")
    return problems
