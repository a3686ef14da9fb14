"""What the verdicts on an example make of it: the states of review and the rule that leads from one to the next.

Belongs here: pure decisions. Not here: who may review what and when (reviewing.py), what is stored (storage/reviews.py).

pending → in_review (some of the wanted verdicts are there) → approved, rejected or needs_revision. Every item gets exactly as many verdicts
as reviewers are wanted, never fewer. More than half of them decide; two approvals of different texts are different verdicts. Where no
verdict has a majority the item is adjudicated: one further expert, who decides alone. needs_revision opens a new round, in which
everyone may judge again: earlier verdicts were about a text that is to change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Column learning_examples.review_status."""

    PENDING = "pending"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    REJECTED = "rejected"
    NEEDS_REVISION = "needs_revision"


DECIDED = frozenset({Status.APPROVED, Status.REJECTED})


class Verdict(StrEnum):
    """What one expert says about an item as a whole; the values are those of the status it leads to."""

    APPROVE = "approved"
    REJECT = "rejected"
    REVISE = "needs_revision"


@dataclass(frozen=True, slots=True)
class Vote:
    """A verdict, and for an approval the text it approves (None: the expected output as it stands)."""

    verdict: Verdict
    text: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """Where an item stands. `needed`: verdicts that this round takes. `votes` of the round are kept elsewhere."""

    status: Status
    round: int
    needed: int
    adjudicating: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The state after the votes, and the text that becomes the expected output (None: it stays). `disagreed`: this opened an adjudication."""

    state: State
    text: str | None = None
    disagreed: bool = False


def vote_of(approved: bool | None, needs_revision: bool) -> Verdict | None:
    """The verdict that a review's two keys mean; None where they mean none. Raises ValueError where they contradict each other."""
    if needs_revision:
        if approved is not None:
            raise ValueError("needs_revision goes with approved: null")
        return Verdict.REVISE
    return None if approved is None else Verdict.APPROVE if approved else Verdict.REJECT


def outcome(state: State, votes: Sequence[Vote]) -> Outcome:
    """What the votes of the current round, in the order they came, make of an open item.

    Raises ValueError for a decided item, no vote, or more votes than are needed.
    """
    if state.status in DECIDED or not 1 <= len(votes) <= state.needed:
        raise ValueError(f"{len(votes)} votes on an item that is {state.status} and takes {state.needed}")
    if len(votes) < state.needed:
        return Outcome(State(Status.IN_REVIEW, state.round, state.needed, state.adjudicating))
    winner = votes[-1] if state.adjudicating else _majority(votes)
    if winner is None:
        return Outcome(State(Status.IN_REVIEW, state.round, state.needed + 1, adjudicating=True), disagreed=True)
    further = 1 if winner.verdict is Verdict.REVISE else 0
    decided = State(Status(winner.verdict), state.round + further, state.needed, adjudicating=False)
    return Outcome(decided, winner.text if winner.verdict is Verdict.APPROVE else None)


def _majority(votes: Sequence[Vote]) -> Vote | None:
    kinds = Counter(vote if vote.verdict is Verdict.APPROVE else Vote(vote.verdict) for vote in votes)
    (winner, count), *_ = kinds.most_common(1)
    return winner if 2 * count > len(votes) else None


EDIT_TEACHES = frozenset({"positive", "negative", "failure", "correction"})


def type_after_edit(example_type: str, original_output: str | None, expected_output: str) -> str:
    """An answer that an expert replaces is a correction, one they put back to what the agent said is a good answer; other types stay."""
    if example_type not in EDIT_TEACHES or original_output is None:
        return example_type
    return "positive" if expected_output.strip() == original_output.strip() else "correction"
