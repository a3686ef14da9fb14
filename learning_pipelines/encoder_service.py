"""What the shared encoder process does while it lives: it answers over HTTP until nobody needs it.

Belongs here: the server, its limits, the idle end. Not here: how requests share batches (encoder_batching.py), starting and stopping (encoder_server.py).
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from learning_pipelines.encoder_batching import Batcher
from learning_pipelines.encoder_files import Files
from learning_pipelines.encoder_local import LocalEncoder
from learning_pipelines.encoder_protocol import Encoder, prepared

HOST = "127.0.0.1"
IDLE_SECONDS = 15 * 60.0
WATCH_SECONDS = 2.0
MOST_PROCESSES, CROWDED_IDLE_SECONDS = 4, 30.0
"""Learnt encoders are many, 600 MB each: beyond so many of one home, the one that was asked longest ago ends sooner."""
MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_TEXTS = 1_024


class Server(ThreadingHTTPServer):
    """Answers `POST /encode` {texts: […]} with the bytes of little-endian float32 rows, to whoever knows the token."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, encoder: Encoder, key: str, token: str) -> None:
        super().__init__((HOST, 0), _Handler)
        self.batcher = Batcher(encoder)
        self.key = key
        self.token = token
        self._busy = 0
        self._last = time.monotonic()
        self._counting = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}"

    @property
    def idle_seconds(self) -> float:
        with self._counting:
            return 0.0 if self._busy else time.monotonic() - self._last

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        with self._counting:
            self._busy += 1
        try:
            yield
        finally:
            with self._counting:
                self._busy -= 1
                self._last = time.monotonic()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is its own business; a traceback could hold its texts."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one packet

    def do_POST(self) -> None:
        if not hmac.compare_digest(self.headers.get("Authorization", "").encode(), f"Bearer {self.server.token}".encode()):
            self._refuse(401, "the token is wrong")
        elif self.path != "/encode":
            self._refuse(404, "there is only POST /encode")
        elif not (length := self.headers.get("Content-Length", "")).isdecimal():
            self._refuse(411, "the request does not say how long it is")
        elif int(length) > MAX_BODY_BYTES:
            self._refuse(413, f"a request holds at most {MAX_BODY_BYTES:,} bytes")
        else:
            with self.server.at_work():
                self._answer(*self._encode(self.rfile.read(int(length))))

    def _encode(self, body: bytes) -> tuple[int, bytes, str]:
        texts = _texts(body)
        if isinstance(texts, str):
            return 400, texts.encode(), "text/plain"
        try:
            vectors = self.server.batcher.encode(prepared(texts))
        except Exception as error:  # noqa: BLE001  the client is told what kind of failure it was; its words could repeat a text
            print(f"Could not encode {len(texts)} texts: {type(error).__name__}", flush=True)
            return 500, f"the model failed with {type(error).__name__}".encode(), "text/plain"
        return 200, vectors.astype("<f4", copy=False).tobytes(), "application/octet-stream"

    def _refuse(self, status: int, why: str) -> None:
        self.close_connection = True  # the body is not read
        self._answer(status, why.encode(), "text/plain")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Encoder", self.server.key)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Not a line per request."""


def _texts(body: bytes) -> list[str] | str:
    """The texts of a request, or the sentence that says what is wrong with it."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "the request is not JSON"
    texts = request.get("texts") if isinstance(request, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return 'the request is not {"texts": [strings]}'
    return texts if len(texts) <= MAX_TEXTS else f"a request holds at most {MAX_TEXTS:,} texts"


def serve(files: Files, source: str) -> None:
    """Loads the model and answers until it is told to end or nobody has asked for IDLE_SECONDS. Raises UnknownEncoder."""
    encoder = LocalEncoder(source)
    server = Server(encoder, files.key, secrets.token_urlsafe(32))
    serving = {"key": files.key, "url": server.url, "token": server.token, "pid": os.getpid(), "name": encoder.name, "dimensions": encoder.dimensions}
    threading.Thread(target=_watch, args=(server, files), daemon=True).start()
    files.write_state(serving)
    print(f"{encoder.name} in {encoder.precision} on {encoder.device}, process {os.getpid()}, {server.url}", flush=True)
    signal.signal(signal.SIGTERM, _leave)  # until here nothing is lost by ending at once
    with contextlib.suppress(SystemExit):
        server.serve_forever()


def _leave(*_: Any) -> None:
    raise SystemExit


def _watch(server: Server, files: Files) -> None:
    """Ends the server when it is no longer needed, or when its home was deleted or now belongs to another one."""
    while server.idle_seconds < IDLE_SECONDS:
        time.sleep(WATCH_SECONDS)
        if files.read_state().get("pid") != os.getpid() or _one_too_many(server, files):
            break
    files.withdraw_state()  # first: nobody is sent here any more
    server.shutdown()


def _one_too_many(server: Server, files: Files) -> bool:
    """Notes on the state file when this process was asked last, and looks whether more than MOST_PROCESSES are there and all others were asked later."""
    idle = server.idle_seconds
    asked = time.time() - idle
    with contextlib.suppress(FileNotFoundError):  # withdrawn this moment
        os.utime(files.state, (asked, asked))
        if idle >= CROWDED_IDLE_SECONDS and len(others := [path for path in files.folder.glob("*.json") if path != files.state]) >= MOST_PROCESSES:
            return all(path.stat().st_mtime > asked for path in others)
    return False
