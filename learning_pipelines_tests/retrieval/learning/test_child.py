"""A learner's process: what reaches the asking side whatever happens to it.

Belongs here: child.py with real processes that import nothing large. Not here: learning (test_encoders.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from learning_pipelines.errors import BadInput, LearningError, Unavailable
from learning_pipelines.retrieval.learning.child import TrainingKilled, run
from learning_pipelines.retrieval.task import Progress

HERE = __name__


def works(request: Mapping[str, Any], folder: Path, progress: Progress) -> dict[str, Any]:
    print("a library that prints")
    os.system("echo a program that prints")
    progress(0.5, "half", {"loss": 0.25})
    (folder / "made").write_text(str(request["number"]))
    return {"doubled": 2 * request["number"], "oom": Path("/proc/self/oom_score_adj").read_text().strip()}


def refuses(request: Mapping[str, Any], folder: Path, progress: Progress) -> dict[str, Any]:
    raise {"BadInput": BadInput, "Unavailable": Unavailable, "LearningError": LearningError}[request["kind"]]("The cause.", "The advice.")


def breaks(request: Mapping[str, Any], folder: Path, progress: Progress) -> dict[str, Any]:
    raise ValueError("what a customer wrote")


def runs_out(request: Mapping[str, Any], folder: Path, progress: Progress) -> dict[str, Any]:
    raise MemoryError


def dies(request: Mapping[str, Any], folder: Path, progress: Progress) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def sleeps(request: Mapping[str, Any], folder: Path, progress: Progress) -> dict[str, Any]:
    (folder / "pid").write_text(str(os.getpid()))
    progress(0.1, "sleeping", {})
    time.sleep(60)
    return {}


def ignored(share: float, line: str, numbers: Mapping[str, float]) -> None:
    pass


def ended(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_progress_and_result_come_back_whatever_libraries_print(tmp_path: Path) -> None:
    said: list[tuple[float, str, Mapping[str, float]]] = []
    result = run(f"{HERE}:works", {"number": 21}, tmp_path / "run", lambda *one: said.append(one))
    assert result["doubled"] == 42 and said == [(0.5, "half", {"loss": 0.25})]
    assert (tmp_path / "run" / "made").read_text() == "21"
    assert "a program that prints" in (tmp_path / "run" / "training.log").read_text()


def test_where_memory_runs_out_it_is_the_process_to_go(tmp_path: Path) -> None:
    if not Path("/proc/self/oom_score_adj").exists():
        pytest.skip("there is no oom_score_adj on this system")
    assert run(f"{HERE}:works", {"number": 1}, tmp_path, ignored)["oom"] == "1000"


@pytest.mark.parametrize("kind", [BadInput, Unavailable, LearningError])
def test_its_refusals_arrive_with_kind_cause_and_advice(tmp_path: Path, kind: type[LearningError]) -> None:
    with pytest.raises(kind, match=r"^The cause\. The advice\.$") as caught:
        run(f"{HERE}:refuses", {"kind": kind.__name__}, tmp_path, ignored)
    assert type(caught.value) is kind


def test_an_unforeseen_failure_names_its_kind_and_the_log_but_repeats_no_text(tmp_path: Path) -> None:
    with pytest.raises(LearningError, match=r"exit code 1: ValueError in .*training\.log") as caught:
        run(f"{HERE}:breaks", {}, tmp_path, ignored)
    assert "customer" not in str(caught.value)


@pytest.mark.parametrize(("work", "kind", "words"), [("dies", TrainingKilled, "killed by signal 9"), ("runs_out", Unavailable, "ran out of memory")])
def test_being_killed_and_running_out_of_memory_are_told_apart_from_failures(tmp_path: Path, work: str, kind: type[LearningError], words: str) -> None:
    with pytest.raises(kind, match=words + ".*goes on from its last checkpoint"):
        run(f"{HERE}:{work}", {}, tmp_path, ignored)


def test_an_interrupt_of_the_asking_side_ends_it(tmp_path: Path) -> None:
    def interrupt(share: float, line: str, numbers: Mapping[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(f"{HERE}:sleeps", {}, tmp_path, interrupt)
    assert ended(int((tmp_path / "pid").read_text()))


def test_it_ends_with_an_asking_side_that_was_killed(tmp_path: Path) -> None:
    code = f"from {HERE} import ignored; from learning_pipelines.retrieval.learning.child import run; from pathlib import Path; "
    asking = subprocess.Popen([sys.executable, "-c", code + f"run('{HERE}:sleeps', {{}}, Path({str(tmp_path)!r}), ignored)"])
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline and asking.poll() is None
        time.sleep(0.05)
    asking.kill()
    asking.wait()
    assert ended(int((tmp_path / "pid").read_text()))


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="Training cannot begin in"):
        run(f"{HERE}:works", {"number": 1}, tmp_path / "file" / "below", ignored)


def test_asking_imports_no_torch() -> None:
    code = "import sys\nfrom learning_pipelines.retrieval.learning import finetune, general, static\n"
    code += "print([name for name in ('torch', 'transformers', 'sentence_transformers', 'lightgbm', 'sklearn') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
