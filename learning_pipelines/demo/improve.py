"""The demo's prompts: one that became measurably better is approved and serves, one that somebody wrote by hand is refused.

Belongs here: which agent, which version is written, what is said about it. Not here: search, gate, approval (prompts/, acceptance/).
"""

from __future__ import annotations

from typing import Any

from learning_pipelines import run_tags
from learning_pipelines.demo.changes import Say, demo_agent, run_and_approve
from learning_pipelines.prompts.prompt import content_hash
from learning_pipelines.storage import acceptance, prompts, tenants
from learning_pipelines.storage.acceptance import Reservation
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.prompts import Version
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.tenants import AgentRef

AGENT = "router"
BY_HAND = (
    "You sort incoming messages for the service desk of an accounting firm. Read the message carefully, think about what the sender needs, and "
    "answer with exactly one of these words: {labels}. Say nothing else."
)
"""Clearer than the first prompt, as a careful person would write it. The embedded model follows demonstrations and hardly instructions."""


def improve(store: Store, organization: str, say: Say) -> list[dict[str, Any]]:
    """Optimizes the agent, approves what is better, puts a version written by hand to the same test. One entry per change: {version, strategy,
    verdict, reason, state, incumbent_score, score, n}. What was done by an earlier demo is not done again, its outcome is told."""
    agent = demo_agent(store, organization, AGENT)
    say(f"Searching a better prompt for {AGENT}, then a test of it on held-out examples (some minutes the first time) …")
    run_and_approve(store, agent, "prompt_optimization", say)
    with store.pipeline() as connection:
        number = _written(connection, agent)
    say(f"Putting version {number}, written by hand, to the same test …")
    run_and_approve(store, agent, "prompt_optimization", say, {run_tags.CANDIDATE: str(number)})
    with store.pipeline() as connection:
        return [_told(connection, agent, test) for test in acceptance.tests(connection, agent, "prompt") if test.verdict is not None]


def change_lines(changes: list[dict[str, Any]]) -> list[str]:
    """What happened, a line per change."""
    return [
        f"  prompt    {AGENT} version {one['version'] or '–'} ({one['strategy']}): {one['verdict']}, {one['score']:.0%} right against "
        f"{one['incumbent_score']:.0%} on {one['n']} held-out messages (p = {one['p_value']:.2g}): {one['state']}"
        for one in changes
    ]


def _written(connection: Connection, agent: AgentRef) -> int:
    """The version somebody writes by hand; the same one in a second demo."""
    labels = ", ".join(tenants.answers_of(connection, agent)[1])
    messages = [{"role": "system", "content": BY_HAND.format(labels=labels)}]
    hashed = content_hash(messages, {})
    if (known := _with_content(connection, agent, hashed)) is not None:
        return known.version
    with connection.transaction():
        number, _ = prompts.add_written(connection, agent, messages, None, hashed, None)
    return number


def _with_content(connection: Connection, agent: AgentRef, hashed: bytes) -> Version | None:
    versions = (prompts.version(connection, agent, row["version"]) for row in prompts.list_versions(connection, agent))
    return next((one for one in versions if one is not None and one.content_hash == hashed), None)


def _told(connection: Connection, agent: AgentRef, test: Reservation) -> dict[str, Any]:
    found = _with_content(connection, agent, bytes.fromhex(test.candidate["content_hash"]))
    serving, evidence = prompts.label_target(connection, agent, prompts.PRODUCTION), test.evidence
    return {
        "version": None if found is None else found.version, "strategy": "learnt, not kept" if found is None else found.strategy or "written by hand",
        "verdict": test.verdict, "reason": evidence["reason"], "incumbent_score": evidence["incumbent_mean"], "score": evidence["candidate_mean"],
        "n": evidence["n"], "p_value": evidence["p_value"], "difference": evidence["difference"], "low": evidence["low"], "high": evidence["high"],
        "state": "approved and serving" if found is not None and found.version == serving else "refused" if test.verdict != "better" else "approved",
    }  # fmt: skip
