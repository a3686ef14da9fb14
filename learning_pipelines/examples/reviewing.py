"""Experts at work on examples: judge, comment, verify. Every function is part of the caller's transaction, which a refusal ends unchanged.

Belongs here: who may do what and when. Not here: what verdicts lead to (review.py), leases (leases.py), undoing (review_undo.py), SQL, HTTP.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import psycopg

from learning_pipelines.examples.candidates import Example
from learning_pipelines.examples.experts import Expert, Reason, Refused, locked, own_example, record
from learning_pipelines.examples.leases import seat_for_verdict
from learning_pipelines.examples.review import Outcome, State, Status, Verdict, Vote, outcome, type_after_edit, vote_of
from learning_pipelines.feedback.privacy import JSON, Scrubber, scrub_json
from learning_pipelines.storage import review_queue as queue
from learning_pipelines.storage import reviews as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.review_queue import Seat
from learning_pipelines.storage.reviews import Item

VERDICT_TYPES = frozenset({"quality_assessment", "correction"})
DIMENSIONS = ("technical_accuracy", "professional_quality", "completeness", "clarity")


@dataclass(frozen=True, slots=True)
class Review:
    """What an expert says about an example. Scores 0–1. Without a verdict it is a comment of its annotation type."""

    example_id: str
    verdict: Verdict | None
    annotation_type: str = "quality_assessment"
    scores: dict[str, float | None] = field(default_factory=dict)
    corrected_output: str | None = None
    notes: str | None = None
    improvement_suggestions: str | None = None


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a review did. `before`, `after`: the stored state around it, without texts."""

    annotation_id: UUID
    example_id: str
    status: Status
    before: dict[str, Any]
    after: dict[str, Any]


def review_of(body: dict[str, Any]) -> Review:
    """A review from the keys of POST /annotations. Raises Refused naming the key at fault."""
    corrected = body.get("corrected_output")
    if corrected is not None and not corrected.strip():
        raise Refused(Reason.VALUE, "The expected output would be empty.", "Give the whole text it should have, or leave the key out.", "corrected_output")
    kind = body.get("annotation_type") or ("correction" if corrected is not None else "quality_assessment")
    try:
        verdict = vote_of(body.get("approved"), bool(body.get("needs_revision")))
    except ValueError as error:
        raise Refused(Reason.VALUE, f"{error}.".capitalize(), "Give one of the two.", "needs_revision") from None
    if verdict is None and kind in VERDICT_TYPES:
        raise Refused(Reason.VALUE, f"A {kind} needs a verdict.", "Set approved to true or false, or needs_revision to true.", "approved")
    if verdict is Verdict.REVISE and kind not in VERDICT_TYPES:
        advice = "Use annotation_type quality_assessment or correction with needs_revision."
        raise Refused(Reason.VALUE, f"An annotation of type {kind} cannot ask for a revision.", advice, "annotation_type")
    if corrected is not None and verdict is not Verdict.APPROVE:
        raise Refused(
            Reason.VALUE, "A corrected output goes with an approval: the expert approves the example with this text.",
            "Set approved to true, or say in improvement_suggestions what should change.", "corrected_output",
        )  # fmt: skip
    scores = {name: body.get(name) for name in DIMENSIONS}
    return Review(body["example_id"], verdict, kind, scores, corrected, body.get("notes"), body.get("improvement_suggestions"))


def review(connection: Connection, expert: Expert, said: Review, action_id: UUID) -> Reviewed:
    """Stores a review and what it leads to. Raises Refused; then the caller's transaction must end without a commit."""
    storage.ensure_expert(connection, expert.organization_id, expert.id, expert.name)
    item, held = locked(connection, expert, said.example_id)
    return judge(connection, expert, item, held, said, action_id)


def judge(connection: Connection, expert: Expert, item: Item, held: Sequence[Seat], said: Review, action_id: UUID) -> Reviewed:
    """The same for an item that is locked already."""
    if item.own:
        raise own_example(item)
    settings = queue.review_settings(connection, expert.organization_id, item.agent_id)
    state = State(Status(item.review_status), item.round, item.reviews_needed or settings.reviewers, item.adjudicating)
    seat = 0 if said.verdict is None else seat_for_verdict(expert, item, held, state)
    said = _clean(item, said)
    corrected = said.corrected_output if said.corrected_output != item.expected_output else None
    annotation = storage.add_annotation(connection, expert.organization_id, {
        "example_id": item.example_id, "expert_id": expert.id, "annotation_type": said.annotation_type,
        "approved": {Verdict.APPROVE: True, Verdict.REJECT: False}.get(said.verdict) if said.verdict is not None else None,
        **{name: said.scores.get(name) for name in DIMENSIONS}, "corrected_output": corrected,
        "base_output": item.expected_output if corrected is not None else None, "notes": said.notes,
        "improvement_suggestions": said.improvement_suggestions, "round": item.round, "is_verdict": said.verdict is not None, "action_id": action_id,
    })  # fmt: skip
    before = _state_of(item)
    if said.verdict is None:
        record(connection, expert, "commented", item.example_id, ["notes"], after=str(annotation))
        return Reviewed(annotation, item.example_id, state.status, before, before)
    queue.put_seat(connection, expert.organization_id, item.example_id, expert.id, item.round, seat, "reviewed")
    stored = storage.verdicts(connection, expert.organization_id, item.example_id, item.round)
    reached = outcome(state, [_vote(one) for one in stored])
    changes = _changes(expert, item, said, state, reached)
    _check_content(connection, expert, item, changes)
    try:
        with connection.transaction():  # a savepoint: of many verdicts in one transaction the next one goes on after a refusal
            storage.set_state(connection, expert.organization_id, item.example_id, changes)
    except psycopg.errors.UniqueViolation:
        raise _same_content(item, "another example") from None
    _adjudicate(connection, expert, item, reached)
    storage.announce(connection, expert.organization_id, item.agent_id, item.example_id)
    after = {**before, **{name: value for name, value in changes.items() if name in storage.STATE}}
    record(connection, expert, "reviewed", item.example_id, sorted(changes), before=before, after=after)
    return Reviewed(annotation, item.example_id, reached.state.status, before, after)


def verify(connection: Connection, expert: Expert, annotation_id: UUID) -> dict[str, Any]:
    """Confirms another expert's annotation. Raises Refused; verifying again what one verified changes nothing."""
    storage.ensure_expert(connection, expert.organization_id, expert.id, expert.name)
    found = storage.annotation(connection, expert.organization_id, annotation_id)
    if found is None:
        raise Refused(Reason.UNKNOWN, "There is no such annotation for you.", "It may be about an item that you have to judge first.", "annotation_id")
    if found["expert"] == expert.name:
        raise Refused(Reason.OWN, "This annotation is your own.", "Another expert has to verify it.", "annotation_id")
    if found["withdrawn_at"] is not None:
        raise Refused(Reason.STATE, "This annotation was taken back.", "Verify the one that took its place, if there is one.", "annotation_id")
    if storage.verify(connection, expert.organization_id, annotation_id, expert.id):
        record(connection, expert, "verified", str(annotation_id), ["is_verified", "verified_by"], kind="annotation")
    elif found["verified_by"] != expert.name:
        raise Refused(Reason.STATE, "Another expert has verified this annotation already.", "There is nothing left to do.", "annotation_id")
    again = storage.annotation(connection, expert.organization_id, annotation_id)
    assert again is not None
    return again


def _vote(stored: storage.StoredVerdict) -> Vote:
    verdict = Verdict.REVISE if stored.approved is None else Verdict.APPROVE if stored.approved else Verdict.REJECT
    return Vote(verdict, stored.corrected_output)


def _clean(item: Item, said: Review) -> Review:
    """The review without personal data: an example never holds any, and placeholders of the example keep their meaning."""
    scrubber = Scrubber(item.input_text, item.original_output, item.expected_output, item.output_a, item.output_b, item.input_context, list(item.tags))
    texts: list[JSON] = [said.corrected_output, said.notes, said.improvement_suggestions]
    cleaned = scrub_json(texts, scrubber)
    assert isinstance(cleaned, list)
    corrected, notes, suggestions = (None if text is None else str(text) for text in cleaned)
    return replace(said, corrected_output=corrected, notes=notes, improvement_suggestions=suggestions)


def _changes(expert: Expert, item: Item, said: Review, state: State, reached: Outcome) -> dict[str, Any]:
    new = reached.state
    changes: dict[str, Any] = {
        "review_status": str(new.status), "review_round": new.round, "adjudicating": new.adjudicating,
        "reviews_needed": new.needed if new.round == state.round else None,
    }  # fmt: skip
    if new.status is Status.IN_REVIEW:
        return changes
    changes |= {"reviewed_by": expert.id, "reviewed_at": dt.datetime.now(dt.UTC), "review_notes": said.notes}
    if reached.text is not None:
        changes |= edited(item, reached.text)
    return changes


def edited(item: Item, text: str) -> dict[str, Any]:
    """The columns that change when the expected output becomes `text`: the example's type and identity follow its content."""
    kind = type_after_edit(item.example_type, item.original_output, text)
    example = Example(kind, item.input_text, original_output=item.original_output, expected_output=text, output_a=item.output_a, output_b=item.output_b)
    return {"expected_output": text, "example_type": kind, "content_hash": example.content_hash}


def _check_content(connection: Connection, expert: Expert, item: Item, changes: dict[str, Any]) -> None:
    if "content_hash" not in changes:
        return
    other = storage.with_content(connection, expert.organization_id, item.agent_id, changes["content_hash"], item.example_id)
    if other is not None:
        raise _same_content(item, other)


def _same_content(item: Item, other: str) -> Refused:
    cause = f"With this text {item.example_id} would say the same as {other}."
    return Refused(Reason.STATE, cause, f"Review {other}, and reject this one.", "corrected_output")


def _adjudicate(connection: Connection, expert: Expert, item: Item, reached: Outcome) -> None:
    if reached.disagreed:
        reason = "experts disagree"
        storage.set_adjudication(connection, expert.organization_id, item.agent_id, item.example_id, reason=reason, by=expert.id)
    elif item.adjudicating:
        storage.set_adjudication(connection, expert.organization_id, item.agent_id, item.example_id, reason=None, by=expert.id)


def _state_of(item: Item) -> dict[str, Any]:
    return {
        "review_status": item.review_status, "reviewed_by": item.reviewed_by, "reviewed_at": item.reviewed_at, "review_notes": item.review_notes,
        "review_round": item.round, "reviews_needed": item.reviews_needed, "adjudicating": item.adjudicating, "example_type": item.example_type,
        "content_hash": item.content_hash,
    }  # fmt: skip
