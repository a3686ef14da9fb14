"""Importing what peers exported: `learning-pipelines import feedback FILE --from langfuse`, `import executions FILE --from otlp`.

Belongs here: from payloads to our import, in batches, with the lines of the export in every refusal. Not here: file formats
(exports.py), the import itself (feedback/importing.py).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from learning_pipelines.errors import BadInput
from learning_pipelines.feedback.identity import organization_id, user_id
from learning_pipelines.feedback.importing import ImportResult, import_file, window_now
from learning_pipelines.feedback.peers import executions, langfuse, mlflow, phoenix, stored
from learning_pipelines.feedback.peers.exports import Item, items, parts
from learning_pipelines.feedback.peers.otlp import Span
from learning_pipelines.feedback.peers.said import Said, Scale, feedback_record
from learning_pipelines.feedback.peers.shape import Malformed
from learning_pipelines.feedback.peers.spans import Reading
from learning_pipelines.feedback.records import Refusal, Window
from learning_pipelines.settings import Settings
from learning_pipelines.storage import peers, tenants
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.installation import ready_store
from learning_pipelines.storage.peers import Entry, HeldSpan

BATCH = 1_000
"""Not more than an import lists refusals: every refused line is known by its number."""
FORMATS = {"feedback": ("langfuse", "phoenix", "mlflow"), "executions": ("otlp", "langfuse", "phoenix", "mlflow")}


@dataclass
class _Import:
    connection: Connection
    organization: str
    tenant: UUID
    agents: Mapping[str, UUID]
    window: Window
    scales: Mapping[str, Scale]
    agent: str | None
    result: ImportResult

    def store(self, kind: str, records: Sequence[tuple[int, Mapping[str, Any]]]) -> set[int]:
        """Imports records (line of the export, record); returns which of them, by place, were refused."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "records.jsonl")
            path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for _, record in records))
            found = import_file(self.connection, self.organization, kind, path, window=self.window)
        self.result.imported += found.imported
        self.result.unchanged += found.unchanged
        for error in found.errors:
            self.result.reject(records[error["line"] - 1][0], Refusal(error["field"], error["reason"]))
        return {error["line"] - 1 for error in found.errors}


def import_export(
    connection: Connection, organization: str, kind: str, path: Path, peer: str, *, window: Window, scales: Mapping[str, Scale], agent: str | None = None
) -> ImportResult:
    """Imports an export of `peer` as feedback or executions. `agent` is the agent of everything that names none of its own.

    Raises BadInput for a file or a combination that cannot be imported, and for an unknown `agent`.
    """
    if peer not in FORMATS.get(kind, ()):
        known = "; ".join(f"{kind} from {', '.join(names)}" for kind, names in FORMATS.items())
        raise BadInput(f"{kind} cannot be imported from {peer}.", f"These can: {known}.")
    if not path.is_file():
        raise BadInput(f"{path} does not exist or is no file.", "Check the path.")
    found = items(path)
    with database_errors(f"importing {path.name}"):
        tenant = tenants.ensure_organization(connection, organization_id(organization), organization)
        agents = tenants.agent_ids(connection, tenant)
        if agent is not None and agent not in agents:
            raise BadInput(f"{agent!r} is not an agent of this organization.", "Import it first (kind agents).")
        run = _Import(connection, organization, tenant, agents, window, scales, agent, ImportResult(kind))
        if kind == "feedback":
            _feedback(run, peer, found)
        elif peer == "langfuse" and (first := next(found, None)) is not None:
            again = chain([first], found)  # observations name their trace, traces do not
            _traces(run, peer, again) if "traceId" in first.payload else _records(run, again)
        else:
            _traces(run, peer, found)
    run.result.trim()
    return run.result


def _readable(run: _Import, found: Iterator[Item]) -> Iterator[Item]:
    for item in found:
        run.result.read += 1
        if item.problem is not None:
            run.result.reject(item.line, Refusal(None, item.problem))
        else:
            yield item


def _batches(found: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(islice(found, BATCH)):
        yield batch


def _feedback(run: _Import, peer: str, found: Iterator[Item]) -> None:
    for batch in _batches(_statements(run, peer, found)):
        while batch:  # of the same statement twice, the later one is a change of the earlier one
            first = {said.id: place for place, (_, said) in reversed(list(enumerate(batch)))}
            chosen = sorted(first.values())
            _take(run, peer, [batch[place] for place in chosen])
            batch = [one for place, one in enumerate(batch) if place not in set(chosen)]


def _statements(run: _Import, peer: str, found: Iterator[Item]) -> Iterator[tuple[int, Said]]:
    read: dict[str, Callable[[Mapping[str, Any]], Said]] = {"langfuse": langfuse.score, "phoenix": phoenix.annotation, "mlflow": mlflow.assessment}
    for item in _readable(run, found):
        info = item.payload.get("info") or item.payload.get("trace_info") if peer == "mlflow" else None
        payloads = info.get("assessments") or [] if isinstance(info, Mapping) else [item.payload]
        for payload in payloads:
            try:
                yield item.line, read[peer](payload)
            except Malformed as error:
                run.result.reject(item.line, Refusal(error.field, error.reason))


def _take(run: _Import, peer: str, said: Sequence[tuple[int, Said]]) -> None:
    known = peers.known(run.connection, run.tenant, peer, [one.id for _, one in said])
    spans = [one.span_id for _, one in said if one.span_id is not None and one.execution_id is None]
    traces = peers.traces_of_spans(run.connection, run.tenant, spans) if spans else {}
    assumed = run.agent or executions.choose_agent([], run.agents)
    records: list[tuple[int, dict[str, Any]]] = []
    entries: list[Entry] = []
    beside: list[Entry] = []
    for line, one in said:
        entry = stored.entry(run.tenant, one, known, traces)
        before = known.get(one.id)
        if entry.state == "held":
            run.result.reject(line, Refusal("span_id", f"{one.span_id!r} belongs to no trace that is known; import the spans first (kind executions)"))
        elif entry.state == "beside":
            same = before is not None and before.version == entry.version
            run.result.unchanged += same
            run.result.imported += not same
            beside += [] if same else [entry]
        elif before is not None and before.version == entry.version and before.state == "feedback":
            run.result.unchanged += 1
        else:
            record = feedback_record(replace(one, agent=one.agent or assumed), run.scales, entry.version, entry.execution_id)
            records.append((line, record))
            entries.append(replace(entry, feedback_id=record["feedback_id"]))
    refused = run.store("feedback", records) if records else set()
    with run.connection.transaction():
        peers.note(run.connection, run.tenant, [*beside, *(entry for place, entry in enumerate(entries) if place not in refused)])


def _records(run: _Import, found: Iterator[Item]) -> None:
    """Langfuse's traces, which are whole as they are."""
    for batch in _batches(_readable(run, found)):
        records = []
        for item in batch:
            names = langfuse.trace_names(item.payload)
            agent = executions.choose_agent(names, run.agents) or run.agent
            try:
                if agent is None:
                    raise Malformed("agent", _nobody(names))
                records.append((item.line, langfuse.trace(item.payload, agent)))
            except Malformed as error:
                run.result.reject(item.line, Refusal(error.field, error.reason))
        if records:
            refused = run.store("executions", records)
            _release(run, [str(record["execution_id"]) for place, (_, record) in enumerate(records) if place not in refused], [])


def _nobody(names: Sequence[str]) -> str:
    named = f"none of {', '.join(map(repr, names))} is an agent of this organization" if names else "is not named"
    return f"{named}; import the agent first (kind agents) and name it with --agent"


def _traces(run: _Import, peer: str, found: Iterator[Item]) -> None:
    """Spans wait in the database until the file is read: those of one trace may lie anywhere in it."""
    lines: dict[str, int] = {}
    named: dict[str, tuple[str, ...]] = {}
    for batch in _batches(_readable(run, found)):
        entries = []
        for item in batch:
            try:
                for part in parts(peer, item.payload):
                    lines.setdefault(part.trace_id, item.line)
                    named[part.trace_id] = part.names or named.get(part.trace_id, ())
                    entries += _entries(run.tenant, part.trace_id, part.spans, part.info)
            except Malformed as error:
                run.result.reject(item.line, Refusal(error.field, error.reason))
        with run.connection.transaction():
            peers.hold_spans(run.connection, run.tenant, entries)
    for traces in _batches(iter(lines)):
        _assemble(run, traces, lines, named)


def _entries(tenant: UUID, trace: str, spans: Sequence[Span], info: Mapping[str, Any] | None) -> list[HeldSpan]:
    made: list[HeldSpan] = [] if info is None else [(trace, executions.INFO, None, None, info)]
    for span in spans:
        user = Reading(span).user
        made.append((trace, span.span_id.lower(), None, user_id(tenant, user) if user else None, {"raw": span.raw, "frame": span.frame}))
    return made


def _assemble(run: _Import, traces: Sequence[str], lines: Mapping[str, int], named: Mapping[str, tuple[str, ...]]) -> None:
    held = peers.held_traces(run.connection, run.tenant, traces)
    run.result.unchanged += sum(trace not in held for trace in traces)
    by_id = {str(identity): slug for slug, identity in run.agents.items()}
    records: list[tuple[int, dict[str, Any]]] = []
    used: list[tuple[str, list[str]]] = []
    for trace, entries in held.items():
        spans = [Span(entry["content"]["raw"], entry["content"]["frame"]) for entry in entries if entry["span_id"] != executions.INFO]
        info = next((entry["content"] for entry in entries if entry["span_id"] == executions.INFO), None)
        top = executions.outermost(spans)
        if top is None:
            run.result.reject(lines[trace], Refusal(None, f"trace {trace} has no span of an agent or a model"))
            continue
        names = [by_id.get(name, name) for name in named.get(trace, ())] + executions.agent_names(spans, top, None)
        agent = executions.choose_agent(names, run.agents) or run.agent
        if agent is None:
            run.result.reject(lines[trace], Refusal("agent", _nobody(names)))
            continue
        records.append((lines[trace], executions.execution_record(spans, top, agent, info)))
        used.append((trace, [entry["span_id"] for entry in entries]))
    refused = run.store("executions", records) if records else set()
    done = [one for place, one in enumerate(used) if place not in refused]
    with run.connection.transaction():
        for trace, span_ids in done:
            peers.use_spans(run.connection, run.tenant, trace, span_ids)
    _release(run, [trace for trace, _ in done], [span for _, span_ids in done for span in span_ids])


def _release(run: _Import, traces: Sequence[str], spans: Sequence[str]) -> None:
    """Takes up what was said about these before they came. It was counted when it came, so it does not count as read here."""
    held = peers.statements(run.connection, run.tenant, executions=traces, spans=spans, state="held", limit=100_000)
    apart = replace(run, result=ImportResult("feedback"))
    for peer in sorted({one.peer for one in held}):
        _take(apart, peer, [(0, stored.read_back(one)) for one in reversed(held) if one.peer == peer])


def import_export_configured(settings: Settings, organization: str, kind: str, path: Path, peer: str, agent: str | None) -> ImportResult:
    """Imports an export into the configured installation."""
    organization_id(organization)
    store = ready_store(settings)
    with store.pipeline() as connection:
        window = window_now(settings.start_date, settings.zone)
        return import_export(connection, organization, kind, path, peer, window=window, scales=settings.peer_scales, agent=agent)
