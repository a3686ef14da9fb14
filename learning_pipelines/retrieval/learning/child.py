"""A learner's work in a process of its own: what it needs goes in, progress and the result come back as lines of JSON.

Belongs here: starting, watching and ending that process, on both sides. Not here: the work (finetune.py, static.py), dagster.

Training takes gigabytes and may be killed for it; the run that asked for it goes on and says so. torch is never imported on the asking side, and a
process that has imported it is never forked. If the asking side dies, its training ends too, instead of running on for nobody.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import orjson

from learning_pipelines.errors import BadInput, LearningError, Unavailable
from learning_pipelines.retrieval.task import Progress

_MODULE = "learning_pipelines.retrieval.learning.child"
_KINDS = {"BadInput": BadInput, "Unavailable": Unavailable}
_ORPHANED = 3
Work = Callable[[Mapping[str, Any], Path, Progress], dict[str, Any]]
"""What runs inside: the request, the folder to write to, whom to tell. Returns plain values."""


class TrainingKilled(Unavailable):
    """The process was ended from outside, most often because memory ran out."""


def run(work: str, request: Mapping[str, Any], folder: Path, progress: Progress) -> dict[str, Any]:
    """Runs `work` ("module:function", a Work) in a new process and returns its result. Progress is passed on as it comes.

    Raises what the work raised (LearningError, BadInput, Unavailable), TrainingKilled, or LearningError for anything else, naming its log. Whatever
    ends the caller's wait (an interrupt too) ends the process.
    """
    log = folder / "training.log"
    process = _start(work, folder, log)
    assert process.stdin is not None and process.stdout is not None
    try:
        with contextlib.suppress(BrokenPipeError):  # it has ended already: its exit says why
            process.stdin.write(orjson.dumps(request) + b"\n")
            process.stdin.flush()  # and stays open: its end tells the process that nobody waits any more
        for message in _messages(process.stdout):
            if "share" in message:
                progress(message["share"], message["line"], message["numbers"])
            elif "result" in message:
                return dict(message["result"])
            else:
                raise _KINDS.get(message["kind"], LearningError)(message["cause"], message["advice"])
        raise _ended(process.wait(), log)
    finally:
        process.kill()
        process.wait()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()


def _start(work: str, folder: Path, log: Path) -> subprocess.Popen[bytes]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as errors:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE, work, str(folder)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=_environment(), start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise Unavailable(f"Training cannot begin in {folder}: {error.strerror or error}.", "Free space or memory there and run it again.") from error


def _environment() -> dict[str, str]:
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return {**os.environ, **quiet}


def _messages(lines: IO[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.endswith(b"\n"):  # else it was killed while writing
            yield orjson.loads(line)


def _ended(code: int, log: Path) -> LearningError:
    if code < 0:
        return TrainingKilled(
            f"Training was killed by signal {-code}.", "If nobody did, memory ran out. Run it again: it goes on from its last checkpoint."
        )
    said = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return LearningError(f"Training ended with exit code {code}: {said[-1][:200] if said else 'it said nothing'}", f"Its log is {log}.")


def _main(work: str, folder: str) -> int:
    """The other side: reads the request, does the work, writes lines. Prints of libraries go to the log, not between them."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    _offer_to_the_oom_killer()
    request = orjson.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_leave_with_the_asker, daemon=True).start()

    def progress(share: float, line: str, numbers: Mapping[str, float]) -> None:
        answers.write(orjson.dumps({"share": share, "line": line, "numbers": dict(numbers)}) + b"\n")

    try:
        module, _, function = work.partition(":")
        result = getattr(importlib.import_module(module), function)(request, Path(folder), progress)
        answers.write(orjson.dumps({"result": result}) + b"\n")
    except LearningError as error:
        kind = next(name for name, one in (*_KINDS.items(), ("LearningError", LearningError)) if isinstance(error, one))
        answers.write(orjson.dumps({"kind": kind, "cause": error.cause, "advice": error.advice}) + b"\n")
    except MemoryError:
        cause, advice = "Training ran out of memory.", "Give it more, or lower the batch; run again, it goes on from its last checkpoint."
        answers.write(orjson.dumps({"kind": "Unavailable", "cause": cause, "advice": advice}) + b"\n")
    except Exception as error:  # noqa: BLE001  the asking side is told the kind; the words could repeat a text and stay in the log
        traceback.print_exc()
        print(f"{type(error).__name__} in {work}", file=sys.stderr, flush=True)
        return 1
    return 0


def _offer_to_the_oom_killer() -> None:
    """Where memory runs out, this process is the one to go: it has checkpoints, its neighbours serve."""
    with contextlib.suppress(OSError):  # not Linux, or not allowed: then the kernel chooses
        Path("/proc/self/oom_score_adj").write_text("1000")


def _leave_with_the_asker() -> None:
    sys.stdin.buffer.read()
    os._exit(_ORPHANED)


if __name__ == "__main__":
    code = _main(*sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)  # taking torch apart in order costs seconds
