"""A run of chaos from its beginning to its report.

Belongs here: the order of things, waiting for recovery, coming to rest. Not here: each part (world, load, blows, watch, invariants, report).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import httpx
import psycopg

from learning_pipelines.errors import LearningError
from learning_pipelines_tests.chaos.asking import Asking, Call, Strike, faults, numbers
from learning_pipelines_tests.chaos.blows import Blow, calm_after, sequence, strike
from learning_pipelines_tests.chaos.disk import Disk
from learning_pipelines_tests.chaos.invariants import Evidence, judge, left, silent
from learning_pipelines_tests.chaos.load import Load
from learning_pipelines_tests.chaos.report import Event, Report
from learning_pipelines_tests.chaos.sight import sight
from learning_pipelines_tests.chaos.watch import Seen, Watch
from learning_pipelines_tests.chaos.world import World, wait
from learning_pipelines_tests.fake_endpoint import FakeEndpoint, echoes

RECOVERY_SECONDS = 300.0
START_SECONDS = 300.0
STANDSTILL_SECONDS = 600.0
"""What was lost is asked for again after a tenth of the time that it has waited (defs/left_behind.py)."""
_RUNS = "{ runsOrError(limit: 20000) { ... on Runs { results { runId status jobName } } } }"
_UNFINISHED = {"QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"}
_COUNTED = (
    "agent_executions", "agent_feedback", "learning_examples", "expert_annotations", "training_datasets", "documents", "knowledge_chunks", "chunk_embeddings",
    "prompt_versions", "proposals", "retrieval_events", "outbox",
)  # fmt: skip
Say = Callable[[str], None]


@dataclass
class Options:
    """`rest_seconds`: the longest that coming to rest may take; `until`: no further blow after this moment (seconds since 1970).

    `patience`: after most blows the next one comes after so many seconds whether the system is well again or not; after every tenth, and after the last, it
    is given RECOVERY_SECONDS, and then, at most `calm_seconds` long, peace until there is a dataset to break (blows.calm_after).
    """

    seed: int = 7
    events: int = 200
    model: str = "embedded"
    megabytes: int = 4000
    pace: float = 1.0
    patience: float = 6.0
    calm_seconds: float = 60.0
    rest_seconds: float = 1800.0
    until: float = float("inf")
    conditions: str = ""
    kinds: dict[str, int] | None = None
    keep: bool = False
    variables: dict[str, str] = field(default_factory=dict)


def run(options: Options, say: Say) -> Report:
    """One run. Raises only if the system does not even start."""
    begun = time.monotonic()
    disk = Disk(options.megabytes)
    with ExitStack() as stack:
        variables = dict(options.variables)
        if options.model == "fake":
            endpoint = FakeEndpoint()
            endpoint.always = echoes  # type: ignore[assignment]
            stack.enter_context(endpoint.running())
            variables |= {"OPENAI_BASE_URL": endpoint.base_url, "OPENAI_API_KEY": "fake", "LEARNING_TASK_MODEL": "fake"}
        world = World(disk, variables)
        report = Report(options.seed, options.model, disk.limited, options.conditions)
        try:
            load, seen, calls, strikes = _storm(world, options, report, say)
            say("Coming to rest …")
            report.rest = come_to_rest(world, load, options.rest_seconds, say)
            _judge(world, load, seen, report)
            if options.model == "embedded":
                report.invariants["every call of the models is answered, whatever is killed under it"] = faults(calls, strikes)
            load.close()
        finally:
            report.seconds = time.monotonic() - begun
            world.stop()
            if not options.keep:
                disk.remove()
    return report


def _storm(world: World, options: Options, report: Report, say: Say) -> tuple[Load, Seen, list[Call], list[Strike]]:
    keys = world.prepare()
    world.start()
    assert wait(world.well, START_SECONDS), world.log.read_text()[-3000:]
    load = Load(world, keys, options.seed, options.pace)
    asking, strikes = Asking(world), list[Strike]()
    with ExitStack() as stack:
        watch = stack.enter_context(Watch(world.home))
        stack.enter_context(load)
        if options.model == "embedded":
            stack.enter_context(asking)
        time.sleep(5)
        blows = iter(_endless(options))
        begun = time.monotonic()
        while len(report.events) < options.events and time.time() < options.until:
            blow = next(blows)
            if blow.kind == "disk" and not world.disk.limited:
                report.missed["disk"] += 1
                continue
            time.sleep(blow.pause)
            _deal(world, blow, report, options, begun, strikes, say)
        time.sleep(3)
    report.answers, report.sent = load.ledger.numbers(), {kind: len(ids) for kind, ids in load.ledger.sent.items()}
    report.acknowledged = {kind: len(ids) for kind, ids in load.ledger.acknowledged.items()}
    calls = asking.calls()
    report.calls = numbers(calls)
    return load, watch.seen, calls, strikes


def _endless(options: Options) -> Sequence[Blow]:
    """More than are needed: some meet nothing that could be struck."""
    return sequence(options.seed, options.events * 3, options.kinds)


def _deal(world: World, blow: Blow, report: Report, options: Options, begun: float, strikes: list[Strike], say: Say) -> None:
    before, met = time.time(), sight(world)
    what = strike(world, blow)
    strikes.append(Strike(blow.kind, before, time.time()))
    if what is None:
        strikes.pop()
        report.missed[blow.kind] += 1
        return
    struck = time.monotonic()
    restarted = False

    def recovered() -> bool:
        nonlocal restarted
        restarted = world.keep_up() or restarted
        return world.well()

    number = len(report.events) + 1
    calm = calm_after(number)
    judged = calm is not None or number == options.events
    well = wait(recovered, RECOVERY_SECONDS if judged else options.patience, 0.3)
    took = time.monotonic() - struck
    what += " (up started again)" if restarted else ""
    rows, works = (met.rows, met.works) if met is not None else (None, None)
    report.events.append(Event(blow.kind, round(struck - begun, 1), what, round(took, 1) if well else None, judged, rows, works))
    say(f"{number:4} {struck - begun:7.1f} s  {what}: {f'well after {took:.1f} s' if well else 'the next one follows' if not judged else 'NOT WELL'}")
    if judged and not well:
        say(f"Not well after {RECOVERY_SECONDS:.0f} s; who runs: { {role: len(found) for role, found in world.processes().items()} }; up is started again.")
        world.kill_up()
    elif calm is not None and number < options.events:
        _peace(world, calm, options.calm_seconds, say)


def _peace(world: World, until: str, seconds: float, say: Say) -> None:
    """Waits until a dataset was made (`made`), or is being made (`works`)."""
    begun, first = time.monotonic(), sight(world)
    before = first.rows["training_datasets"] if first is not None else 0

    def there() -> bool:
        now = sight(world)
        return now is not None and (now.works.get("dataset_refresh", 0) > 0 if until == "works" else now.rows["training_datasets"] > before)

    met = wait(there, seconds)
    what = "a dataset is being made" if until == "works" else "a dataset was made"
    say(f"     calm: {what if met else f'not ({what})'} after {time.monotonic() - begun:.1f} s; {sight(world)}")


def come_to_rest(world: World, load: Load, seconds: float, say: Say) -> dict[str, object]:
    """Waits until what was sent has arrived and been taken up: no run goes on, nothing is left behind, three times in a row; `seconds` at most, and no
    longer than STANDSTILL_SECONDS after anything moved. Nobody helps: what was lost the sensors find."""
    begun, quiet = time.monotonic(), 0
    delivered = load.drain(seconds / 2)
    before, moved = "", time.monotonic()
    while quiet < 3 and time.monotonic() - begun < seconds and time.monotonic() - moved < STANDSTILL_SECONDS:
        world.keep_up()
        time.sleep(5)
        state = _state(world)
        quiet = quiet + 1 if state == "" else 0
        if state != before:
            before, moved = state, time.monotonic()
    found = {"seconds": round(time.monotonic() - begun), "delivered": delivered, "quiet": quiet >= 3, "left": _state(world)}
    say(str(found))
    return found


def _state(world: World) -> str:
    """What still goes on; empty: nothing."""
    try:
        going = [status for status in _runs(world).values() if status in _UNFINISHED]
        with world.database().connect("pipeline") as connection:
            behind = left(connection)
    except (httpx.HTTPError, LearningError, psycopg.Error, KeyError, TypeError, ValueError) as error:
        return f"no answer ({type(error).__name__})"
    if going:
        return f"{len(going)} runs go on ({dict(Counter(going))})"
    return ", ".join(f"{one.job} of {one.partition or 'all'} is behind" for one in behind)


def _runs(world: World) -> dict[str, str]:
    return {str(run["runId"]): str(run["status"]) for run in world.query(_RUNS)["results"]}


def _judge(world: World, load: Load, seen: Seen, report: Report) -> None:
    runs = _runs(world)
    report.runs = dict(Counter(runs.values()))
    with world.database().connect("pipeline") as connection:
        for table in _COUNTED:
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[arg-type]
            report.rows[table] = int(row[0]) if row else 0
        evidence = Evidence(connection, load.ledger, seen, runs)
        report.invariants, report.silent = judge(evidence), silent(evidence)
    late = [event.what for event in report.events if event.judged and event.recovered is None]
    report.invariants["the system recovers by itself"] = late
    report.invariants["the client delivers all that it took"] = [] if report.rest["delivered"] else ["its queue is not empty"]
    verified = world.run_json("verify")
    report.invariants["verify finds nothing"] = [f"{one['name']}: {one['advice']}" for one in verified["checks"] if not one["ok"]]
