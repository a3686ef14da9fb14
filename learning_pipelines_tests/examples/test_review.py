"""From verdicts to the state of an example: majority, disagreement, adjudication, revision; and the value and diff shown beside it.

Belongs here: pure rules. Not here: experts, leases and the database (api/test_review*.py).
"""

from __future__ import annotations

import datetime as dt
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from learning_pipelines.examples.review import DECIDED, State, Status, Verdict, Vote, outcome, type_after_edit, vote_of
from learning_pipelines.examples.review_value import IMPACT, priority, value
from learning_pipelines.examples.word_diff import word_diff
from learning_pipelines.storage.database import Connection

YES, NO, AGAIN, EDIT, OTHER = (
    Vote(Verdict.APPROVE), Vote(Verdict.REJECT), Vote(Verdict.REVISE), Vote(Verdict.APPROVE, "better"), Vote(Verdict.APPROVE, "other")
)  # fmt: skip
VOTES = st.sampled_from([YES, NO, AGAIN, EDIT, OTHER])
MOST_REVIEWERS = 9  # as the database holds it


def fresh(needed: int = 1) -> State:
    return State(Status.PENDING, 1, needed)


@pytest.mark.parametrize(
    ("vote", "status", "text"), [(YES, "approved", None), (NO, "rejected", None), (AGAIN, "needs_revision", None), (EDIT, "approved", "better")]
)
def test_one_reviewer_decides_alone(vote: Vote, status: str, text: str | None) -> None:
    reached = outcome(fresh(), [vote])
    assert (reached.state.status, reached.text, reached.disagreed) == (status, text, False)


def test_no_item_is_decided_before_all_wanted_verdicts_are_there() -> None:
    assert outcome(fresh(3), [NO, NO]).state == State(Status.IN_REVIEW, 1, 3)
    assert outcome(fresh(3), [NO, NO, YES]).state.status is Status.REJECTED


def test_approvals_of_different_texts_are_a_disagreement() -> None:
    reached = outcome(fresh(2), [YES, EDIT])
    assert (reached.state, reached.disagreed) == (State(Status.IN_REVIEW, 1, 3, adjudicating=True), True)
    assert outcome(fresh(2), [EDIT, EDIT]).text == "better"


@pytest.mark.parametrize("last", [YES, NO, AGAIN, EDIT])
def test_whoever_adjudicates_decides_alone(last: Vote) -> None:
    reached = outcome(State(Status.IN_REVIEW, 1, 3, adjudicating=True), [YES, NO, last])
    assert (reached.state.status, reached.state.adjudicating) == (last.verdict, False)


def test_a_revision_opens_a_new_round() -> None:
    assert outcome(fresh(), [AGAIN]).state.round == 2
    assert outcome(fresh(), [NO]).state.round == 1


@pytest.mark.parametrize("status", sorted(DECIDED))
def test_a_decided_item_takes_no_vote(status: Status) -> None:
    with pytest.raises(ValueError, match=status):
        outcome(State(status, 1, 1), [YES])


class Reviewing(RuleBasedStateMachine):
    """Experts vote in any order on one item until it is decided; revisions start over."""

    @initialize(needed=st.integers(1, MOST_REVIEWERS))
    def start(self, needed: int) -> None:
        self.wanted, self.state, self.votes, self.adjudications = needed, fresh(needed), list[Vote](), 0

    @precondition(lambda self: self.state.status not in DECIDED)
    @rule(vote=VOTES)
    def judge(self, vote: Vote) -> None:
        before = self.state
        self.votes.append(vote)
        reached = outcome(before, self.votes)
        self.state = reached.state
        if self.state.round > before.round:
            assert self.state.status is Status.NEEDS_REVISION
            self.state, self.votes, self.adjudications = State(self.state.status, self.state.round, self.wanted), [], 0
        elif self.state.status in DECIDED:
            assert before.adjudicating or any(2 * self.votes.count(one) > len(self.votes) for one in self.votes)
            assert reached.text is None or any(one.text == reached.text for one in self.votes)
        self.adjudications += reached.disagreed

    @precondition(lambda self: self.state.status in DECIDED)
    @rule(vote=VOTES)
    def judge_what_is_decided(self, vote: Vote) -> None:
        with pytest.raises(ValueError, match="takes"):
            outcome(self.state, [*self.votes, vote])

    @invariant()
    def every_round_takes_exactly_the_wanted_verdicts_and_at_most_one_more(self) -> None:
        if not hasattr(self, "state"):
            return
        assert self.adjudications <= 1
        assert self.state.needed == self.wanted + self.adjudications
        assert (len(self.votes) == self.state.needed) == (self.state.status in DECIDED)
        assert self.state.adjudicating == (self.adjudications == 1 and self.state.status not in DECIDED)


TestReviewing = Reviewing.TestCase
TestReviewing.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@given(st.lists(VOTES, min_size=1, max_size=MOST_REVIEWERS), st.randoms(use_true_random=False))
def test_the_order_of_verdicts_does_not_matter(votes: list[Vote], random: object) -> None:
    shuffled = list(votes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert outcome(fresh(len(votes)), votes) == outcome(fresh(len(votes)), shuffled)


def test_a_verdict_comes_from_two_keys_that_must_not_contradict_each_other() -> None:
    assert [vote_of(True, False), vote_of(False, False), vote_of(None, True), vote_of(None, False)] == [Verdict.APPROVE, Verdict.REJECT, Verdict.REVISE, None]
    with pytest.raises(ValueError, match="needs_revision"):
        vote_of(True, True)


@pytest.mark.parametrize(
    ("before", "original", "text", "after"),
    [("positive", "a", "b", "correction"), ("failure", "a", "b", "correction"), ("correction", "a", "a", "positive"), ("negative", None, "b", "negative"),
     ("demonstration", "a", "b", "demonstration")],
)  # fmt: skip
def test_the_type_follows_an_edit(before: str, original: str | None, text: str, after: str) -> None:
    assert type_after_edit(before, original, text) == after


NOW = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)


def worth(kind: str = "correction", confidence: float | None = 0.5, support: int = 1, age: int = 0, executions: int = 0, **more: bool) -> float:
    flags = {"adjudicating": False, "conflicting": False, **more}
    distrusted = flags.pop("distrusted", False)
    return value(priority(kind, confidence, support, distrusted, NOW - dt.timedelta(days=age)), executions, now=NOW, **flags)


def test_a_new_correction_of_unknown_truth_is_worth_one() -> None:
    assert worth(confidence=None) == pytest.approx(1.0)


def test_uncertain_frequent_recent_and_high_impact_come_first() -> None:
    assert worth(confidence=0.5) > worth(confidence=0.8) > worth(confidence=0.99) == worth(confidence=1.0)
    assert worth(support=9) > worth(support=2) > worth(support=1)
    assert worth(age=0) == pytest.approx(2 * worth(age=30))
    assert worth("failure") > worth("negative") > worth("positive")
    assert worth(executions=1_000_000) > worth(executions=10) > worth()
    assert worth(adjudicating=True) > worth(conflicting=True) > worth() > worth(distrusted=True)


@given(
    st.sampled_from(sorted(IMPACT)), st.none() | st.floats(0, 1), st.integers(0, 10_000), st.booleans(),
    st.datetimes(dt.datetime(2015, 1, 5), dt.datetime(2035, 1, 1)),
)  # fmt: skip
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # the statement reads no table
def test_the_database_orders_by_the_same_numbers(
    pipeline: Connection, kind: str, confidence: float | None, support: int, distrusted: bool, at: dt.datetime
) -> None:
    moment = at.replace(tzinfo=dt.UTC)
    row = pipeline.execute("SELECT learning.review_priority(%s, %s, %s, %s, %s)", [kind, confidence, support, distrusted, moment]).fetchone()
    assert row is not None
    assert math.isclose(row[0], priority(kind, confidence, support, distrusted, moment), rel_tol=1e-12, abs_tol=1e-9)


@given(st.text(alphabet="ab ,.\n"), st.text(alphabet="ab ,.\n"))
def test_a_diff_holds_both_texts(former: str, latter: str) -> None:
    pieces = word_diff(former, latter)
    assert "".join(piece.text for piece in pieces if piece.op != "insert") == former
    assert "".join(piece.text for piece in pieces if piece.op != "delete") == latter


def test_a_diff_is_by_words() -> None:
    assert [(piece.op, piece.text) for piece in word_diff("Due on the 10th.", "Due on the 12th.")] == [
        ("equal", "Due on the "), ("delete", "10th"), ("insert", "12th"), ("equal", ".")
    ]  # fmt: skip
