"""The shared encoder process and its client: one for all, found again, recovered, stopped, polite to bad requests.

Belongs here: life, batching, HTTP, the client. Not here: what the vectors mean (test_encoder.py).
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from filelock import FileLock

from learning_pipelines import encoder_server, encoder_service
from learning_pipelines.encoder import BATCH_TEXTS, PACKAGED, EncoderClient, EncoderDown, EncoderMismatch, EncoderStartFailed, Serving, UnknownEncoder, Vectors
from learning_pipelines.encoder import open_encoder as open_client
from learning_pipelines.encoder_batching import Batcher
from learning_pipelines.encoder_files import Files, files_of
from learning_pipelines.encoder_server import encoder_running, ensure_serving, stop_encoder
from learning_pipelines.encoder_service import Server
from learning_pipelines.settings import Settings

EIGHTH = """
import sys
from pathlib import Path
from learning_pipelines.encoder import open_encoder
from learning_pipelines.encoder_server import encoder_running
from learning_pipelines.settings import Settings
settings = Settings(home=Path(sys.argv[1]))
vector = open_encoder(settings).encode(["one text for all"])[0]
print(encoder_running(settings).pid, round(float(vector @ vector), 4), "torch" in sys.modules)
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    made = Settings(home=tmp_path_factory.mktemp("encoder_home"), embedding_model=None)
    yield made
    stop_encoder(made)


class Fake:
    """An encoder whose vector of a text is its length, and which remembers what it was given together."""

    name, dimensions = "fake@1", 2

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()

    def encode(self, texts: Sequence[str], *, batch_size: int = BATCH_TEXTS) -> Vectors:
        self.calls.append(list(texts))
        assert self.gate.wait(10)
        if "break" in texts:
            raise RuntimeError("a secret text")
        return np.array([[len(text), 1] for text in texts], dtype=np.float32).reshape(len(texts), 2)


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def server(fake: Fake) -> Iterator[Server]:
    with Server(fake, "key", "token") as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()
        running.batcher.close()


def serving(server: Server, **changed: object) -> Serving:
    return Serving(**{"key": "key", "url": server.url, "token": "token", "pid": os.getpid(), "name": "fake@1", "dimensions": 2} | changed)  # type: ignore[arg-type]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- the real process ---


def test_eight_processes_at_once_start_exactly_one(settings: Settings) -> None:
    eight = [subprocess.Popen([sys.executable, "-c", EIGHTH, str(settings.home)], stdout=subprocess.PIPE, text=True) for _ in range(8)]
    said = {process.communicate(timeout=300)[0].strip() for process in eight}
    running = encoder_running(settings)
    assert running
    assert said == {f"{running.pid} 1.0 False"}
    assert os.getsid(running.pid) == running.pid
    assert {(path.name, stat.S_IMODE(path.stat().st_mode)) for path in (settings.home / "encoder").glob("*.json")} == {(f"{running.key}.json", 0o600)}
    assert "token" in (settings.home / "encoder" / f"{running.key}.json").read_text()
    assert running.token not in repr(running)


def test_the_client_gives_vectors_in_order_and_like_the_protocol(settings: Settings) -> None:
    client = open_client(settings)
    texts = [f"text {number} " + "about taxes " * (number % 20) for number in range(260)]
    vectors = client.encode(texts)
    assert vectors.shape == (260, 384)  # more than one request holds
    assert vectors.dtype == np.float32
    assert client.name.startswith(f"{PACKAGED}@")
    for number in (0, 19, 259):
        assert client.encode([texts[number]])[0] @ vectors[number] > 0.9999


def test_a_home_whose_folder_is_a_link_to_it_finds_the_same_process(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "encoder").symlink_to(settings.home / "encoder")
    linked, running = Settings(home=tmp_path, embedding_model=None), encoder_running(settings)
    open_client(linked).encode(["asked through the link"])
    assert encoder_running(linked) == running is not None
    assert len(list((tmp_path / "encoder").glob("*.json"))) == 1


def test_a_killed_process_is_replaced_by_the_next_call(settings: Settings) -> None:
    client = open_client(settings)
    before, first = client.encode(["before"]), encoder_running(settings)
    assert first
    os.kill(first.pid, signal.SIGKILL)
    after = client.encode(["before", "after"])
    second = encoder_running(settings)
    assert second
    assert second.pid != first.pid
    assert after[0] @ before[0] > 0.9999


def test_stop_ends_it_and_says_whether_there_was_one(settings: Settings) -> None:
    running = encoder_running(settings)
    assert running
    assert stop_encoder(settings)
    assert not psutil.pid_exists(running.pid) or psutil.Process(running.pid).status() == psutil.STATUS_ZOMBIE
    assert encoder_running(settings) is None
    assert not stop_encoder(settings)


# --- starting it in vain (other programs take the place of the real one) ---


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def put(code: str) -> None:
        monkeypatch.setattr(encoder_server, "_command", lambda files, source: [sys.executable, "-c", code])

    return put


def test_a_start_that_fails_says_the_last_line_of_its_log(tmp_path: Path, instead: Callable[[str], None]) -> None:
    instead("import sys; print('first'); print('ImportError: no module named torch'); sys.exit(1)")
    with pytest.raises(EncoderStartFailed, match=r"exit code 1\): ImportError: no module named torch\. Its log is .*\.log"):
        ensure_serving(tmp_path, PACKAGED)
    instead("raise SystemExit(1)")
    with pytest.raises(EncoderStartFailed, match="it said nothing"):  # and not what the one before it said
        ensure_serving(tmp_path, PACKAGED)


def test_a_model_that_cannot_be_loaded_says_why(tmp_path: Path, instead: Callable[[str], None]) -> None:
    instead("import sys; print('no such repository'); sys.exit(4)")
    with pytest.raises(UnknownEncoder, match="'nobody/model' cannot be loaded: no such repository"):
        ensure_serving(tmp_path, "nobody/model")


def test_a_start_that_is_killed_names_memory(tmp_path: Path, instead: Callable[[str], None]) -> None:
    instead("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(EncoderStartFailed, match="memory"):
        ensure_serving(tmp_path, PACKAGED)


def test_a_start_that_never_ends_is_given_up(tmp_path: Path, instead: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_server, "START_SECONDS", 0.5)
    instead("import time; time.sleep(100)")
    with pytest.raises(EncoderStartFailed, match="was not ready within"):
        ensure_serving(tmp_path, PACKAGED)


def test_no_second_one_is_started_beside_one_that_still_loads(tmp_path: Path, instead: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    instead("raise SystemExit('a second one was started')")
    monkeypatch.setattr(encoder_server, "START_SECONDS", 0.5)
    files = files_of(tmp_path, PACKAGED)
    files.folder.mkdir()
    with FileLock(files.serving), pytest.raises(EncoderStartFailed, match="was not ready within"):
        ensure_serving(tmp_path, PACKAGED)
    monkeypatch.setattr(encoder_server, "START_SECONDS", 120.0)  # on a busy machine half a second is no time for a process to end
    with pytest.raises(EncoderStartFailed, match="a second one was started"):
        ensure_serving(tmp_path, PACKAGED)


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "encoder").write_text("a file where the folder should be")
    with pytest.raises(EncoderStartFailed, match="cannot use its files below"):
        ensure_serving(tmp_path, PACKAGED)


def test_half_a_state_file_and_a_reused_process_id_count_as_not_running(tmp_path: Path) -> None:
    made = Settings(home=tmp_path, embedding_model=None)
    state = files_of(tmp_path, PACKAGED).state
    state.parent.mkdir()
    state.write_text('{"key": "ab')
    assert encoder_running(made) is None
    state.write_text(f'{{"key": "k", "url": "http://127.0.0.1:9", "token": "t", "pid": {os.getpid()}, "name": "n", "dimensions": 3}}')
    assert encoder_running(made) is None
    assert not stop_encoder(made)  # this very process is still here


def test_a_model_trained_again_in_place_gets_a_process_of_its_own(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_text("one")
    before = files_of(tmp_path, str(tmp_path)).key
    weights.write_text("another")
    assert files_of(tmp_path, str(tmp_path)).key != before


# --- batching ---


def test_small_requests_that_wait_together_are_encoded_together(fake: Fake) -> None:
    batcher = Batcher(fake)
    fake.gate.clear()
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(batcher.encode, ["first"])
        until(lambda: len(fake.calls) == 1)
        others = [pool.submit(batcher.encode, ["x" * number]) for number in range(1, 9)]
        until(lambda: len(batcher._quick) == 8)
        fake.gate.set()
        assert [float(other.result()[0, 0]) for other in others] == list(range(1, 9))
        assert first.result()[0, 0] == 5
    assert len(fake.calls) == 2
    batcher.close()


def test_a_small_request_does_not_wait_for_a_large_one_to_end(fake: Fake) -> None:
    batcher = Batcher(fake)
    fake.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        large = pool.submit(batcher.encode, ["long " * 200 for _ in range(100)])
        until(lambda: len(fake.calls) == 1)
        small = pool.submit(batcher.encode, ["small"])
        until(lambda: len(batcher._quick) == 1)
        fake.gate.set()
        small.result()
        large.result()
    assert fake.calls.index(["small"]) == 1
    assert len(fake.calls) > 10
    batcher.close()


def test_a_failing_batch_harms_only_those_in_it(fake: Fake) -> None:
    batcher = Batcher(fake)
    with pytest.raises(RuntimeError):
        batcher.encode(["break"])
    with pytest.raises(RuntimeError):
        batcher.encode(["break", *(["long " * 200] * 50)])
    assert batcher.encode(["fine"])[0, 0] == 4
    batcher.close()


# --- requests and the client ---


@pytest.mark.parametrize(
    ("status", "options"),
    [
        (401, {"headers": {"Authorization": "Bearer wrong"}, "content": b'{"texts": ["a"]}'}),
        (401, {"headers": {"Authorization": ""}, "content": b'{"texts": ["a"]}'}),
        (400, {"content": b"\xff not json"}),
        (400, {"content": b'["a"]'}),
        (400, {"content": b'{"texts": "a"}'}),
        (400, {"content": b'{"texts": [1]}'}),
        (400, {"json": {"texts": ["a"] * 1025}}),
        (411, {"content": iter([b"no length"])}),
        (413, {"content": b"[" * (32 * 1024 * 1024 + 1)}),
    ],
)
def test_a_bad_request_is_refused_and_the_next_one_served(server: Server, status: int, options: dict[str, object]) -> None:
    with httpx.Client(base_url=server.url, headers={"Authorization": "Bearer token"}, trust_env=False) as http:
        try:
            assert http.post("/encode", **options).status_code == status  # type: ignore[arg-type]
        except httpx.TransportError:
            assert status == 413  # the connection closes while the client is still sending
        assert http.post("/encode", json={"texts": ["four"]}).content == np.array([4, 1], dtype="<f4").tobytes()


def test_the_client_asks_once_for_a_repeated_query_and_hands_out_copies(server: Server, fake: Fake) -> None:
    client = EncoderClient(lambda: serving(server))
    client.encode(["query"])[:] = 0
    assert client.encode(["query"]).tolist() == [[5, 1]]
    assert fake.calls == [["query"]]
    assert client.encode([]).shape == (0, 2)
    client.close()


def test_the_client_goes_round_the_proxy_of_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert EncoderClient(lambda: serving(server)).encode(["abc"])[0, 0] == 3


def test_the_client_moves_to_the_new_process_once(server: Server) -> None:
    gone = serving(server, url="http://127.0.0.1:9")
    answers = iter([gone, serving(server)])
    assert EncoderClient(lambda: next(answers)).encode(["abcd"])[0, 0] == 4


def test_a_process_that_stays_away_is_an_error_with_advice(server: Server) -> None:
    client = EncoderClient(lambda: serving(server, url="http://127.0.0.1:9"))
    with pytest.raises(EncoderDown, match=r"cannot be used: .*\. Try again"):
        client.encode(["a"])


@pytest.mark.parametrize("changed", [{"token": "old"}, {"key": "other"}])
def test_a_stranger_on_the_port_is_not_believed(server: Server, changed: dict[str, object]) -> None:
    with pytest.raises(EncoderDown, match="another program listens on its port"):
        EncoderClient(lambda: serving(server, **changed)).encode(["a"])


def test_vectors_of_another_model_are_refused(server: Server) -> None:
    answers = iter([serving(server, url="http://127.0.0.1:9"), serving(server, name="fake@2")])
    with pytest.raises(EncoderMismatch, match="was fake@1 and came back as fake@2"):
        EncoderClient(lambda: next(answers)).encode(["a"])
    with pytest.raises(EncoderMismatch, match="2 numbers for 1 texts of 3 dimensions"):
        EncoderClient(lambda: serving(server, dimensions=3)).encode(["a"])


def test_a_failure_of_the_model_is_told_without_the_texts(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EncoderDown, match="the model failed with RuntimeError") as caught:
        EncoderClient(lambda: serving(server)).encode(["break"])
    assert "secret" not in str(caught.value) + "".join(capfd.readouterr())


def test_it_ends_when_idle_or_when_its_home_is_gone(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(tmp_path, "key")
    monkeypatch.setattr(encoder_service, "WATCH_SECONDS", 0.01)
    files.write_state({"key": "key", "pid": os.getpid()})
    watcher = threading.Thread(target=encoder_service._watch, args=(server, files))
    watcher.start()
    with server.at_work():
        monkeypatch.setattr(encoder_service, "IDLE_SECONDS", 0.2)
        time.sleep(0.4)
        assert watcher.is_alive()  # somebody is still waiting for an answer
    watcher.join(10)
    assert not watcher.is_alive()
    assert not files.state.exists()
    files.write_state({"key": "key", "pid": 1})  # the home was made anew and belongs to another process
    monkeypatch.setattr(encoder_service, "IDLE_SECONDS", 1000.0)
    again = threading.Thread(target=server.serve_forever, daemon=True)
    again.start()
    encoder_service._watch(server, files)
    again.join(10)
    assert not again.is_alive()
    assert files.state.exists()


def test_of_too_many_the_one_that_was_asked_longest_ago_ends_first(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(tmp_path, "key")
    files.write_state({"key": "key", "pid": os.getpid()})
    monkeypatch.setattr(encoder_service, "CROWDED_IDLE_SECONDS", 0.0)
    others = [Files(tmp_path, f"other{number}").state for number in range(encoder_service.MOST_PROCESSES)]
    for state in others[1:]:
        state.write_text("{}")
    assert not encoder_service._one_too_many(server, files)  # not one too many
    others[0].write_text("{}")
    os.utime(others[0], (1, 1))
    assert not encoder_service._one_too_many(server, files)  # another was asked before
    for state in others:
        os.utime(state, (time.time() + 9, time.time() + 9))
    assert encoder_service._one_too_many(server, files)
    monkeypatch.setattr(encoder_service, "CROWDED_IDLE_SECONDS", 1000.0)
    assert not encoder_service._one_too_many(server, files)  # it was asked a moment ago
    assert abs(files.state.stat().st_mtime - time.time()) < 60
