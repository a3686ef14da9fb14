"""One job after the other in a fork of the process, as long as that goes well: a fork for each costs more than most jobs, and a job may break its process.

Belongs here: forks, limits of processor time, who goes on after a fork died. Not here: what a job is (running.py).
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

Job = TypeVar("Job")


def done(jobs: Sequence[Job], work: Callable[[Job], tuple[Any, bool]]) -> Iterator[tuple[Job, Any, str]]:
    """(job, what it said, "done") of each in their order, or (job, None, how it ended its process: "time" or what broke it).

    `work` returns what is said as JSON, and whether the process is as it was before. Where it is not, the next job gets a new fork; and so does this one,
    again, unless it had one of its own: an earlier one may have left behind what makes it fail."""
    begun = 0
    while begun < len(jobs):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            _child(jobs[begun:], work, write)
        os.close(write)
        with os.fdopen(read) as lines:
            for line in lines:
                yield jobs[begun], json.loads(line), "done"
                begun += 1
        status = os.waitpid(child, 0)[1]
        if status:
            yield jobs[begun], None, "time" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF else f"broke ({status})"
            begun += 1


def _child(jobs: Sequence[Job], work: Callable[[Job], tuple[Any, bool]], write: int) -> None:
    code = 1
    try:
        with os.fdopen(write, "w") as out:
            for number, job in enumerate(jobs):
                said, clean = work(job)
                if clean or not number:
                    print(json.dumps(said), file=out, flush=True)
                if not clean:
                    break
        code = 0
    finally:
        os._exit(code)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Ends the process if what is done here takes more processor time than that."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
