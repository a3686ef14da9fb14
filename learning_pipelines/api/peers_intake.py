"""What becomes of peers' statements: feedback through the group writer like every other, or a place beside it.

Belongs here: identity and versions, what is held until its trace comes. Not here: paths and shapes (peers_*.py), meaning (feedback/peers/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fastapi.concurrency import run_in_threadpool

from learning_pipelines.api.capture import Prepared, refusal
from learning_pipelines.api.principals import Principal
from learning_pipelines.api.problems import Problem
from learning_pipelines.api.service import Service
from learning_pipelines.feedback.peers import executions, stored
from learning_pipelines.feedback.peers.said import Said, feedback_record
from learning_pipelines.storage import audit, peers, tenants
from learning_pipelines.storage.grouped import Write
from learning_pipelines.storage.peers import Entry, Known, Statement

ATTEMPTS = 3
"""Two requests that change the same statement at once, or a crash between feedback and ledger: a taken version is skipped."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one statement: stored, unchanged, beside, held; or refused for `problem`."""

    id: str
    status: str
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class _View:
    """What is known before a round: stored statements, the traces of spans, the agent to assume where none is named."""

    known: Mapping[str, Known]
    traces: Mapping[str, str]
    agent: str | None


async def take(service: Service, who: Principal, said: Sequence[Said], given_agent: str | None = None) -> list[Outcome]:
    """Stores statements durably; one outcome each, in order. A statement that comes twice is taken twice, in order."""
    said = [replace(one, user=who.user) if who.user is not None and not one.machine else one for one in said]
    outcomes: list[Outcome | None] = [None] * len(said)
    waiting = list(range(len(said)))
    attempts = 0
    while waiting:
        chosen = list({said[place].id: place for place in reversed(waiting)}.values())[::-1]  # of each id the first
        found = await _round(service, who, [said[place] for place in chosen], given_agent, attempts)
        conflicts = {place for place, outcome in zip(chosen, found, strict=True) if outcome.problem is not None and outcome.problem.status == 409}
        attempts = attempts + 1 if conflicts else 0
        for place, outcome in zip(chosen, found, strict=True):
            if place not in conflicts or attempts >= ATTEMPTS:
                outcomes[place] = outcome
        waiting = [place for place in waiting if outcomes[place] is None]
    return [outcome for outcome in outcomes if outcome is not None]


async def _round(service: Service, who: Principal, said: Sequence[Said], given_agent: str | None, skip: int) -> list[Outcome]:
    view = await run_in_threadpool(_look, service, who, said, given_agent)
    outcomes: dict[int, Outcome] = {}
    entries: list[Entry] = []
    prepared: list[tuple[int, Prepared, Entry]] = []
    for place, one in enumerate(said):
        entry = stored.entry(who.organization_id, one, view.known, view.traces, skip)
        if entry.state != "feedback":
            before = view.known.get(one.id)
            same = before is not None and before.version == entry.version and before.state == entry.state
            outcomes[place] = Outcome(one.id, "unchanged" if same else entry.state)
            entries += [] if same else [entry]
            continue
        record = feedback_record(replace(one, agent=one.agent or view.agent), service.settings.peer_scales, entry.version, entry.execution_id)
        try:
            ready = await run_in_threadpool(service.capture.prepare, replace(who, user=None), "feedback", record)
        except Problem as refused:
            outcomes[place] = Outcome(one.id, "refused", refused)
            continue
        prepared.append((place, ready, replace(entry, feedback_id=ready.id)))
    if prepared:
        write = Write("feedback", who.acting, who.actor, [ready.row for _, ready, _ in prepared], [ready.fields for _, ready, _ in prepared])
        for (place, ready, entry), settled in zip(prepared, await service.writer.write(write), strict=True):
            if settled.status == "unknown_execution":  # and nobody said which agent: kept until the trace comes
                entries.append(replace(entry, state="held", feedback_id=None, payload=said[place].payload))
                outcomes[place] = Outcome(said[place].id, "held")
            elif (problem := refusal("feedback", settled, ready.id)) is not None:
                outcomes[place] = Outcome(said[place].id, "refused", problem)
            else:
                service.metrics.stored.labels("feedback").inc(settled.status == "stored")
                entries.append(entry)
                outcomes[place] = Outcome(said[place].id, settled.status)
    if entries:
        await run_in_threadpool(_note, service, who, entries)
    return [outcomes[place] for place in range(len(said))]


def _look(service: Service, who: Principal, said: Sequence[Said], given_agent: str | None) -> _View:
    with service.acting(who) as connection:
        known = peers.known(connection, who.organization_id, said[0].peer, [one.id for one in said]) if said else {}
        spans = [one.span_id for one in said if one.span_id is not None and one.execution_id is None]
        traces = peers.traces_of_spans(connection, who.organization_id, spans) if spans else {}
        agents = tenants.agent_ids(connection, who.organization_id)
    return _View(known, traces, executions.choose_agent([given_agent] if given_agent else [], agents))


def _note(service: Service, who: Principal, entries: Sequence[Entry]) -> None:
    with service.acting(who) as connection:
        peers.note(connection, who.organization_id, entries)
        for entry in entries:
            if entry.state != "feedback":  # feedback is in the audit already, by the writer
                audit.record(connection, who.organization_id, actor=who.actor, action=entry.state, kind=f"{entry.peer} statement",
                             subject=entry.id, fields=list(entry.payload or {}), after=entry.payload)  # fmt: skip


async def release(service: Service, who: Principal, traces: Sequence[str], spans: Sequence[str]) -> None:
    """Takes up what was said about these traces and spans before they came."""

    def held() -> list[Statement]:
        with service.acting(who) as connection:
            return peers.statements(connection, who.organization_id, executions=traces, spans=spans, state="held", limit=10_000)

    found = await run_in_threadpool(held)
    for peer in sorted({one.peer for one in found}):
        said = [stored.read_back(one) for one in reversed(found) if one.peer == peer]
        await take(service, replace(who, user=None), said)
