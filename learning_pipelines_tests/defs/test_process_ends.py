"""What a killed process leaves behind is ended with the rest; a stranger with the same number is not.

Belongs here: defs/process_ends.py and a hollow code server, on real processes. Not here: `up` as a whole (test_end_to_end.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from learning_pipelines.defs import processes
from learning_pipelines.defs.process_ends import end_left_behind

PARENT = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); print('ready', flush=True); time.sleep(600)"


def parent(home: Path) -> subprocess.Popen[bytes]:
    """A process of a home that leads its own session and has started another."""
    made = subprocess.Popen(
        [sys.executable, "-c", PARENT], env={**os.environ, "LEARNING_HOME": str(home)}, stdout=subprocess.PIPE, start_new_session=True
    )  # fmt: skip
    assert made.stdout is not None and made.stdout.readline() == b"ready\n"
    return made


def child_of(process: subprocess.Popen[bytes]) -> psutil.Process:
    (child,) = psutil.Process(process.pid).children()
    return child


def test_what_a_killed_process_had_started_is_ended(tmp_path: Path) -> None:
    leader = parent(tmp_path)
    orphan = child_of(leader)
    assert not end_left_behind(tmp_path, leader.pid)  # it lives
    leader.kill()
    leader.wait()
    assert orphan.is_running()
    assert not end_left_behind(tmp_path / "other", leader.pid)
    assert end_left_behind(tmp_path, leader.pid)
    with pytest.raises(psutil.NoSuchProcess):
        assert orphan.status() == psutil.STATUS_ZOMBIE  # in a container nobody may collect it
        raise psutil.NoSuchProcess(orphan.pid)
    assert not end_left_behind(tmp_path, leader.pid)


def test_a_code_server_whose_loader_was_killed_is_ended_so_that_it_is_started_again(tmp_path: Path) -> None:
    leader = parent(tmp_path)
    service, said = processes._Service("code-server", [], leader), list[str]()
    for _ in range(2 * processes.HOLLOW_LOOKS):
        processes._end_hollow(service, said.append)
    assert (leader.poll(), said) == (None, [])
    child_of(leader).kill()
    deadline = time.monotonic() + 60
    while leader.poll() is None and time.monotonic() < deadline:
        processes._end_hollow(service, said.append)
    assert leader.poll() is not None and len(said) == 1
    processes._end_hollow(service, said.append)  # it has ended: nothing more to do
    assert len(said) == 1


def test_a_code_server_that_is_slow_to_start_its_loader_is_not_ended_for_it() -> None:
    slow = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    service, said = processes._Service("code-server", [], slow), list[str]()
    for _ in range(processes.STARTING_LOOKS - 1):
        processes._end_hollow(service, said.append)
    assert (slow.poll(), said) == (None, [])
    processes._end_hollow(service, said.append)
    assert slow.poll() is not None and len(said) == 1
