"""The blows: which process is killed when, when the disk fills up; drawn from a seed, so that a sequence can be dealt again.

Belongs here: the sequence and each blow. Not here: whether the system recovers (harness.py).
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import psutil

from learning_pipelines_tests.chaos.world import World, wait

WEIGHTS = {
    "api": 20, "postgres": 16, "run": 20, "code-server": 10, "daemon": 10, "loader": 6, "webserver": 3, "encoder": 5, "model": 5, "disk": 8, "up": 1,
}  # fmt: skip
"""How often each is struck. `loader` is the process below the code server that loads the definitions and is the parent of runs; `up` is the supervisor
itself, which the harness starts again as a service manager would."""
_RUN_SECONDS = 8.0
"""How long a blow at a run waits for one."""


@dataclass(frozen=True)
class Blow:
    """`pause`: seconds of peace before it; `hold`: how long a full disk stays full; `pick`: which of several processes (0–1)."""

    kind: str
    pause: float
    hold: float
    pick: float


def sequence(seed: int, events: int, kinds: dict[str, int] | None = None) -> list[Blow]:
    """The blows of a seed; every kind occurs if there are enough of them."""
    rng, weights = random.Random(seed), kinds or WEIGHTS
    names = list(weights)
    drawn = names[:events] + rng.choices(names, list(weights.values()), k=max(0, events - len(names)))
    rng.shuffle(drawn)
    return [Blow(kind, rng.uniform(0.2, 3.0), rng.uniform(2.0, 6.0), rng.random()) for kind in drawn]


JUDGED_EVERY = 10
"""After so many blows the system is given the time to be well by itself."""


def calm_after(number: int) -> str | None:
    """What is waited for in the calm after a blow, so that there is something to break: a dataset that was made since, or, every other time, a run that
    makes one at this moment, which the next blow then meets. None: the next blow follows."""
    if number % JUDGED_EVERY:
        return None
    return "made" if number // JUDGED_EVERY % 2 else "works"


def strike(world: World, blow: Blow) -> str | None:
    """Strikes. What was struck in words; None if there was nothing to strike (then it was no event)."""
    if blow.kind == "disk":
        taken = world.disk.fill()
        time.sleep(blow.hold)
        world.disk.free()
        return f"disk full for {blow.hold:.1f} s ({taken >> 20} MB taken)"
    if blow.kind == "postgres":
        return _kill("postgres", world.postgres())
    if blow.kind == "up":
        world.kill_up()
        return "up: 1 killed"
    found = _found(world, blow.kind, _RUN_SECONDS if blow.kind == "run" else 2.0)
    if not found:
        return None
    if blow.kind == "run":
        found = [found[int(blow.pick * len(found))]]
    return _kill(blow.kind, found)


def _found(world: World, role: str, seconds: float) -> list[psutil.Process]:
    found: list[psutil.Process] = []

    def look() -> bool:
        found[:] = world.processes()[role]
        return bool(found)

    wait(look, seconds, 0.1)
    return found


def _kill(what: str, processes: list[psutil.Process]) -> str | None:
    killed = 0
    for process in processes:
        try:
            process.kill()
            killed += 1
        except psutil.NoSuchProcess:
            continue
    return f"{what}: {killed} killed" if killed else None
