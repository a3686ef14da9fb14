"""Telling people that a run failed or a check does: into the log, to Slack, to a webhook.

Belongs here: what is said and to whom. Not here: noticing it, and that each is told once (defs/alerts.py), how messages travel (delivery.py), the weekly
report.

An alert holds names of jobs, assets, checks and partitions, ids, counts and links; never what people wrote, so never an error's own text.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from learning_pipelines.reports import delivery
from learning_pipelines.settings import Settings

log = logging.getLogger("learning_pipelines.alerts")


@dataclass(frozen=True, slots=True)
class Alert:
    """`event`: run_failed, check_failed or report_undelivered. `identity` is the same for the same incident, so that whoever gets it twice can tell."""

    event: str
    identity: str
    title: str
    link: str
    facts: Mapping[str, str] = field(default_factory=dict)


def failed_run(job: str, run_id: str, partition: str | None, steps: Mapping[str, str], link: str) -> Alert:
    """`steps`: the steps that failed, each with the class of its error."""
    of = f" of {partition}" if partition else ""
    where = f" in {', '.join(f'{step} ({error})' for step, error in steps.items())}" if steps else ""
    facts = {"job": job, "run_id": run_id, "partition": partition or "", "steps": ", ".join(steps)}
    return Alert("run_failed", run_id, f"{job}{of} failed{where}.", f"{link}/runs/{run_id}", facts)


def failed_check(asset: str, check: str, partition: str | None, severity: str, run_id: str, link: str) -> Alert:
    """A check that failed and had not failed before."""
    of = f" of {partition}" if partition else ""
    facts = {"asset": asset, "check": check, "partition": partition or "", "severity": severity, "run_id": run_id}
    return Alert("check_failed", f"{run_id}/{asset}/{check}", f"Check {check} of {asset} failed{of} ({severity}).", f"{link}/runs/{run_id}", facts)


def undelivered(organization: str, week: str, channel: str, attempts: int, link: str) -> Alert:
    """A weekly report that is not tried again by itself."""
    facts = {"organization": organization, "week": week, "channel": channel, "attempts": str(attempts)}
    title = f"The report {week} of {organization} did not go out by {channel} in {attempts} attempts; it is not tried again by itself."
    return Alert("report_undelivered", f"{organization}/{week}/{channel}", title, f"{link}/reports#{week}", facts)


def send(settings: Settings, alert: Alert, *, wait: float = delivery.WAIT) -> dict[str, str]:
    """Logs the alert and sends it where the settings say. How it ended by channel: sent, failed or unknown; raises nothing that a channel does."""
    log.error("%s %s", alert.title, alert.link)
    ended = {}
    if url := settings.slack_webhook:
        text = {"text": f"{alert.title}\n{alert.link}"}
        ended["slack"] = _told("slack", *delivery.tried(lambda: delivery.post(url, "LEARNING_SLACK_WEBHOOK", text, None), wait))
    if hook := settings.webhook_url:
        body = {"event": alert.event, "title": alert.title, "link": alert.link, **alert.facts}
        key = hashlib.sha256(f"{alert.event}/{alert.identity}".encode()).hexdigest()[:32]
        ended["webhook"] = _told("webhook", *delivery.tried(lambda: delivery.post(hook, "LEARNING_WEBHOOK_URL", body, key), wait))
    return ended


def _told(channel: str, state: str, error: str) -> str:
    if state != "sent":
        log.warning("the alert by %s: %s, %s", channel, state, error)
    return state
