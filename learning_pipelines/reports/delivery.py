"""Sending a report where the settings say: by mail, to Slack, to a webhook; each at most once for an organization and week.

Belongs here: making and sending messages, what is tried again. Not here: what is remembered (storage/report_deliveries.py), alerts, the report itself.

What surely did not arrive (no connection, refused, an answer of 5xx or 429) is tried again: three times now, by the next run of the week's report, and by
itself with growing pauses (storage.MOST_ATTEMPTS). What may have arrived (the other side took the whole message and fell silent) is not: it is `unknown`, and
nobody gets it twice. The webhook is told the delivery's id as Idempotency-Key, mail carries it as Message-ID. A channel that does not work holds nothing up:
the report is stored before.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import smtplib
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from learning_pipelines.errors import BadInput
from learning_pipelines.outbound import permitted_url
from learning_pipelines.reports import wording
from learning_pipelines.reports.markdown import week_markdown
from learning_pipelines.reports.page import week_html
from learning_pipelines.settings import Settings
from learning_pipelines.storage import report_deliveries as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.report_deliveries import Channel

SECONDS, ATTEMPTS, WAIT = 10.0, 3, 1.0
PORTS = {"smtp": 587, "smtp+starttls": 587, "smtps": 465}
SENDER = "learning-pipelines@localhost"


class Undelivered(Exception):
    """It surely did not arrive; trying again may help. The text names no person and no secret."""


class Unknown(Exception):
    """It may have arrived: it must not be sent again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """`state`: sent, failed, unknown, or already (an earlier run sent it)."""

    organization: str
    channel: Channel
    state: str
    error: str = ""
    gave_up: bool = False
    """It failed as often as it is tried by itself."""


def deliver_again(
    connection: Connection, settings: Settings, numbers: Mapping[str, Any], *, seconds: float = SECONDS, wait: float | None = None
) -> list[Delivery]:
    """Sends the report of one organization once more by the channels that failed and are due; nothing else. Raises nothing that a channel does."""
    organization, week = str(numbers["organization"]), dt.date.fromisoformat(numbers["starts"])
    found = []
    for channel, send in _channels(settings, numbers, seconds).items():
        attempt = storage.claim_again(connection, organization, week, channel)
        if attempt is None:
            continue
        state, error = tried(send, WAIT if wait is None else wait)
        storage.settle(connection, organization, week, channel, state, error)
        found.append(Delivery(organization, channel, state, error, state == "failed" and attempt >= storage.MOST_ATTEMPTS))
    return found


def deliver(connection: Connection, settings: Settings, numbers: Mapping[str, Any], *, seconds: float = SECONDS, wait: float | None = None) -> list[Delivery]:
    """Sends the report of one organization by every channel that is configured. Raises nothing that a channel does."""
    organization, week = str(numbers["organization"]), dt.date.fromisoformat(numbers["starts"])
    found = []
    for channel, send in _channels(settings, numbers, seconds).items():
        before = storage.claim(connection, organization, week, channel)
        if before is not None:
            found.append(Delivery(organization, channel, "already" if before == "sent" else before))
            continue
        state, error = tried(send, WAIT if wait is None else wait)
        storage.settle(connection, organization, week, channel, state, error)
        found.append(Delivery(organization, channel, state, error))
    return found


def configured(settings: Settings, organization: str) -> list[Channel]:
    """The channels that would be used for an organization."""
    mail: list[Channel] = ["email"] if settings.smtp_url and recipients(settings, organization) else []
    slack: list[Channel] = ["slack"] if settings.slack_webhook else []
    hook: list[Channel] = ["webhook"] if settings.webhook_url else []
    return [*mail, *slack, *hook]


def recipients(settings: Settings, organization: str) -> list[str]:
    """Who gets the mail of an organization, each once."""
    return list(dict.fromkeys(address for name, address in settings.report_recipients if name in (organization, "*")))


def message(numbers: Mapping[str, Any], link: str, to: Sequence[str], sender: str) -> EmailMessage:
    """The mail: the text for people first, the page as its alternative and as a file."""
    mail = EmailMessage()
    mail["Subject"] = f"Learning report {numbers['week']}: {_gist(numbers)}"
    mail["From"], mail["To"] = sender, ", ".join(to)
    mail["Message-ID"] = f"<{_identity(numbers, 'email')}@learning-pipelines>"
    page = week_html(numbers, link)
    mail.set_content(week_markdown(numbers).split("\n## Queries\n")[0] + f"\n{link}/reports#{numbers['week']}\n")
    mail.add_alternative(page, subtype="html")
    mail.add_attachment(page.encode(), maintype="text", subtype="html", filename=f"learning-report-{numbers['organization']}-{numbers['week']}.html")
    return mail


def _channels(settings: Settings, numbers: Mapping[str, Any], seconds: float) -> dict[Channel, Callable[[], str]]:
    link, organization = settings.page_link, str(numbers["organization"])
    makers: dict[Channel, Callable[[], str]] = {
        "email": lambda: _mail(settings, numbers, recipients(settings, organization), seconds),
        "slack": lambda: post(settings.slack_webhook or "", "LEARNING_SLACK_WEBHOOK", {"text": _short(numbers, link)}, None, seconds),
        "webhook": lambda: post(
            settings.webhook_url or "", "LEARNING_WEBHOOK_URL",
            {"event": "learning_report", "organization": organization, "week": numbers["week"], "link": f"{link}/reports#{numbers['week']}", "report": numbers},
            _identity(numbers, "webhook"), seconds,
        ),
    }  # fmt: skip
    return {channel: makers[channel] for channel in configured(settings, organization)}


def tried(send: Callable[[], str], wait: float = WAIT) -> tuple[storage.State, str]:
    """How sending ended, and why: what surely did not arrive is sent again, up to ATTEMPTS times. Raises nothing that a channel does."""
    again = Retrying(
        stop=stop_after_attempt(ATTEMPTS), wait=wait_exponential(multiplier=wait, max=10), retry=retry_if_exception_type(Undelivered), reraise=True
    )
    try:
        return "sent", str(again(send))
    except Undelivered as error:
        return "failed", str(error)
    except Unknown as error:
        return "unknown", str(error)
    except BadInput as error:  # the setting: the next run may have a better one
        return "failed", error.cause


def post(url: str, setting: str, body: Mapping[str, Any], key: str | None, seconds: float = SECONDS) -> str:
    """Posts a document. Raises Undelivered, Unknown, or BadInput naming the setting that cannot be used."""
    permitted_url(url, setting)
    headers = {} if key is None else {"Idempotency-Key": key}
    try:
        answer = httpx.post(url, json=body, headers=headers, timeout=seconds, follow_redirects=False)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise Undelivered(f"no connection ({type(error).__name__})") from error
    except httpx.HTTPError as error:
        raise Unknown(f"no answer ({type(error).__name__})") from error
    if answer.status_code == 429 or answer.status_code >= 500:
        raise Undelivered(f"the answer was {answer.status_code}")
    if not answer.is_success:
        raise BadInput(f"{setting} answers {answer.status_code}.", "Correct or unset it.")
    return ""


def _mail(settings: Settings, numbers: Mapping[str, Any], to: Sequence[str], seconds: float) -> str:
    """To everybody in one message; a note on how many the server refuses, who are not tried again: the others have it."""
    parts = urlsplit(settings.smtp_url or "")
    if parts.scheme not in PORTS or not parts.hostname:
        raise BadInput("LEARNING_SMTP_URL is not an address of a mail server.", "It looks like smtps://user:password@mail.example.org.")
    user = unquote(parts.username or "")
    mail = message(numbers, settings.page_link, to, user if "@" in user else SENDER)
    try:
        server = _connected(parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme], seconds)
    except (OSError, smtplib.SMTPException) as error:
        raise Undelivered(f"no connection to the mail server ({type(error).__name__})") from error
    try:
        return _hand_over(server, mail, to, user, unquote(parts.password or ""))
    finally:
        with suppress(OSError, smtplib.SMTPException):
            server.quit()


def _connected(scheme: str, host: str, port: int, seconds: float) -> smtplib.SMTP:
    """TLS from the first byte (smtps), or STARTTLS: required (smtp+starttls) or where it is offered (smtp)."""
    secure = ssl.create_default_context()
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port, timeout=seconds, context=secure)
    server = smtplib.SMTP(host, port, timeout=seconds)
    try:
        server.ehlo()
        if scheme == "smtp+starttls" or server.has_extn("starttls"):
            server.starttls(context=secure)
            server.ehlo()
    except (OSError, smtplib.SMTPException):
        server.close()
        raise
    return server


def _hand_over(server: smtplib.SMTP, mail: EmailMessage, to: Sequence[str], user: str, password: str) -> str:
    try:
        if user:
            server.login(user, password)
        if server.mail(mail["From"])[0] != 250:
            raise Undelivered("the mail server refuses the sender")
        taken = [address for address in to if server.rcpt(address)[0] in (250, 251)]
    except (OSError, smtplib.SMTPException) as error:
        raise Undelivered(f"the mail server refuses ({type(error).__name__})") from error
    if not taken:
        raise Undelivered(f"the mail server refuses all {len(to)} recipients")
    try:
        code, _ = server.data(mail.as_bytes(policy=SMTP))
    except smtplib.SMTPDataError as error:
        raise Undelivered(f"the mail server refuses the message ({error.smtp_code})") from error
    except (OSError, smtplib.SMTPException) as error:
        raise Unknown(f"the mail server fell silent ({type(error).__name__})") from error
    if code != 250:
        raise Undelivered(f"the mail server refuses the message ({code})")
    return "" if len(taken) == len(to) else f"the mail server refuses {len(to) - len(taken)} of {len(to)} recipients"


def _identity(numbers: Mapping[str, Any], channel: str) -> str:
    """The same for the same organization, week and channel, and telling nothing of them."""
    return hashlib.sha256(f"{numbers['organization']}/{numbers['week']}/{channel}".encode()).hexdigest()[:32]


def _gist(numbers: Mapping[str, Any]) -> str:
    rate, rating = numbers["headline"][0], numbers["headline"][1]
    return f"{wording.value(rate['value'], 'share')} with feedback, {wording.value(rating['value'], 'stars')} stars"


def _short(numbers: Mapping[str, Any], link: str) -> str:
    """A few lines for a chat."""
    alarms = [f"Drift alarm: {one['kind']} of {one['agent']}, {one['score']:.3f} after {one['first_score']:.3f}." for one in numbers["serving"] if one["alarm"]]
    steps = [f"{one['rank']}. {one['text']} ({one['number']})" for one in numbers["actions"]]
    head = f"Learning report {numbers['week']} of {numbers['organization']}: {_gist(numbers)}, {wording.count(numbers['executions'])} executions."
    return "\n".join([head, *alarms, *steps, f"{link}/reports#{numbers['week']}"])
