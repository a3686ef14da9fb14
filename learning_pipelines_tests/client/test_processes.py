"""Several processes and one queue folder: killed, sharing, forking, ending.

Belongs here: who sends whose records. Not here: one process and its disk (test_queue.py).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from pathlib import Path
from typing import Any

from learning_pipelines.client import Client, Options
from learning_pipelines_tests.client.conftest import KEY, MakeClient, eventually, host
from learning_pipelines_tests.client.service import Fault, Service

DONE = 90.0
WRITE = """
url, folder, count, end = argv[0], argv[1], int(argv[2]), argv[3]
client = Client(url, KEY, queue_dir=folder, options=quick(exit_timeout=15.0))
for number in range(count):
    print(client.log_execution(agent="router", input="q", output="a"), flush=True)
if end == "flush":
    assert client.flush(20), client.stats()
if end == "wait":
    sys.stdin.read()
"""


def log(client: Client, number: int = 0, **fields: Any) -> str:
    return client.log_execution(agent="router", input=f"question {number}", output="x" * 100, **fields)


def test_what_a_killed_process_leaves_the_next_one_sends(make_client: MakeClient, service: Service, queue_dir: Path) -> None:
    service.stop()
    killed = host(WRITE, service.url, queue_dir, 300, "wait", stdin=-1)
    assert killed.stdout is not None
    names = [killed.stdout.readline().strip() for _ in range(300)]
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    service.start()
    assert service.total() == 0
    make_client()  # it need not even be used
    eventually(lambda: service.total() == 300)
    assert set(service.rows["executions"]) == set(names) and set(service.arrivals.values()) == {1}


def test_a_process_killed_while_it_sends_doubles_nothing(make_client: MakeClient, service: Service, queue_dir: Path) -> None:
    service.fault = lambda asked: Fault(delay=0.01)
    killed = host(WRITE, service.url, queue_dir, 500, "wait", stdin=-1)
    assert killed.stdout is not None
    names = [killed.stdout.readline().strip() for _ in range(500)]
    eventually(lambda: service.total() > 0)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    make_client()
    eventually(lambda: set(service.rows["executions"]) == set(names))


def test_four_processes_share_a_queue_and_send_everything_once(service: Service, queue_dir: Path) -> None:
    processes = [host(WRITE, service.url, queue_dir, 250, end) for end in ("flush", "flush", "exit", "exit")]
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0], results
    names = {name for out, _ in results for name in out.split()}
    assert len(names) == 1000 and set(service.rows["executions"]) == names
    assert set(service.arrivals.values()) == {1}
    assert not list(queue_dir.rglob("*.queue"))


def test_a_living_process_keeps_its_records(make_client: MakeClient, service: Service, queue_dir: Path) -> None:
    service.fault = lambda asked: Fault(status=503)
    owner, neighbour = make_client(), make_client()
    names = {log(owner, number) for number in range(5)}
    eventually(lambda: neighbour._core.queue._others_bytes > 0)
    assert neighbour.stats().queued == 0 and owner.stats().queued == 5
    owner.close(timeout=0)
    eventually(lambda: neighbour.stats().queued == 5)
    service.fault = lambda asked: None
    assert neighbour.flush(DONE) and set(service.rows["executions"]) == names


def test_forked_children_send_their_own_and_nothing_of_the_parents(client: Client, service: Service) -> None:
    service.fault = lambda asked: Fault(status=503)
    expected = {log(client, number) for number in range(20)} | {f"child {number}" for number in range(5)}
    eventually(lambda: client.stats().retries)

    def child(number: int) -> None:
        assert client.stats().queued == 0
        log(client, execution_id=f"child {number}")
        os._exit(0 if client.stats().accepted >= 1 else 1)  # it may have adopted a dead sibling's as well

    halt = threading.Event()

    def work() -> None:
        while not halt.is_set():
            expected.add(log(client))

    thread = threading.Thread(target=work)  # forks in the middle of appends
    thread.start()
    children = [multiprocessing.get_context("fork").Process(target=child, args=(number,)) for number in range(5)]
    for one in children:
        one.start()
    for one in children:
        one.join()
    halt.set()
    thread.join()
    assert [one.exitcode for one in children] == [0] * 5
    service.fault = lambda asked: None
    eventually(lambda: set(service.rows["executions"]) == expected)  # the children's files were adopted
    assert set(service.arrivals.values()) == {1}


def test_the_end_of_a_process_is_not_held_up_by_an_outage(service: Service, queue_dir: Path) -> None:
    service.stop()
    process = host(WRITE, service.url, queue_dir, 10, "exit")
    out, said = process.communicate(timeout=60)
    assert process.returncode == 0 and len(out.split()) == 10 and "Traceback" not in said
    with Client(service.url, KEY, queue_dir=queue_dir, options=Options()) as client:
        service.start()
        eventually(lambda: service.total() == 10 or client.flush(0.1))
