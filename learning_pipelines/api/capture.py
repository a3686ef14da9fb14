"""From a body to a write: who it counts for, its identity, its check, the row. The same rules as the import, for one record or many.

Belongs here: what HTTP adds to a record (subject, Idempotency-Key). Not here: validation (feedback/), storing (writer.py).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

from learning_pipelines.api.principals import Principal
from learning_pipelines.api.problems import Problem
from learning_pipelines.feedback.importing import window_now
from learning_pipelines.feedback.kinds import KINDS
from learning_pipelines.feedback.records import Checked, Refusal, Window, check
from learning_pipelines.feedback.staging import Row, Stager, UnknownAgent
from learning_pipelines.storage.grouped import Settled

KEY_LIMIT = 255


@dataclass(frozen=True, slots=True)
class Prepared:
    """A record that may be stored: its id, its staged row, the keys that were given."""

    id: str
    row: Row
    fields: tuple[str, ...]


class Capture:
    """Prepares bodies of any kind. `agents_of` gives the agents of an organization by slug (it may be asked again for a slug that is new)."""

    def __init__(self, start: dt.date, zone: ZoneInfo, agents_of: Callable[[Principal, str], dict[str, uuid.UUID]]) -> None:
        self._start = start
        self._zone = zone
        self._agents_of = agents_of

    def window(self) -> Window:
        """The time in which a record may have happened, as of now: for the records of one request it is the same."""
        return window_now(self._start, self._zone)

    def prepare(self, who: Principal, kind: str, body: object, key: str | None = None, window: Window | None = None) -> Prepared:
        """Raises Problem: 422 naming the field, 403 where the body speaks for somebody else or about another execution."""
        if isinstance(body, dict):
            body = _for_subject(who, kind, body)
        checked = check(KINDS[kind], body, window or self.window())
        if isinstance(checked, Refusal):
            where = checked.field or "The body"
            raise Problem(422, f"{where} {checked.reason}".strip() + ".", field=checked.field)
        assert isinstance(body, dict)
        checked = _identified(who, checked, key)
        try:
            row = Stager(who.organization_id, self._agents(who, checked)).row(0, checked)
        except UnknownAgent as error:
            raise Problem(422, f"{str(error)!r} is not an agent of this organization.", field="agent") from None
        return Prepared(checked.id, row, tuple(map(str, body)))

    def agents(self, who: Principal, slug: str) -> dict[str, uuid.UUID]:
        """The agents of the principal's organization by slug."""
        return self._agents_of(who, slug)

    def _agents(self, who: Principal, checked: Checked) -> dict[str, uuid.UUID]:
        slug: str | None = checked.record.own("agent")
        return {} if slug is None else self._agents_of(who, slug)


def refusal(kind: str, settled: Settled, identity: str) -> Problem | None:
    """Why a prepared record was not stored; None if it was, or was there already."""
    if settled.status in ("stored", "unchanged"):
        return None
    if settled.status == "unknown_execution":
        return Problem(422, "execution_id is not known yet: name the agent, or send the execution first.", field="execution_id")
    if settled.status == "other_agent":
        return Problem(422, "The execution belongs to another agent.", field="agent")
    if settled.status == "replaces_unknown":
        return Problem(422, "replaces is not a demonstration of this agent; a new version comes after the one it replaces.", field="replaces")
    if settled.status == "replaced_already":
        return Problem(409, "The demonstration was replaced by another one already: name the newest version.", field="replaces")
    if settled.status == "expert_withdrawn":
        return Problem(403, "The right of this expert to demonstrate was withdrawn; the operator gives it back (`experts restore`).", field="expert")
    field = KINDS[kind].id_key or "Idempotency-Key"
    return Problem(409, f"{identity!r} is stored already with other content; a change needs a new id.", field=field)


def _for_subject(who: Principal, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """The body with the principal's own person, where it has one. Whoever acts for one person cannot speak for another."""
    name = "expert" if kind == "demonstrations" else "user"
    if name == "expert" and "user" in body:
        body = _as_expert(body)
    if who.kind == "execution":
        if body.get("execution_id") is not None and str(body["execution_id"]) != who.execution_id:
            raise Problem(403, "This token is for another execution.")
        if who.user is None and body.get(name) is not None:
            raise Problem(403, "This token is for nobody in particular: leave the user out.", field=name)
    if who.user is None or kind == "documents":
        return body
    given = body.get(name)
    if given is not None and str(given) != who.user:
        raise Problem(403, f"These credentials act for one {name} and cannot speak for another.", field=name)
    return {**body, name: who.user}


def _as_expert(body: dict[str, Any]) -> dict[str, Any]:
    """Every write accepts `user`; of a demonstration it is the expert."""
    user, given = body["user"], body.get("expert")
    if given is not None and user is not None and str(given) != str(user):
        raise Problem(422, "user and expert name two people: name one.", field="expert")
    return {**{name: value for name, value in body.items() if name != "user"}, "expert": given if user is None else user}


def _identified(who: Principal, checked: Checked, key: str | None) -> Checked:
    """Its own id, else one that follows from the Idempotency-Key, else a new one: without either a request is always new."""
    if key is not None and not 1 <= len(key) <= KEY_LIMIT:
        raise Problem(422, f"Idempotency-Key must have 1 to {KEY_LIMIT} characters.", field="Idempotency-Key")
    id_key = checked.record.id_key
    if id_key is not None and checked.record.own(id_key) is not None:
        return checked
    if key is None:
        return replace(checked, id=str(uuid.uuid4()))
    # Per person; keys of applications share one space, so that a request repeated with a new API key is still the same request.
    scope = f"{who.kind == 'key'}/{who.user or ''}/{who.execution_id or ''}/{key}"
    return replace(checked, id=f"ik-{hashlib.sha256(scope.encode()).hexdigest()[:40]}")
