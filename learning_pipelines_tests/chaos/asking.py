"""Two callers of the models, in a process of their own: the embedded language model and the encoder, through the clients that everything uses.

Belongs here: `python -m learning_pipelines_tests.chaos.asking FILE` (a line per call), starting it, judging its lines. Not here: killing (blows.py).

Each caller keeps its client for as long as it lives, as the feedback service and a run do: a server that is killed under a call is to be started again, and the
call to be answered all the same.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from learning_pipelines.errors import LearningError
from learning_pipelines_tests.chaos.world import World
from learning_pipelines_tests.cli.command_line import environment

PAUSES = {"model": 3.0, "encoder": 1.0}
_FIXED = "When is the VAT return due?"


@dataclass(frozen=True)
class Call:
    """`error`: its class, empty if there was an answer; `ours`: it was one that says what to do; `wrong`: what is wrong with the answer.
    `opening`: the caller had no client yet, so that a server which is killed while it starts is not started again for it."""

    who: str
    begun: float
    ended: float
    error: str = ""
    ours: bool = True
    wrong: str = ""
    opening: bool = False


@dataclass(frozen=True)
class Strike:
    """A blow that hit, from its beginning to its end (seconds since 1970)."""

    kind: str
    begun: float
    ended: float


class Asking:
    """`with Asking(world) as asking`: both callers work until the end of the block."""

    def __init__(self, world: World) -> None:
        self._world, self._file = world, world.disk.outside / "asked.jsonl"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Asking:
        command = [sys.executable, "-m", "learning_pipelines_tests.chaos.asking", str(self._file)]
        with (self._world.disk.outside / "asking.log").open("ab") as output:
            self._process = subprocess.Popen(command, env=environment(self._world.home, **self._world.variables), stdin=subprocess.PIPE, stderr=output)
        return self

    def __exit__(self, *_: object) -> None:
        """Each caller ends after one more call."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait(600)

    def calls(self) -> list[Call]:
        return [Call(**json.loads(line)) for line in self._file.read_text().splitlines()] if self._file.exists() else []


def numbers(calls: Iterable[Call]) -> dict[str, dict[str, int]]:
    """Calls by caller and how they ended."""
    counted = Counter((call.who, call.error or "answered") for call in calls)
    return {who: {how: count for (one, how), count in sorted(counted.items()) if one == who} for who in PAUSES}


def faults(calls: list[Call], strikes: list[Strike]) -> list[str]:
    """Calls that were to be answered and were not, or wrongly: one kill before or under a call is made good; a second one, or a full disk, may fail it."""
    found = [f"no call of the {who} was answered after the last blow" for who in PAUSES if not _answered_last(calls, who, strikes)]
    since: dict[str, float] = {}
    for call in sorted(calls, key=lambda one: one.begun):
        during = [strike.kind for strike in strikes if strike.begun <= call.ended and strike.ended >= since.get(call.who, call.begun)]
        since[call.who] = call.ended
        if call.wrong:
            found.append(f"the {call.who} {call.wrong}")
        elif call.error and not call.ours:
            found.append(f"a call of the {call.who} failed with {call.error}, which says nothing to anybody")
        elif call.error and during.count(call.who) < (1 if call.opening else 2) and "disk" not in during:
            found.append(f"a call of the {call.who} failed with {call.error} after {call.ended - call.begun:.1f} s; struck meanwhile: {during or 'nothing'}")
    return found


def _answered_last(calls: list[Call], who: str, strikes: list[Strike]) -> bool:
    last = max((strike.ended for strike in strikes), default=0.0)
    return any(call.who == who and not call.error and call.begun >= last for call in calls)


def _ask_model() -> Callable[[str], str]:
    from learning_pipelines.llm import Message, open_model
    from learning_pipelines.settings import load_settings

    model = open_model(load_settings())

    def ask(text: str) -> str:
        answer = model.complete([Message("user", f"{text} Answer briefly.")], max_tokens=6)
        return "" if answer.output_tokens > 0 else "answered nothing"

    return ask


def _ask_encoder() -> Callable[[str], str]:
    import numpy as np

    from learning_pipelines.encoder import open_encoder
    from learning_pipelines.settings import load_settings

    encoder = open_encoder(load_settings())
    first = encoder.encode([_FIXED, "x"])[0]

    def ask(text: str) -> str:
        again = encoder.encode([_FIXED, text])[0]  # two texts: a single one may be remembered
        return "" if float(np.dot(first, again) / (np.linalg.norm(first) * np.linalg.norm(again))) > 0.999 else "gave the same text another vector"

    return ask


def _work(who: str, opened: Callable[[], Callable[[str], str]], ends: threading.Event, say: Callable[[Call], None]) -> None:
    """Until it is to end, and once more."""
    ask: Callable[[str], str] | None = None
    last = False
    for number in itertools.count():
        begun, opening, error, ours, wrong = time.time(), ask is None, "", True, ""
        try:
            ask = ask or opened()
            wrong = ask(f"What about paragraph {number}?")
        except Exception as failed:  # noqa: BLE001  whatever it is goes into the book
            error, ours = type(failed).__name__, isinstance(failed, LearningError)
        say(Call(who, begun, time.time(), error, ours, wrong, opening))
        if last:
            return
        last = ends.wait(PAUSES[who])


def main(path: Path) -> None:
    """Both callers, until standard input ends."""
    ends, writing = threading.Event(), threading.Lock()
    with path.open("a") as file:

        def say(call: Call) -> None:
            with writing:
                print(json.dumps(asdict(call)), file=file, flush=True)

        threads = [threading.Thread(target=_work, args=(who, opened, ends, say)) for who, opened in (("model", _ask_model), ("encoder", _ask_encoder))]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        ends.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
