"""Delivery to a real mail server and a real HTTP server, also where they refuse, hang or are gone: tried again, named, and nobody gets it twice.

Belongs here: reports/delivery.py over storage/report_deliveries.py. Not here: the asset (defs/test_reports.py).
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from learning_pipelines.errors import BadInput
from learning_pipelines.reports.delivery import Delivery, configured, deliver, recipients
from learning_pipelines.settings import Settings, load_settings
from learning_pipelines.storage import report_deliveries
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, table
from learning_pipelines_tests.reports.sample import MONDAY, numbers


class Mailbox:
    """Takes mail; `refuse` says what is answered to whose recipient, `data` what is answered to a message."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], Any]] = []
        self.refuse: set[str] = set()
        self.data: list[str] = []

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if address in self.refuse:
            return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = self.data.pop(0) if self.data else "250 taken"
        if answer.startswith("250"):
            self.mails.append((list(envelope.rcpt_tos), message_from_bytes(envelope.content, policy=policy.default)))  # type: ignore[arg-type]
        if answer == "250 but silent":
            await asyncio.sleep(3)
        return answer


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield box, f"smtp://127.0.0.1:{port}"
    finally:
        controller.stop()


class Hook:
    """An HTTP server that answers with the statuses of `answers`, one per request, then with 200; None hangs until the end."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, str], Any]] = []
        self.answers: list[int | None] = []
        self.over = threading.Event()

    @contextmanager
    def running(self) -> Iterator[str]:
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.asked.append((dict(self.headers), body))
                answer = hook.answers.pop(0) if hook.answers else 200
                if answer is None:
                    hook.over.wait(10)
                    return
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook"
        finally:
            self.over.set()
            server.shutdown()
            server.server_close()
            thread.join()


@pytest.fixture
def hook() -> Iterator[tuple[Hook, str]]:
    one = Hook()
    with one.running() as url:
        yield one, url


@pytest.fixture
def northwind(load: Load) -> None:
    load("agents", [AGENT], "northwind")


def sent(connection: Connection, tmp_path: Path, **settings: Any) -> list[Delivery]:
    return deliver(connection, Settings(home=tmp_path, **settings), numbers(), seconds=1.0, wait=0.0)


def states(made: list[Delivery]) -> dict[str, tuple[str, str]]:
    return {one.channel: (one.state, one.error) for one in made}


def test_mail_goes_to_the_recipients_of_the_organization_as_text_and_page(
    northwind: None, mailbox: tuple[Mailbox, str], pipeline: Connection, tmp_path: Path
) -> None:
    box, url = mailbox
    people = (("northwind", "ada@example.org"), ("*", "team@example.org"), ("other", "eve@example.org"))
    assert states(sent(pipeline, tmp_path, smtp_url=url, report_recipients=people)) == {"email": ("sent", "")}
    ((to, mail),) = box.mails
    assert to == ["ada@example.org", "team@example.org"]
    assert mail["Subject"] == "Learning report 2026-W47: 20.6 % with feedback, 3.87 stars"
    text, page = mail.get_body(("plain",)).get_content(), mail.get_body(("html",)).get_content()
    assert "What to do next:" in text and "```sql" not in text and text.rstrip().endswith("/reports#2026-W47")
    assert page.startswith("<!doctype html>") and "<script" not in page
    assert [one.get_filename() for one in mail.iter_attachments()] == ["learning-report-northwind-2026-W47.html"]


def test_nobody_gets_a_week_twice(
    northwind: None, mailbox: tuple[Mailbox, str], hook: tuple[Hook, str], pipeline: Connection, tmp_path: Path
) -> None:
    chosen = {"smtp_url": mailbox[1], "report_recipients": (("*", "ada@example.org"),), "webhook_url": hook[1], "slack_webhook": hook[1]}
    assert {state for state, _ in states(sent(pipeline, tmp_path, **chosen)).values()} == {"sent"}
    assert {state for state, _ in states(sent(pipeline, tmp_path, **chosen)).values()} == {"already"}
    assert (len(mailbox[0].mails), len(hook[0].asked)) == (1, 2)


def test_the_webhook_gets_the_numbers_and_an_idempotency_key_and_slack_a_few_lines(
    northwind: None, hook: tuple[Hook, str], pipeline: Connection, tmp_path: Path
) -> None:
    sent(pipeline, tmp_path, webhook_url=hook[1], slack_webhook=hook[1])
    (_, slack), (headers, body) = hook[0].asked
    assert (body["event"], body["week"], body["report"]["executions"], len(headers["Idempotency-Key"])) == ("learning_report", "2026-W47", 3400, 32)
    assert "Drift alarm: prompt of billing, 0.700 after 0.880." in slack["text"] and len(slack["text"]) < 1_500


def test_an_answer_of_503_is_tried_again_and_so_is_a_failure_by_the_next_run(
    northwind: None, hook: tuple[Hook, str], pipeline: Connection, tmp_path: Path
) -> None:
    hook[0].answers = [503, 429]
    assert states(sent(pipeline, tmp_path, webhook_url=hook[1])) == {"webhook": ("sent", "")}
    hook[0].answers = [500, 500, 500]
    assert states(sent(pipeline, tmp_path, slack_webhook=hook[1])) == {"slack": ("failed", "the answer was 500")}
    assert states(sent(pipeline, tmp_path, slack_webhook=hook[1])) == {"slack": ("sent", "")}
    assert {row["channel"]: (row["state"], row["attempts"]) for row in table(pipeline, "report_deliveries")} == {"webhook": ("sent", 1), "slack": ("sent", 2)}


def test_a_webhook_that_hangs_holds_nothing_up_and_is_not_sent_again(northwind: None, hook: tuple[Hook, str], pipeline: Connection, tmp_path: Path) -> None:
    hook[0].answers = [None]
    assert states(sent(pipeline, tmp_path, webhook_url=hook[1])) == {"webhook": ("unknown", "no answer (ReadTimeout)")}
    assert states(sent(pipeline, tmp_path, webhook_url=hook[1]))["webhook"][0] == "unknown"
    assert len(hook[0].asked) == 1


def test_a_mail_server_that_is_gone_is_named_and_tried_by_the_next_run(
    northwind: None, mailbox: tuple[Mailbox, str], pipeline: Connection, tmp_path: Path
) -> None:
    people = {"report_recipients": (("*", "ada@example.org"),)}
    down = sent(pipeline, tmp_path, smtp_url="smtp://127.0.0.1:9", **people)
    assert states(down) == {"email": ("failed", "no connection to the mail server (ConnectionRefusedError)")}
    assert states(sent(pipeline, tmp_path, smtp_url=mailbox[1], **people)) == {"email": ("sent", "")}


def test_what_the_mail_server_refuses_is_told_apart(northwind: None, mailbox: tuple[Mailbox, str], pipeline: Connection, tmp_path: Path) -> None:
    box, url = mailbox
    people = (("*", "ada@example.org"), ("*", "gone@example.org"))
    box.data = ["451 later", "250 taken"]
    box.refuse = {"gone@example.org"}
    assert states(sent(pipeline, tmp_path, smtp_url=url, report_recipients=people)) == {"email": ("sent", "the mail server refuses 1 of 2 recipients")}
    assert [to for to, _ in box.mails] == [["ada@example.org"]]


def test_a_mail_server_that_falls_silent_after_the_message_is_not_asked_again(
    northwind: None, mailbox: tuple[Mailbox, str], pipeline: Connection, tmp_path: Path
) -> None:
    box, url = mailbox
    box.data = ["250 but silent"]
    assert states(sent(pipeline, tmp_path, smtp_url=url, report_recipients=(("*", "ada@example.org"),)))["email"][0] == "unknown"
    assert states(sent(pipeline, tmp_path, smtp_url=url, report_recipients=(("*", "ada@example.org"),)))["email"][0] == "unknown"
    assert len(box.mails) == 1


def test_a_run_that_died_while_sending_is_not_repeated(northwind: None, hook: tuple[Hook, str], pipeline: Connection, tmp_path: Path) -> None:
    assert report_deliveries.claim(pipeline, "northwind", MONDAY, "webhook") is None
    assert states(sent(pipeline, tmp_path, webhook_url=hook[1])) == {"webhook": ("unknown", "")}
    assert hook[0].asked == []


def test_a_metadata_address_is_refused_before_anything_is_sent(northwind: None, pipeline: Connection, tmp_path: Path) -> None:
    state, error = states(sent(pipeline, tmp_path, webhook_url="http://169.254.169.254/latest"))["webhook"]
    assert state == "failed" and "link-local" in error


def test_nothing_is_configured_by_default_and_recipients_are_read_by_organization(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured(Settings(home=tmp_path), "northwind") == []
    monkeypatch.setenv("LEARNING_REPORT_RECIPIENTS", "northwind=ada@example.org, *=team@example.org, northwind=ada@example.org")
    assert recipients(Settings(home=tmp_path), "northwind") == ["ada@example.org", "team@example.org"]
    assert recipients(Settings(home=tmp_path), "other") == ["team@example.org"]
    monkeypatch.setenv("LEARNING_REPORT_RECIPIENTS", "ada@example.org")
    load_settings.cache_clear()
    with pytest.raises(BadInput, match="organization=address"):
        load_settings()
    monkeypatch.delenv("LEARNING_REPORT_RECIPIENTS")
    load_settings.cache_clear()
