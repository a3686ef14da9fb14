"""Where artifacts may lie: file systems by path and URL, as processes that stay see them.

Belongs here: how a place is opened. Not here: what is written there (test_exports.py).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from learning_pipelines.examples.export_files import located

LISTED, NOW = 3, 5
LISTING = (
    '<?xml version="1.0"?><ListBucketResult><Name>shelf</Name><Prefix>a/</Prefix><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated>'
    f"<Contents><Key>a/file</Key><Size>{LISTED}</Size><ETag>x</ETag></Contents></ListBucketResult>"
).encode()


class Shelf(BaseHTTPRequestHandler):
    """A bucket whose only file grew after it was listed: another machine wrote it anew."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(LISTING)))
        self.end_headers()
        self.wfile.write(LISTING)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(NOW))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shelf)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    yield "s3://shelf/a"
    server.shutdown()
    server.server_close()


def test_a_process_that_stays_sees_what_another_machine_has_stored_meanwhile(shelf: str) -> None:
    pytest.importorskip("s3fs")
    system, path = located(shelf)
    assert [one["size"] for one in system.ls(path, detail=True)] == [LISTED]
    assert located(f"{shelf}/file")[0].size(f"{path}/file") == NOW
