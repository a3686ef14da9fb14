"""The queue on disk: full and unusable disks, damaged files, limits, what stays behind.

Belongs here: one process and its files. Not here: several processes (test_processes.py), the service's misbehaviour (test_delivery.py).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from learning_pipelines.client import Client, QueueFull, QueueUnavailable
from learning_pipelines.client.segment import Segment
from learning_pipelines_tests.client.conftest import MakeClient, eventually, host
from learning_pipelines_tests.client.service import Fault, Service

DONE = 90.0


def log(client: Client, number: int = 0, **fields: Any) -> str:
    return client.log_execution(agent="router", input=f"question {number}", output="x" * 100, **fields)


def test_a_full_queue_refuses_by_name_and_takes_records_again_later(make_client: MakeClient, service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.stop()
    client = make_client(max_queue_bytes=10_000)
    for number in range(100):
        log(client, number)
    stats = client.stats()
    assert stats.refused > 0 and stats.accepted + stats.refused == 100 and stats.errors["QueueFull"] == stats.refused
    assert stats.queued_bytes <= 10_000 and caplog.text.count("QueueFull") == 1
    client._core.reporter.raise_errors = True
    with pytest.raises(QueueFull):
        log(client)
    client._core.reporter.raise_errors = False
    service.start()
    assert client.flush(DONE) and service.total() == stats.accepted
    log(client)
    assert client.flush(DONE) and service.total() == stats.accepted + 1


def test_the_limit_counts_what_other_processes_hold(make_client: MakeClient, service: Service) -> None:
    service.stop()
    first, second = make_client(max_queue_bytes=10_000), make_client(max_queue_bytes=10_000)
    for number in range(20):
        log(first, number)
    eventually(lambda: second._core.queue._others_bytes > 5_000)
    for number in range(20):
        log(second, number)
    assert second.stats().refused > 0


@pytest.mark.parametrize("place", ["/proc/no/such", "file/below"])
def test_an_unusable_queue_folder_is_named_and_records_still_go_out(
    make_client: MakeClient, service: Service, tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    client = make_client(queue_dir=tmp_path / place)
    service.fault = lambda asked: Fault(status=503)
    name = log(client)
    assert not client.stats().durable and client.stats().errors["QueueUnavailable"] == 1
    assert "QueueUnavailable" in caplog.text and "cannot be written" in caplog.text
    service.fault = lambda asked: None
    assert client.flush(DONE) and list(service.rows["executions"]) == [name] and client.stats().durable
    strict = make_client(queue_dir=tmp_path / place, raise_errors=True)
    with pytest.raises(QueueUnavailable):
        log(strict)
    assert strict.stats().queued == 0


FULL = """
import json, resource, time
client = Client(argv[0], KEY, queue_dir=argv[1], options=quick())
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
names = [client.log_execution(agent="router", input="q", output="x" * 400) for _ in range(40)]
before = client.stats()
print(json.dumps([names, before.durable, before.errors["QueueUnavailable"], before.accepted, before.refused]), flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
client.log_execution(agent="router", input="q", output="there is room again", execution_id="last")
sys.stdin.readline()
assert client.flush(20), client.stats()
"""


def test_a_disk_that_fills_up_is_named_and_what_was_accepted_arrives(service: Service, queue_dir: Path) -> None:
    service.stop()
    process = host(FULL, service.url, queue_dir, stdin=-1)
    assert process.stdout is not None
    names, durable, errors, accepted, refused = json.loads(process.stdout.readline())
    service.start()
    _, said = process.communicate("go\n", timeout=60)
    assert process.returncode == 0, said
    # The limit cuts a line in half, on disk and then in memory, too: nothing of that may be sent, nothing before it may be lost.
    assert not durable and errors > 20 and accepted + refused == 40 and accepted > 10 and refused > 10 and "QueueUnavailable" in said
    assert set(service.rows["executions"]) == {*names[:accepted], "last"}
    assert set(service.arrivals.values()) == {1}


def test_half_a_line_and_damaged_lines_are_put_aside_and_the_rest_is_sent(make_client: MakeClient, service: Service, queue_dir: Path) -> None:
    service.stop()
    first = make_client(segment_bytes=1)  # a file for each
    names = [log(first, number) for number in range(4)]
    first.close(timeout=0)
    files = sorted(queue_dir.rglob("*.queue"))
    files[0].write_bytes(files[0].read_bytes()[:-20])
    files[1].write_bytes(files[1].read_bytes().replace(b"question", b"\0\0\0\0\0\0\0\0"))
    files[2].with_suffix(".done").write_text("nonsense")
    service.start()
    second = make_client()
    eventually(lambda: service.total() == 2 and second.stats().queued == 0)
    assert set(service.rows["executions"]) == set(names[2:]) and second.stats().rejected == 2
    eventually(lambda: not list(queue_dir.rglob("*.queue")))


def test_settled_lines_are_not_sent_again_by_the_next_owner(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path)
    for number in range(10):
        segment.append(b"line %d\n" % number)
    entries = list(segment.entries())
    for number in (1, 0, 2, 5):
        segment.settle(entries[number])
    segment.mark()
    assert [entry.line for entry in segment.entries()] == [b"line %d" % number for number in (3, 4, 6, 7, 8, 9)]
    assert segment.path is not None and Segment.adopt(segment.path) is None
    segment.close()
    adopted = Segment.adopt(segment.path)
    assert adopted is not None
    assert [entry.line for entry in adopted.entries()] == [b"line %d" % number for number in range(3, 10)]
    adopted.remove()
    assert not list(tmp_path.iterdir())


def test_the_queue_is_private_and_leaves_nothing_behind(make_client: MakeClient, service: Service, queue_dir: Path) -> None:
    client = make_client(segment_bytes=500, fsync_each=True)
    service.fault = lambda asked: Fault(status=503)
    for number in range(10):
        log(client, number)
    folder = Path(client.stats().queue_folder)
    assert folder.stat().st_mode & 0o077 == 0 and all(file.stat().st_mode & 0o077 == 0 for file in folder.iterdir())
    service.fault = lambda asked: None
    assert client.flush(DONE) and client.close()
    assert not list(folder.iterdir())


def test_a_replaced_key_sends_what_the_old_one_left_but_other_organizations_stay_apart(make_client: MakeClient, service: Service) -> None:
    service.fault = lambda asked: Fault(status=401) if "old" in asked.headers["authorization"] else None
    old = make_client(api_key="lp_firm_old")
    log(old)
    eventually(lambda: old.stats().retries)
    old.close(timeout=0)
    other = make_client(api_key="lp_other-firm_x")
    other.flush(1)
    assert service.total() == 0 and other.stats().queue_folder != old.stats().queue_folder
    new = make_client(api_key="lp_firm_new")
    assert new.stats().queue_folder == old.stats().queue_folder
    eventually(lambda: service.total() == 1)


def test_after_close_records_still_reach_the_disk(make_client: MakeClient, service: Service, caplog: pytest.LogCaptureFixture) -> None:
    client = make_client()
    assert client.close() and client.close()
    name = log(client)
    assert "is closed" in caplog.text
    client._core.queue.close()
    make_client()
    eventually(lambda: list(service.rows["executions"]) == [name])
