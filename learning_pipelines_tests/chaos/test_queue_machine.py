"""The annotation queue against a model of it: leases, skips, verdicts, whole pages, undoing, adjudication, by three experts in any order.

Belongs here: rules and the model. Not here: single refusals (api/test_review.py, api/test_review_undo.py).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from learning_pipelines.examples import leases
from learning_pipelines.examples.experts import Expert, Refused
from learning_pipelines.examples.review import DECIDED, State, Status, Verdict, Vote, outcome
from learning_pipelines.examples.review_undo import review_many, review_one, undo
from learning_pipelines.examples.reviewing import Review
from learning_pipelines.feedback.identity import user_id
from learning_pipelines.storage import review_queue
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.review_queue import ReviewSettings, Wanted
from learning_pipelines_tests.chaos.machines import Machine, refusing, tell

EXPERTS = st.sampled_from(["eve", "max", "zoe"])
VERDICTS = st.sampled_from([Verdict.APPROVE, Verdict.APPROVE, Verdict.REJECT, Verdict.REVISE])
_numbers = itertools.count(1)


@dataclass
class Known:
    """An item: its state, the verdicts of its round in order, and who did what with it last (`leased`, `skipped`, `reviewed`, `released`; with the round)."""

    state: State
    votes: list[tuple[str, Verdict]] = field(default_factory=list)
    seats: dict[str, tuple[str, int]] = field(default_factory=dict)

    def taken_by_others(self, expert: str) -> int:
        return sum(did in ("leased", "reviewed") and number == self.state.round for name, (did, number) in self.seats.items() if name != expert)

    def mine(self, expert: str, did: str) -> bool:
        return self.seats.get(expert) == (did, self.state.round)

    def open_to(self, expert: str) -> bool:
        """Whether they may lease or judge it."""
        decided = self.state.status in DECIDED or self.mine(expert, "reviewed")
        return not decided and (self.mine(expert, "leased") or self.taken_by_others(expert) < self.state.needed)


@dataclass
class Done:
    """A request that can be undone: each item as it was before, and after."""

    expert: str
    before: dict[str, tuple[State, list[tuple[str, Verdict]]]]
    after: dict[str, tuple[State, list[tuple[str, Verdict]]]]
    undone: bool = False


class Queue(Machine):
    """Four items, two verdicts each; a tie is adjudicated by the third expert."""

    @initialize(reviewers=st.integers(1, 2))
    def begin(self, reviewers: int) -> None:
        self.agent = self.new_agent("queue")
        review_queue.keep_review_settings(self.connection, self.agent.organization_id, self.agent.agent_id, ReviewSettings(reviewers, 900))
        self.items: dict[str, Known] = {}
        for _ in range(3):
            name = f"item-{next(_numbers)}"
            self.connection.execute(
                """INSERT INTO learning_examples (organization_id, id, agent_id, example_type, source_type, source_id, input_text, original_output,
                expected_output, content_hash, scrub_rules) VALUES (%s, %s, %s, 'correction', 'imported', %s, %s, 'wrong', 'right', sha256(%s::bytea), '1')""",
                [self.agent.organization_id, name, self.agent.agent_id, name, f"question {name}", name.encode()],
            )
            self.items[name] = Known(State(Status.PENDING, 1, reviewers))
        self.done: dict[UUID, Done] = {}

    def _expert(self, name: str) -> Expert:
        return Expert(self.agent.organization_id, user_id(self.agent.organization_id, name), name, f"user:{name}")

    def _any(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.items)))

    @rule(expert=EXPERTS, data=st.data())
    def lease(self, expert: str, data: st.DataObject) -> None:
        name = self._any(data)
        item = self.items[name]
        free = item.open_to(expert)
        with refusing(Refused, not free), self.connection.transaction():
            leases.lease(self.connection, self._expert(expert), name)
        if free:
            item.seats[expert] = ("leased", item.state.round)

    @rule(expert=EXPERTS, data=st.data())
    def release(self, expert: str, data: st.DataObject) -> None:
        name = self._any(data)
        with self.connection.transaction():
            leases.release(self.connection, self._expert(expert), name)
        if self.items[name].seats.get(expert, ("", 0))[0] == "leased":
            self.items[name].seats[expert] = ("released", self.items[name].seats[expert][1])

    @rule(expert=EXPERTS, data=st.data())
    def skip(self, expert: str, data: st.DataObject) -> None:
        name = self._any(data)
        item = self.items[name]
        judged = item.mine(expert, "reviewed")
        with refusing(Refused, judged), self.connection.transaction():
            leases.skip(self.connection, self._expert(expert), name)
        if not judged:
            item.seats[expert] = ("skipped", item.state.round)

    @rule(expert=EXPERTS, verdict=VERDICTS, data=st.data())
    def judge(self, expert: str, verdict: Verdict, data: st.DataObject) -> None:
        name = self._any(data)
        fits = self.items[name].open_to(expert)
        with refusing(Refused, not fits), self.connection.transaction():
            identity, reviewed = review_one(self.connection, self._expert(expert), Review(name, verdict))
        if fits:
            self._take(identity, expert, {name}, verdict)
            assert reviewed.status == self.items[name].state.status

    @rule(expert=EXPERTS, verdict=VERDICTS, data=st.data())
    def judge_many(self, expert: str, verdict: Verdict, data: st.DataObject) -> None:
        names = data.draw(st.sets(st.sampled_from(sorted(self.items)), min_size=2))
        fits = all(self.items[name].open_to(expert) for name in names)
        with refusing(Refused, not fits), self.connection.transaction():
            identity, _ = review_many(self.connection, self._expert(expert), sorted(names), verdict, None)
        if fits:
            self._take(identity, expert, names, verdict)

    def _take(self, identity: UUID, expert: str, names: set[str], verdict: Verdict) -> None:
        before = {name: (self.items[name].state, list(self.items[name].votes)) for name in names}
        for name in names:
            item = self.items[name]
            item.seats[expert] = ("reviewed", item.state.round)
            item.votes.append((expert, verdict))
            reached = outcome(item.state, [Vote(one) for _, one in item.votes]).state
            item.votes = item.votes if reached.round == item.state.round else []
            if reached.round != item.state.round:
                reached = State(reached.status, reached.round, self._reviewers(), reached.adjudicating)
            item.state = reached
        self.done[identity] = Done(expert, before, {name: (self.items[name].state, list(self.items[name].votes)) for name in names})

    def _reviewers(self) -> int:
        return review_queue.review_settings(self.connection, self.agent.organization_id, self.agent.agent_id).reviewers

    @precondition(lambda self: self.done)
    @rule(expert=EXPERTS, data=st.data())
    def take_back(self, expert: str, data: st.DataObject) -> None:
        identity = data.draw(st.sampled_from(list(self.done)))
        one = self.done[identity]
        same = all((self.items[name].state, self.items[name].votes) == after for name, after in one.after.items())
        fits = one.expert == expert and not one.undone and same and not self._touched(identity)
        try:
            with self.connection.transaction():
                undo(self.connection, self._expert(expert), identity)
        except Refused as refused:
            assert not fits, f"refused: {refused}"
            return
        assert one.expert == expert and not one.undone and same, "it was to be refused"
        one.undone = True
        for name, (state, votes) in one.before.items():
            item = self.items[name]
            item.state, item.votes = state, list(votes)
            if item.seats.get(expert, ("", 0))[0] in ("reviewed", "leased"):
                item.seats[expert] = ("released", item.seats[expert][1])

    def _touched(self, identity: UUID) -> bool:
        """Whether somebody leased or skipped one of its items in a round that its verdict opened: that fixes how many verdicts the round takes."""
        one = self.done[identity]
        return any(
            after[0].round != one.before[name][0].round and any(number == after[0].round for _, number in self.items[name].seats.values())
            for name, after in one.after.items()
        )

    @invariant()
    def items_are_what_their_verdicts_make_of_them(self) -> None:
        rows = self.connection.execute(
            """SELECT e.id, e.review_status, e.review_round, e.adjudicating, (SELECT count(*) FROM expert_annotations a
                WHERE a.organization_id = e.organization_id AND a.example_id = e.id AND a.round = e.review_round AND a.is_verdict AND a.withdrawn_at IS NULL)
            FROM learning_examples e WHERE e.organization_id = %s AND e.agent_id = %s""",
            [self.agent.organization_id, self.agent.agent_id],
        ).fetchall()
        assert {name: tuple(state) for name, *state in rows} == {
            name: (str(item.state.status), item.state.round, item.state.adjudicating, len(item.votes)) for name, item in self.items.items()
        }

    @invariant()
    def no_seat_is_held_twice_and_none_beyond_the_last(self) -> None:
        held = review_queue.seats(self.connection, self.agent.organization_id, list(self.items))
        for name, item in self.items.items():
            numbers = [one.seat for one in held[name] if one.round == item.state.round and (one.state == "reviewed" or (one.state == "leased" and one.live))]
            assert len(numbers) == len(set(numbers)) and all(1 <= number <= item.state.needed for number in numbers)

    @invariant()
    def everybodys_queue_is_what_they_may_judge(self) -> None:
        for expert in ("eve", "max", "zoe"):
            me = self._expert(expert)
            free = {name: item for name, item in self.items.items() if item.open_to(expert)}
            seats = {name: item.seats.get(expert, ("", 0)) for name, item in free.items()}
            wanted = {name for name, (did, _) in seats.items() if did not in ("skipped", "reviewed")}  # judged in an earlier round: only if asked for
            assert self._shown(me, None) == wanted, expert
            revised = {name for name, item in free.items() if item.state.status is Status.NEEDS_REVISION}
            again = {name for name in revised if seats[name] != ("skipped", free[name].state.round)}
            assert self._shown(me, "needs_revision") == again, f"{expert}, what needs revision"

    def _shown(self, me: Expert, status: str | None) -> set[str]:
        wanted = Wanted(me.organization_id, me.id, self.agent.agent_id, status=status)
        return {str(row["example_id"]) for row in review_queue.page(self.connection, wanted, 50)}


def test_the_queue_does_what_the_model_does(pipeline: Connection) -> None:
    tell(Queue, pipeline, stories=6, steps=20)
