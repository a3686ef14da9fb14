"""From what a peer said to what the ledger keeps of it, and back: state, version, person.

Belongs here: what is feedback and what stays beside, which version a content is. Not here: SQL (storage/peers.py), HTTP, files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from learning_pipelines.feedback.identity import user_id
from learning_pipelines.feedback.peers import langfuse, mlflow, phoenix
from learning_pipelines.feedback.peers.said import Said
from learning_pipelines.storage.audit import content_hash
from learning_pipelines.storage.peers import Entry, Known, Statement


def entry(organization_id: UUID, said: Said, known: Mapping[str, Known], traces: Mapping[str, str], skip: int = 0) -> Entry:
    """What is to be noted of a statement: state `feedback` where a person spoke about an execution that can be named (its feedback_id is
    set by whoever stores the feedback), `held` where its span is not known, `beside` for everything else. `skip` leaves out versions
    that turned out to be taken."""
    execution = said.execution_id or traces.get(said.span_id or "")
    state = "beside" if said.machine or not said.countable else "feedback" if execution is not None else "held"
    hashed = meaning_hash(said)
    stored = known.get(said.id)
    session = said.payload.get("sessionId") or said.payload.get("session_id")
    person = said.user if not said.machine else None
    return Entry(
        peer=said.peer,
        id=said.id,
        state=state,
        version=(1 if stored is None else stored.version + (stored.content_hash != hashed)) + skip,
        content_hash=hashed,
        name=said.name,
        payload=None if state == "feedback" else said.payload,
        execution_id=execution,
        span_id=said.span_id,
        session_id=session if isinstance(session, str) else None,
        person=person,
        user_id=user_id(organization_id, person) if person else None,
    )


def meaning_hash(said: Said) -> bytes:
    """Equal for the same statement, however it comes: an export has more fields than the client posted (when it was stored, by which
    project), and they are no change of it."""
    kept = {key: said.payload.get(key) or None for key in ("metadata", "expectation", "feedback")}
    place = [said.execution_id, said.span_id if said.execution_id is None else None]
    hashed = content_hash([said.name, said.value, said.label, said.text, said.correction, said.user, said.machine, said.countable, place, kept])
    assert hashed is not None
    return hashed


def read_back(statement: Statement) -> Said:
    """A stored statement, read again."""
    payload = statement.payload
    if statement.peer == "langfuse":
        said = langfuse.score(payload)
    elif statement.peer == "mlflow":
        said = mlflow.assessment(payload)
    else:
        said = phoenix.note(payload) if "note" in payload else phoenix.annotation(payload)
    return replace(said, id=statement.id, user=statement.person or said.user)
