"""A fake of an endpoint's fine-tuning API beside its chat completions: files, jobs and events, over real HTTP, misbehaving as told.

Belongs here: the server's ways to answer. Not here: what a client should make of them (behavior/fine_tuning/test_openai_jobs.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from learning_pipelines_tests.fake_endpoint import FakeServer, completion

Answer = Callable[[dict[str, Any]], str]


class FakeTuning(FakeServer):
    """`states`: what a job is each time it is asked for, the last one for good. `refuse`: (status, path part) → HTTP status, once each. `answer`: what a
    model says to the messages of a request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.deleted: list[str] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.cancelled: list[str] = []
        self.created = 0
        self.states: tuple[str, ...] = ("validating_files", "running", "succeeded")
        self.refuse: list[tuple[str, int]] = []
        self.silent_create = False
        self.answer: Answer = lambda body: "fine"
        self.asked: list[dict[str, Any]] = []
        super().__init__(_Handler)

    def job(self, identity: str) -> dict[str, Any]:
        """The job as it is now; it goes on by one state each time."""
        job = self.jobs[identity]
        if job["status"] != "cancelled":
            at = min(job["_asked"], len(self.states) - 1)
            job["_asked"] += 1
            job["status"] = self.states[at]
            if job["status"] == "succeeded":
                job |= {"fine_tuned_model": f"ft:{job['model']}:{job['user_provided_suffix']}", "trained_tokens": 1_000_000}
            if job["status"] == "failed":
                job["error"] = {"code": "invalid_training_file", "message": "Row 3 says: secret words of a user", "param": "training_file"}
        return {name: value for name, value in job.items() if name != "_asked"}

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        self.created += 1
        identity = f"ftjob-{self.created}"
        self.jobs[identity] = {
            "id": identity, "object": "fine_tuning.job", "created_at": 1, "model": body["model"], "status": "queued", "training_file": body["training_file"],
            "validation_file": body["validation_file"], "hyperparameters": {}, "organization_id": "org", "result_files": [], "seed": body["seed"],
            "method": body["method"], "user_provided_suffix": body["suffix"], "fine_tuned_model": None, "trained_tokens": None, "error": None, "_asked": 0,
        }  # fmt: skip
        return {name: value for name, value in self.jobs[identity].items() if name != "_asked"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fake = self.fake
        if self._refused():
            return
        if self.path.endswith("/files"):
            identity = f"file-{len(fake.files) + 1}"
            fake.files[identity] = next(part for part in content.split(b"\r\n") if part.startswith(b"{"))  # the file among the form's parts
            self._send(200, {"id": identity, "object": "file", "bytes": 1, "created_at": 1, "filename": "f", "purpose": "fine-tune", "status": "processed"})
        elif self.path.endswith("/cancel"):
            identity = self.path.split("/")[-2]
            fake.cancelled.append(identity)
            fake.jobs[identity]["status"] = "cancelled"
            self._send(200, fake.job(identity))
        elif self.path.endswith("/fine_tuning/jobs"):
            made = fake.create(json.loads(content))
            if fake.silent_create:
                fake.silent_create = False
                self.close_connection = True  # created, and nobody hears of it
                self.connection.close()
            else:
                self._send(200, made)
        else:
            body = json.loads(content)
            fake.asked.append(body)
            self._send(200, completion(fake.answer(body)))

    def do_GET(self) -> None:
        if self._refused():
            return
        path = self.path.split("?")[0]
        if path.endswith("/events"):
            data = [
                {"id": f"e{step}", "object": "fine_tuning.job.event", "created_at": step, "level": "info", "message": "Step", "type": "metrics",
                 "data": {"step": step, "train_loss": 2.0 / step, "valid_loss": 3.0 / step}}
                for step in (3, 2, 1)
            ]  # fmt: skip
            self._send(200, {"object": "list", "data": data, "has_more": False})
        elif path.endswith("/jobs"):
            self._send(200, {"object": "list", "data": [{k: v for k, v in job.items() if k != "_asked"} for job in self.fake.jobs.values()], "has_more": False})
        else:
            self._send(200, self.fake.job(path.split("/")[-1]))

    def do_DELETE(self) -> None:
        identity = self.path.split("/")[-1]
        self.fake.deleted.append(identity)
        self._send(200, {"id": identity, "object": "file", "deleted": True})

    @property
    def fake(self) -> FakeTuning:
        return self.server.fake  # type: ignore[attr-defined, no-any-return]

    def _refused(self) -> bool:
        for place, (part, status) in enumerate(self.fake.refuse):
            if part in self.path:
                del self.fake.refuse[place]
                self._send(status, {"error": {"message": "no", "code": None, "type": None, "param": None}})
                return True
        return False

    def _send(self, status: int, body: dict[str, Any]) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        pass
