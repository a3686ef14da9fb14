"""Judging many items at once, and taking back what one request did.

Belongs here: all or nothing, and when an undo is refused. Not here: a single verdict (reviewing.py), SQL (storage/).
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg

from learning_pipelines.examples.experts import Expert, Reason, Refused
from learning_pipelines.examples.review import Verdict
from learning_pipelines.examples.reviewing import Review, Reviewed, judge, review
from learning_pipelines.storage import audit, review_actions
from learning_pipelines.storage import review_queue as queue
from learning_pipelines.storage import reviews as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.reviews import Item

NAMED = 20
"""At most this many items are named in a refusal."""


def review_one(connection: Connection, expert: Expert, said: Review) -> tuple[UUID, Reviewed]:
    """A review that can be undone by the id it returns. Raises Refused."""
    action_id = uuid.uuid4()
    done = review(connection, expert, said, action_id)
    _keep(connection, expert, action_id, "single", [done])
    return action_id, done


def review_many(connection: Connection, expert: Expert, example_ids: Sequence[str], verdict: Verdict, notes: str | None) -> tuple[UUID, list[Reviewed]]:
    """The same verdict on every item, or on none: a refusal names every item at fault. Returns the id that undoes them all."""
    storage.ensure_expert(connection, expert.organization_id, expert.id, expert.name)
    action_id, ids = uuid.uuid4(), sorted(set(example_ids))
    items = storage.lock(connection, expert.organization_id, expert.id, ids)
    missing = [one for one in ids if one not in items]
    if missing:
        raise Refused(Reason.UNKNOWN, f"{_named(missing)}: not there for you.", "Nothing was changed; leave them out and send the rest again.", "example_ids")
    held = queue.seats(connection, expert.organization_id, ids)
    done, refused = [], []
    for one in ids:
        try:
            done.append(judge(connection, expert, items[one], held[one], Review(one, verdict, notes=notes), action_id))
        except Refused as refusal:
            refused.append((one, refusal))
    if refused:
        cause = " ".join(refusal.cause for _, refusal in refused[:NAMED])
        advice = f"Nothing was changed; leave out {_named([one for one, _ in refused])} and send the rest again."
        raise Refused(refused[0][1].reason, cause, advice, "example_ids")
    _keep(connection, expert, action_id, "bulk", done)
    return action_id, done


def undo(connection: Connection, expert: Expert, action_id: UUID) -> list[str]:
    """Takes back one request: every item is as it was before. Raises Refused, naming the items, if anything happened to one of them since."""
    action = review_actions.lock_action(connection, expert.organization_id, action_id)
    if action is None:
        raise Refused(Reason.UNKNOWN, "There is no such undo id for you.", "It comes with the answer to a review.", "undo_id")
    if action.expert_id != expert.id:
        raise Refused(Reason.OWN, "This was done by another expert.", "Only they can take it back.", "undo_id")
    if action.undone_at is not None:
        raise Refused(Reason.STATE, f"This was undone already at {action.undone_at:%Y-%m-%d %H:%M:%S} UTC.", "There is nothing left to undo.", "undo_id")
    ids = review_actions.item_ids(connection, expert.organization_id, action_id)
    locked = storage.lock(connection, expert.organization_id, expert.id, ids)
    items = review_actions.items(connection, expert.organization_id, action_id)
    changed = [one.example_id for one in items if one.later or one.verified or one.after != stored_state(locked[one.example_id])]
    if changed:
        raise Refused(Reason.STATE, f"Something happened since to {_named(changed)}.", "Nothing was undone; review these items one by one.", "undo_id")
    held = queue.seats(connection, expert.organization_id, ids)
    for one in items:
        if one.before != one.after:
            others = any(seat.expert_id != expert.id and seat.round == one.before["review_round"] for seat in held[one.example_id])
            _restore(connection, expert, locked[one.example_id], one, others)
            seat = next((seat for seat in held[one.example_id] if seat.expert_id == expert.id), None)
            if seat is not None:
                queue.put_seat(connection, expert.organization_id, one.example_id, expert.id, seat.round, seat.seat, "released")
        audit.record(
            connection, expert.organization_id, actor=expert.actor, action="undone", kind="example", subject=one.example_id, before=one.after, after=one.before
        )
    review_actions.withdraw(connection, expert.organization_id, action_id, expert.id)
    return ids


def stored_state(item: Item) -> dict[str, Any]:
    """The review state of an item as JSON, without texts."""
    values = {name: getattr(item, "round" if name == "review_round" else name) for name in storage.STATE}
    return {name: _plain(value) for name, value in values.items()}


def _keep(connection: Connection, expert: Expert, action_id: UUID, kind: str, done: Sequence[Reviewed]) -> None:
    rows = [
        {
            "example_id": one.example_id, "annotation_id": one.annotation_id,
            "before": {name: _plain(value) for name, value in one.before.items()}, "after": {name: _plain(value) for name, value in one.after.items()},
        }
        for one in done
    ]  # fmt: skip
    review_actions.add(connection, expert.organization_id, action_id, expert.id, kind, rows)


def _restore(connection: Connection, expert: Expert, item: Item, one: review_actions.ActionItem, others: bool) -> None:
    """`others`: other experts have leased or skipped the item meanwhile; then it keeps the number of reviewers that began with this request."""
    before = dict(one.before)
    changes: dict[str, Any] = {
        **before, "reviewed_by": None if before["reviewed_by"] is None else UUID(before["reviewed_by"]), "content_hash": bytes.fromhex(before["content_hash"])
    }  # fmt: skip
    if others and before["reviews_needed"] is None:
        changes["reviews_needed"] = one.after["reviews_needed"]
    if before["content_hash"] != one.after["content_hash"]:
        changes["expected_output"] = review_actions.former_text(connection, expert.organization_id, one.example_id, before["review_round"])
    try:
        storage.set_state(connection, expert.organization_id, one.example_id, changes)
    except psycopg.errors.UniqueViolation:
        cause = f"With its former text {one.example_id} would say the same as another example."
        raise Refused(Reason.STATE, cause, "Nothing was undone; review these items one by one.", "undo_id") from None
    if before["adjudicating"] != one.after["adjudicating"]:
        reason = "a verdict was taken back" if before["adjudicating"] else None
        storage.set_adjudication(connection, expert.organization_id, item.agent_id, item.example_id, reason=reason, by=expert.id, again=True)
    storage.announce(connection, expert.organization_id, item.agent_id, item.example_id)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    return str(value) if isinstance(value, UUID) else value


def _named(ids: Sequence[str]) -> str:
    return ", ".join(ids[:NAMED]) + (f" and {len(ids) - NAMED} more" if len(ids) > NAMED else "")
