"""What must hold when everything has come to rest, whatever was killed: each a comparison of stored rows with the ledger, or with themselves.

Belongs here: the comparisons, as faults in words. Not here: coming to rest (harness.py), what is seen on the way (watch.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from learning_pipelines.errors import LearningError
from learning_pipelines.examples.versions import rebuild
from learning_pipelines.storage import audit, left_behind
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.left_behind import LeftBehind
from learning_pipelines.storage.metrics import COLUMNS, computed
from learning_pipelines.storage.tenants import AgentRef, agents
from learning_pipelines_tests.chaos.ledger import Fetch, Ledger
from learning_pipelines_tests.chaos.watch import Seen, several_labels

STALE_SECONDS = 0.5
"""How long a worker of the API hands out what it has read (api/served.py)."""
_MOST_WORDS = 12
_STORED = {
    "feedback": ("agent_feedback", "id"), "executions": ("agent_executions", "id"), "annotations": ("expert_annotations", "id"),
    "retrieval_feedback": ("retrieval_events", "query"),  # its id is made by the service; the load asks nothing twice
}  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """What is judged: `connection` as role pipeline; `runs` of Dagster: {id: status}."""

    connection: Connection
    ledger: Ledger
    seen: Seen = field(default_factory=Seen)
    runs: dict[str, str] = field(default_factory=dict)
    organization: str = "default"

    def agents(self) -> list[AgentRef]:
        return agents(self.connection, self.organization)


def acknowledged_once(evidence: Evidence) -> Iterable[str]:
    """Every acknowledged record is stored exactly once, one that was not at most once, and nothing that nobody sent."""
    for kind, (table, column) in _STORED.items():
        rows = evidence.connection.execute(f"SELECT {column}::text, count(*) FROM {table} GROUP BY 1").fetchall()  # type: ignore[arg-type]
        found = {str(name): int(count) for name, count in rows}
        yield from (f"{kind} {name} is stored {count} times" for name, count in found.items() if count > 1)
        yield from (f"{kind} {name} was acknowledged and is not stored" for name in evidence.ledger.acknowledged[kind] - found.keys())
        if kind != "annotations":  # their ids are made by the service: those of lost answers are known to nobody
            yield from (f"{kind} {name} was sent by nobody" for name in found.keys() - evidence.ledger.sent[kind])


def nothing_pending(evidence: Evidence) -> Iterable[str]:
    """Feedback waits for its execution only where that was never stored."""
    rows = evidence.connection.execute(
        """SELECT f.id, f.pending_execution FROM agent_feedback f
        LEFT JOIN agent_executions x ON x.organization_id = f.organization_id AND x.id = f.execution_id WHERE f.pending_execution = (x.id IS NOT NULL)"""
    ).fetchall()
    return [f"feedback {name} {'waits for an execution that is there' if pending else 'has no execution'}" for name, pending in rows]


def examples_once(evidence: Evidence) -> Iterable[str]:
    """Every example once per source and content, and every acknowledged correction of a stored execution became part of one."""
    for what, query in (
        ("source {} has {} examples", "SELECT source_id, count(*) FROM learning_examples WHERE source_type = 'user_feedback' AND is_active GROUP BY 1"),
        ("one content ({}) has {} examples",
         "SELECT agent_id::text || encode(content_hash, 'hex'), count(*) FROM learning_examples WHERE is_active GROUP BY 1"),
        ("feedback {} is the source of {} examples",
         """SELECT s.feedback_id, count(DISTINCT e.id) FROM example_sources s JOIN learning_examples e ON e.organization_id = s.organization_id
            AND e.id = s.example_id AND e.is_active GROUP BY 1"""),
    ):  # fmt: skip
        rows = evidence.connection.execute(f"{query} HAVING count(*) > 1").fetchall()  # type: ignore[arg-type]
        yield from (what.format(name, count) for name, count in rows if int(count) > 1)
    known = {str(row[0]) for row in evidence.connection.execute("SELECT feedback_id FROM example_sources").fetchall()}
    yield from (f"the correction {name} became no example" for name in evidence.ledger.corrections - known)


def datasets_whole(evidence: Evidence) -> Iterable[str]:
    """Every dataset version is sealed, hashes to what is recorded of it, and has the members it counts."""
    for agent in evidence.agents():
        rows = evidence.connection.execute(
            """SELECT d.id, d.version, d.total_examples, d.pairs_count,
                (SELECT count(*) FROM dataset_examples e WHERE e.organization_id = d.organization_id AND e.dataset_id = d.id),
                (SELECT count(*) FROM dataset_pairs p WHERE p.organization_id = d.organization_id AND p.dataset_id = d.id)
            FROM training_datasets d WHERE d.organization_id = %s AND d.name = %s""",
            [agent.organization_id, agent.agent],
        ).fetchall()
        for identity, version, total, pairs, members, paired in rows:
            if (total, pairs) != (members, paired):
                yield f"version {version} of {agent.agent} says {total} examples and {pairs} pairs, and has {members} and {paired}"
            try:
                rebuild(evidence.connection, agent, identity)
            except LearningError as error:
                yield str(error)


def one_production_label(evidence: Evidence) -> Iterable[str]:
    """No label points at two versions or at none, now or at any look on the way."""
    return [*several_labels(evidence.connection), *(fault for fault in evidence.seen.faults if "label" in fault)]


def served_was_approved(evidence: Evidence) -> Iterable[str]:
    """Every prompt that was handed out had the label production at that time, and whatever got it was imported, written or approved."""
    for agent in evidence.agents():
        times = _production(evidence.connection, agent)
        fetches = [one for one in evidence.ledger.fetches if one.agent == agent.agent]
        yield from (
            f"version {one.version} of {one.agent} was handed out at {one.answered:.1f} and had not the label production" for one in fetches
            if not _in_force(one, times)
        )  # fmt: skip
        unapproved = evidence.connection.execute(
            """SELECT l.version FROM prompt_labels l JOIN prompt_versions v USING (organization_id, agent_id, version)
            WHERE l.organization_id = %s AND l.agent_id = %s AND l.label = 'production' AND v.origin = 'learnt' AND NOT EXISTS (
                SELECT FROM proposals p WHERE p.organization_id = l.organization_id AND p.agent_id = l.agent_id AND p.kind = 'prompt'
                    AND p.state = 'approved' AND p.subject -> 'version' = to_jsonb(l.version))""",
            [agent.organization_id, agent.agent_id],
        ).fetchall()
        yield from (f"version {version} of {agent.agent} serves and was approved by nobody" for (version,) in unapproved)


def _production(connection: Connection, agent: AgentRef) -> list[tuple[float, int | None]]:
    """When production moved where, as the audit log knows it: it holds hashes of numbers."""
    newest = connection.execute(
        "SELECT coalesce(max(version), 0) FROM prompt_versions WHERE organization_id = %s AND agent_id = %s", [agent.organization_id, agent.agent_id]
    ).fetchone()
    numbers = {audit.content_hash(number): number for number in range(1, (newest[0] if newest else 0) + 1)}
    rows = connection.execute(
        """SELECT extract(epoch FROM happened_at)::float8, before_hash, after_hash FROM audit_log
        WHERE organization_id = %s AND subject_kind = 'prompt_label' AND subject_id = %s ORDER BY happened_at, id""",
        [agent.organization_id, f"{agent.agent}/production"],
    ).fetchall()
    moves = [(float(at), None if after is None else numbers.get(bytes(after))) for at, _, after in rows]
    if not rows:
        now = connection.execute(
            "SELECT version FROM prompt_labels WHERE organization_id = %s AND agent_id = %s AND label = 'production'", [agent.organization_id, agent.agent_id]
        ).fetchone()
        return [(0.0, None if now is None else int(now[0]))]
    first = rows[0][1]
    return [(0.0, None if first is None else numbers.get(bytes(first))), *moves]


def _in_force(fetch: Fetch, moves: list[tuple[float, int | None]]) -> bool:
    """Whether the version had the label at any moment from a little before it was asked for until the answer."""
    ends = [*(at for at, _ in moves[1:]), float("inf")]
    # A label moves when its transaction commits, which is a moment after the time that is written down.
    return any(
        version == fetch.version and begins <= fetch.answered and fetch.asked - STALE_SECONDS - _COMMIT_SECONDS <= end
        for (begins, version), end in zip(moves, ends, strict=True)
    )


_COMMIT_SECONDS = 15.0
"""The longest that the transaction of a move may have taken: the load gives up on a request after as long."""


def index_complete(evidence: Evidence) -> Iterable[str]:
    """Every document has its newest acknowledged text, its chunks are those of that text, and chunks = postings = vectors."""
    stored = {str(name): str(text) for name, text in evidence.connection.execute("SELECT id, text FROM documents WHERE is_active").fetchall()}
    for name, texts in evidence.ledger.texts.items():
        last = max((place for place, (_, acknowledged) in enumerate(texts) if acknowledged), default=None)
        possible = {text for text, _ in texts[last or 0 :]}
        if (last is not None or name in stored) and stored.get(name) not in possible:
            yield f"document {name} is not as it was last acknowledged"
    for what, query in (
        ("documents are not chunked as they are", """SELECT count(*) FROM documents d WHERE d.is_active AND NOT EXISTS (SELECT FROM document_chunkings c
            WHERE c.organization_id = d.organization_id AND c.document_id = d.id AND c.content_hash = d.content_hash AND c.chunks = (
                SELECT count(*) FROM knowledge_chunks k WHERE k.organization_id = d.organization_id AND k.document_id = d.id AND k.edit_id IS NULL))"""),
        ("chunks have no or several postings", """SELECT count(*) FROM knowledge_chunks k WHERE k.is_active AND k.edit_id IS NULL AND 1 <> (
            SELECT count(*) FROM lexical_members m JOIN lexical_segments s ON s.organization_id = m.organization_id AND s.number = m.segment
            JOIN lexical_states t ON t.organization_id = s.organization_id AND t.analyzer = s.analyzer
            WHERE m.organization_id = k.organization_id AND m.chunk_id = k.id)"""),
        ("postings are of no chunk", """SELECT count(*) FROM lexical_members m WHERE NOT EXISTS (
            SELECT FROM knowledge_chunks k WHERE k.organization_id = m.organization_id AND k.id = m.chunk_id)"""),
        ("segments have not the members they count", """SELECT count(*) FROM lexical_segments s WHERE s.chunks - octet_length(s.removed) / 2 <> (
            SELECT count(*) FROM lexical_members m WHERE m.organization_id = s.organization_id AND m.segment = s.number)"""),
        ("chunks have no vector of the base index", """SELECT count(*) FROM knowledge_chunks k JOIN index_versions v
            ON v.organization_id = k.organization_id AND v.agent_id IS NULL AND v.number = 0
            WHERE k.is_active AND k.edit_id IS NULL AND NOT EXISTS (SELECT FROM chunk_embeddings e
                WHERE e.organization_id = k.organization_id AND e.encoder_id = v.encoder_id AND e.chunk_id = k.id)"""),
        ("vectors are of no chunk", """SELECT count(*) FROM chunk_embeddings e WHERE NOT EXISTS (
            SELECT FROM knowledge_chunks k WHERE k.organization_id = e.organization_id AND k.id = e.chunk_id)"""),
    ):  # fmt: skip
        row = evidence.connection.execute(query).fetchone()  # type: ignore[arg-type]
        if row is not None and row[0]:
            yield f"{row[0]} {what}"


def counters_equal_recounts(evidence: Evidence) -> Iterable[str]:
    """The metrics of every day and agent are what the rows come to."""
    stored_days = evidence.connection.execute("SELECT min(day), max(day) FROM feedback_metrics").fetchone()
    span = evidence.connection.execute("SELECT min(created_at)::date, max(created_at)::date FROM agent_executions").fetchone()
    if stored_days is None or span is None or span[0] is None:
        return
    first, last = min(filter(None, (stored_days[0], span[0]))), max(filter(None, (stored_days[1], span[1])))
    names = ", ".join(COLUMNS)
    for agent in evidence.agents():
        rows = evidence.connection.execute(
            f"SELECT day, {names} FROM feedback_metrics WHERE organization_id = %s AND agent_id = %s",  # type: ignore[arg-type]
            [agent.organization_id, agent.agent_id],
        ).fetchall()
        stored = {row[0]: dict(zip(COLUMNS, row[1:], strict=True)) for row in rows}
        counted = {row["day"]: row for row in computed(evidence.connection, [agent], first, last, "UTC")}
        for day in sorted(stored.keys() | counted.keys()):
            one, other = stored.get(day, {}), counted.get(day, {})
            yield from (
                f"{agent.agent} on {day}: {name} is {one.get(name)}, the rows come to {other.get(name)}" for name in COLUMNS
                if not _equal(one.get(name), other.get(name))
            )  # fmt: skip


def _equal(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 1e-6 * max(1.0, abs(one))
    return (one or 0) == (other or 0) if not isinstance(one, dict) else one == other


def outbox_read_forwards(evidence: Evidence) -> Iterable[str]:
    """No position ever went backwards, and in the end every reader has read everything that concerns it."""
    yield from (fault for fault in evidence.seen.faults if "position" in fault)
    yield from (f"{one.job} has not taken up everything of {one.partition or 'all'}: since {one.since:%H:%M:%S}" for one in left(evidence.connection))


def left(connection: Connection) -> list[LeftBehind]:
    """What is written and not taken up, of every kind, however young."""
    none = dt.timedelta(0)
    return [*left_behind.of_readers(connection, none), *left_behind.of_retrieval(connection, None, none, 10_000_000)[0]]


def no_run_stuck(evidence: Evidence) -> Iterable[str]:
    """Every run has ended, every run that was acknowledged is known, and no training says that it goes on."""
    unfinished = {"QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING", "MANAGED"}
    yield from (f"run {name} is {status}" for name, status in evidence.runs.items() if status in unfinished)
    yield from (f"run {name} was acknowledged and is not known" for name in evidence.ledger.acknowledged["runs"] - evidence.runs.keys())
    rows = evidence.connection.execute("SELECT id::text, training_type, dagster_run_id FROM training_runs WHERE status IN ('pending', 'running')").fetchall()
    yield from (
        f"the training {name} ({kind}) says that it goes on; its run {run} is {evidence.runs.get(str(run), 'not known')}" for name, kind, run in rows
    )


def no_odd_answers(evidence: Evidence) -> Iterable[str]:
    """Nobody got a 500: what cannot be done now is a 503."""
    return list(evidence.ledger.odd)


INVARIANTS: dict[str, Callable[[Evidence], Iterable[str]]] = {
    "every acknowledged record is stored exactly once": acknowledged_once,
    "feedback is joined to its execution": nothing_pending,
    "every example once per source": examples_once,
    "no half dataset": datasets_whole,
    "one production label per agent": one_production_label,
    "every served prompt was approved": served_was_approved,
    "the index is complete": index_complete,
    "counters equal recounts": counters_equal_recounts,
    "the outbox is read forwards, to its end": outbox_read_forwards,
    "no run is stuck": no_run_stuck,
    "no answer is a 500": no_odd_answers,
}


SUBJECTS: dict[str, str | Callable[[Evidence], int]] = {
    "every acknowledged record is stored exactly once": lambda evidence: sum(len(ids) for ids in evidence.ledger.acknowledged.values()),
    "feedback is joined to its execution": "agent_feedback",
    "every example once per source": "learning_examples",
    "no half dataset": "training_datasets",
    "one production label per agent": "prompt_labels",
    "every served prompt was approved": lambda evidence: len(evidence.ledger.fetches),
    "the index is complete": "documents",
    "counters equal recounts": "feedback_metrics",
    "the outbox is read forwards, to its end": "outbox",
    "no run is stuck": lambda evidence: len(evidence.runs),
    "no answer is a 500": lambda evidence: sum(evidence.ledger.answers.values()),
}


def silent(evidence: Evidence) -> list[str]:
    """Invariants whose subject has not a single row: that they hold says nothing."""
    return [name for name, subject in SUBJECTS.items() if not (subject(evidence) if callable(subject) else _rows(evidence.connection, subject))]


def _rows(connection: Connection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[arg-type]
    return int(row[0]) if row else 0


def judge(evidence: Evidence) -> dict[str, list[str]]:
    """Faults of every invariant in words (of many the first); an empty list: it holds."""
    found = {name: list(check(evidence)) for name, check in INVARIANTS.items()}
    return {name: _few(faults) for name, faults in found.items()}


def _few(faults: list[str]) -> list[str]:
    return faults if len(faults) <= _MOST_WORDS else [*faults[:_MOST_WORDS], f"… and {len(faults) - _MOST_WORDS} more"]
