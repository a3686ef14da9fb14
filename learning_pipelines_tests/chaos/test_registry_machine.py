"""The prompt registry against a model of it: versions, labels, proposals, approval, rollback, the switch, in any order.

Belongs here: rules and the model. Not here: single refusals (acceptance/test_approval.py, prompts/test_registry.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from learning_pipelines.acceptance import approval
from learning_pipelines.acceptance.approval import OPERATOR, Refused
from learning_pipelines.prompts.prompt import content_hash
from learning_pipelines.storage import prompts, proposals
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.acceptance.proposing import labels, learnt
from learning_pipelines_tests.chaos.machines import Machine, refusing, tell

TEXTS = st.sampled_from([f"text {letter}" for letter in "abcd"])


@dataclass
class Proposed:
    version: int
    incumbent: int
    verdict: str
    state: str = "open"


class Registry(Machine):
    """`texts[n - 1]` is version n; `approved` have ever been let serve by somebody."""

    @initialize()
    def begin(self) -> None:
        self.agent = self.new_agent("registry")
        self.texts = ["version 1"]
        self.production, self.previous, self.candidate = 1, None, None
        self.enabled = True
        self.proposals: dict[UUID, Proposed] = {}
        self.approved = {1}

    @rule(text=TEXTS)
    def write(self, text: str) -> None:
        messages = [{"role": "system", "content": text}]
        number, new = prompts.add_written(self.connection, self.agent, messages, None, content_hash(messages, {}), None)
        assert new == (self.texts[-1] != text)
        self._added(number, text, new)

    @rule(text=TEXTS)
    def learn(self, text: str) -> None:
        number = learnt(self.connection, self.agent, text)
        known = [place for place, one in enumerate(self.texts, 1) if one == text]
        if known:
            assert number == known[-1]
        self._added(number, text, not known)

    def _added(self, number: int, text: str, new: bool) -> None:
        if new:
            self.texts.append(text)
            assert number == len(self.texts)
        assert self.texts[number - 1] == text

    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(1, len(self.texts) + 1))
        with refusing(LookupError, number > len(self.texts)), self.connection.transaction():
            assert prompts.move_label(self.connection, self.agent, prompts.PRODUCTION, number, None) == self.production
        if number <= len(self.texts):
            self._serves(number)

    def _serves(self, number: int) -> None:
        if number != self.production:
            self.previous = self.production
        self.production = number
        self.approved.add(number)

    @rule(data=st.data(), verdict=st.sampled_from(["better", "better", "no evidence", "worse"]))
    def propose(self, data: st.DataObject, verdict: str) -> None:
        number, against = (data.draw(st.integers(1, len(self.texts))) for _ in range(2))
        with refusing(Refused, not self.enabled):
            identity = approval.open_proposal(
                self.connection, self.agent, kind="prompt", verdict=verdict, subject={"version": number}, incumbent={"version": against}, evidence={}
            )  # type: ignore[arg-type]
        if not self.enabled:
            return
        for older in self.proposals.values():
            older.state = "rejected" if older.state == "open" else older.state
        self.proposals[identity] = Proposed(number, against, verdict)
        if verdict == "better":
            self.candidate = number

    @precondition(lambda self: self.proposals)
    @rule(data=st.data(), newest=st.booleans())
    def approve(self, data: st.DataObject, newest: bool) -> None:
        identity = list(self.proposals)[-1] if newest else data.draw(st.sampled_from(list(self.proposals)))
        one = self.proposals[identity]
        if one.state == "approved":
            assert not self._approve(identity).changed
            return
        serves = self.production in (one.incumbent, one.version) or self.texts[self.production - 1] == self.texts[one.incumbent - 1]
        wrong = one.state == "rejected" or one.verdict != "better" or not self.enabled or not serves
        with refusing(Refused, wrong):
            assert self._approve(identity).version == one.version
        if not wrong:
            one.state = "approved"
            self._serves(one.version)

    def _approve(self, identity: UUID) -> approval.Reviewed:
        return approval.approve(self.connection, self.agent.organization_id, identity, "immediate", OPERATOR)

    @precondition(lambda self: self.proposals)
    @rule(data=st.data())
    def reject(self, data: st.DataObject) -> None:
        identity = data.draw(st.sampled_from(list(self.proposals)))
        one = self.proposals[identity]
        with refusing(Refused, one.state == "approved"):
            changed = approval.reject(self.connection, self.agent.organization_id, identity, OPERATOR).changed
            assert changed == (one.state == "open")
        one.state = "rejected" if one.state == "open" else one.state

    @rule()
    def roll_back(self) -> None:
        with refusing(Refused, self.previous is None):
            done = approval.rollback(self.connection, self.agent, OPERATOR)
            assert (done.version, done.changed) == (self.previous, self.previous != self.production)
        if self.previous is not None:
            self.production = self.previous

    @rule(enabled=st.booleans())
    def switch(self, enabled: bool) -> None:
        changed = approval.set_learning(self.connection, self.agent.organization_id, self.agent, OPERATOR, enabled=enabled)
        assert changed == ([self.agent.agent] if enabled != self.enabled else [])
        self.enabled = enabled

    @invariant()
    def labels_are_where_the_model_has_them(self) -> None:
        assert labels(self.connection, self.agent) == {"production": self.production, "candidate": self.candidate, "previous": self.previous}

    @invariant()
    def what_serves_is_approved_or_the_base_prompt(self) -> None:
        served = prompts.served(self.connection, self.agent)
        assert served is not None and served.disabled == (not self.enabled)
        assert served.version == (self.production if self.enabled else 1) and served.version in self.approved
        assert served.messages == [{"role": "system", "content": self.texts[served.version - 1]}]

    @invariant()
    def versions_never_change(self) -> None:
        stored = prompts.served_versions(self.connection, self.agent, range(1, len(self.texts) + 2))
        assert {number: one.messages[0]["content"] for number, one in stored.items()} == dict(enumerate(self.texts, 1))

    @invariant()
    def proposals_are_as_reviewed_and_one_is_open_at_most(self) -> None:
        stored = proposals.listed(self.connection, self.agent.organization_id, agent_id=self.agent.agent_id)
        assert {one.id: one.state for one in stored} == {identity: one.state for identity, one in self.proposals.items()}
        assert sum(one.state == "open" for one in stored) <= 1


def test_the_registry_does_what_the_model_does(pipeline: Connection) -> None:
    tell(Registry, pipeline, stories=6, steps=20)
