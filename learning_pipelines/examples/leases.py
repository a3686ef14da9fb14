"""Leases: an item is reserved for one expert for a while, so that no two work on the same verdict.

Belongs here: seats of an item, who may take one. Not here: verdicts (reviewing.py), SQL (storage/review_queue.py).
Every function is part of the caller's transaction, which a refusal ends unchanged.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from learning_pipelines.examples.experts import Expert, Reason, Refused, locked, own_example, record
from learning_pipelines.examples.review import DECIDED, State
from learning_pipelines.storage import review_queue as queue
from learning_pipelines.storage import reviews as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.review_queue import Seat, Wanted
from learning_pipelines.storage.reviews import Item

LOOKS, MARGIN = 3, 100
"""How often, and how much further than asked, whoever wants the next items looks: other experts lock the best ones at the same moment."""


def lease_best(connection: Connection, expert: Expert, wanted: Wanted, limit: int) -> list[str]:
    """Leases the most valuable items that no one else has, best first; fewer than `limit` if there are no more. Never waits for other experts."""
    storage.ensure_expert(connection, expert.organization_id, expert.id, expert.name)
    leased: list[str] = []
    for _ in range(LOOKS):  # what others took between the look and the lock is made up for
        best = [one for one in queue.best(connection, wanted, limit + MARGIN) if one not in leased]
        ids = queue.lock_free(connection, expert.organization_id, best, limit - len(leased))
        items, held = storage.lock(connection, expert.organization_id, expert.id, ids), queue.seats(connection, expert.organization_id, ids)
        for identity in ids:
            try:
                _lease(connection, expert, items[identity], held[identity])
            except Refused:
                continue
            leased.append(identity)
        if len(leased) == limit or not ids:
            break
    return leased


def lease(connection: Connection, expert: Expert, example_id: str) -> dt.datetime:
    """Reserves an item for the expert (again, if it ran out); returns until when. Raises Refused."""
    storage.ensure_expert(connection, expert.organization_id, expert.id, expert.name)
    item, held = locked(connection, expert, example_id)
    return _lease(connection, expert, item, held)


def release(connection: Connection, expert: Expert, example_id: str) -> None:
    """Gives a lease back. Releasing what is not leased changes nothing."""
    item, held = locked(connection, expert, example_id)
    mine = _mine(expert, held)
    if mine is not None and mine.state == "leased":
        queue.put_seat(connection, expert.organization_id, example_id, expert.id, mine.round, mine.seat, "released")
        record(connection, expert, "released", item.example_id)


def skip(connection: Connection, expert: Expert, example_id: str) -> None:
    """Takes an item out of this expert's queue and gives a lease back; leasing it by name brings it back. Raises Refused."""
    storage.ensure_expert(connection, expert.organization_id, expert.id, expert.name)
    item, held = locked(connection, expert, example_id)
    mine = _mine(expert, held)
    if mine is not None and mine.state == "reviewed" and mine.round == item.round:
        raise Refused(Reason.STATE, f"You have judged {example_id} already.", "There is nothing to skip.")
    if item.reviews_needed is None:
        needed = queue.review_settings(connection, expert.organization_id, item.agent_id).reviewers
        storage.set_state(connection, expert.organization_id, example_id, {"reviews_needed": needed})
    queue.put_seat(connection, expert.organization_id, example_id, expert.id, item.round, 0, "skipped")
    record(connection, expert, "skipped", item.example_id)


def _lease(connection: Connection, expert: Expert, item: Item, held: Sequence[Seat]) -> dt.datetime:
    if item.own:
        raise own_example(item)
    settings = queue.review_settings(connection, expert.organization_id, item.agent_id)
    needed = item.reviews_needed or settings.reviewers
    mine = _mine(expert, held)
    _check_open(item, mine)
    live = mine is not None and mine.state == "leased" and mine.round == item.round and mine.live
    seat = mine.seat if live and mine is not None else _free_seat(expert, item, held, needed)
    if item.reviews_needed is None:
        storage.set_state(connection, expert.organization_id, item.example_id, {"reviews_needed": needed})
    until = queue.put_seat(connection, expert.organization_id, item.example_id, expert.id, item.round, seat, "leased", settings.lease_seconds)
    assert until is not None
    record(connection, expert, "leased", item.example_id)
    return until


def seat_for_verdict(expert: Expert, item: Item, held: Sequence[Seat], state: State) -> int:
    """The seat a verdict of this expert takes: the leased one, else a free one. Raises Refused."""
    mine = _mine(expert, held)
    _check_open(item, mine)
    if mine is not None and mine.round == item.round:
        if mine.state == "leased" and mine.live:
            return mine.seat
        if mine.state in ("leased", "expired"):
            raise Refused(
                Reason.STATE, f"Your lease of {item.example_id} ran out.",
                "Lease it again (POST /annotations/queue/{id}/lease) and send the review once more; if another expert has it now, take the next one.",
            )  # fmt: skip
    return _free_seat(expert, item, held, state.needed)


def _check_open(item: Item, mine: Seat | None) -> None:
    if not item.is_active:
        raise Refused(Reason.STATE, f"{item.example_id} was withdrawn: no feedback supports it any more.", "Take the next item of the queue.")
    if item.review_status in DECIDED:
        advice = "Undo that decision first if it was wrong; a further opinion can be given as a comment (annotation_type explanation)."
        raise Refused(Reason.STATE, f"{item.example_id} is {item.review_status} already.", advice)
    if mine is not None and mine.state == "reviewed" and mine.round == item.round:
        raise Refused(Reason.STATE, f"You have judged {item.example_id} already.", "Undo that review if you want to change it.")


def _free_seat(expert: Expert, item: Item, held: Sequence[Seat], needed: int) -> int:
    others = [one for one in held if one.round == item.round and one.expert_id != expert.id]
    taken = {one.seat for one in others if one.state == "reviewed" or (one.state == "leased" and one.live)}
    free = [seat for seat in range(1, needed + 1) if seat not in taken]
    if not free:
        raise Refused(Reason.STATE, f"{item.example_id} is with another expert.", "Take the next item of the queue, or come back when their lease has run out.")
    return free[0]


def _mine(expert: Expert, held: Sequence[Seat]) -> Seat | None:
    return next((one for one in held if one.expert_id == expert.id), None)
