"""Guidance serves only with what it was measured with, and can always be taken back.

Belongs here: acceptance/guidance_change.py through approving and rolling back. Not here: other kinds of behaviour (test_behavior_approval.py), what is shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from learning_pipelines.acceptance import approval
from learning_pipelines.acceptance.behavior_proposing import propose
from learning_pipelines.acceptance.reviewing import Refused, Reviewer
from learning_pipelines.behavior.guidance import Guidance
from learning_pipelines.errors import BadInput
from learning_pipelines.settings import Settings
from learning_pipelines.storage import behavior_versions, demonstrations, prompts
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.acceptance.proposing import learnt
from learning_pipelines_tests.acceptance.proposing import proposed as prompt_proposed
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.storage.test_demonstrations import Letters, newest, with_examples

ADA = Reviewer("user:ada")


@pytest.fixture
def desk(pipeline: Connection, load: Load) -> AgentRef:
    return with_examples(pipeline, load, "default", 20)


@pytest.fixture
def proposed(pipeline: Connection, desk: AgentRef, tmp_path: Path) -> Any:
    """The proposal of guidance, measured with what serves but for what is `more`."""

    def run(**more: Any) -> Any:
        prompt = prompts.labelled(pipeline, desk)
        assert prompt is not None
        config = {"dataset_id": str(newest(pipeline, desk)), "prompt": prompt.content_hash.hex(), "prompt_version": prompt.version, "encoder": Letters.name}
        config |= {"sources": {"corrections": 0.1}, "tokens": 600, **more}
        return propose(
            pipeline, desk, Settings(home=tmp_path), kind="playbook", subject_kind="guidance", config=config, metrics={}, evidence={"difference": 0.1}
        )[1]

    return run


def approve(connection: Connection, agent: AgentRef, proposal: Any) -> Any:
    return approval.approve(connection, agent.organization_id, proposal, "immediate", ADA)


def test_guidance_serves_once_approved_and_goes_back_to_nothing_learnt(pipeline: Connection, desk: AgentRef, proposed: Any) -> None:
    demonstrations.index_demonstrations(pipeline, desk, newest(pipeline, desk), Letters())
    assert approve(pipeline, desk, proposed()).version == 1
    assert behavior_versions.label_target(pipeline, desk, "guidance", "serving") == 1
    assert approval.rollback(pipeline, desk, ADA, "guidance").version == 0


def test_guidance_whose_prompt_notes_or_vectors_are_others_is_not_approved(pipeline: Connection, desk: AgentRef, proposed: Any) -> None:
    with pytest.raises(Refused, match="have no vectors"):
        approve(pipeline, desk, proposed())
    demonstrations.index_demonstrations(pipeline, desk, newest(pipeline, desk), Letters())
    with pytest.raises(Refused, match="version 4 of playbook, which no longer serves"):
        approve(pipeline, desk, proposed(playbooks=[4]))
    measured = proposed()
    prompts.move_label(pipeline, desk, "production", learnt(pipeline, desk), None)
    with pytest.raises(Refused, match=r"would not be shown\. It was measured with prompt version 1"):
        approve(pipeline, desk, measured)
    assert behavior_versions.label_target(pipeline, desk, "guidance", "serving") is None


def test_harmful_guidance_is_taken_back_even_to_guidance_that_is_outdated(pipeline: Connection, desk: AgentRef, proposed: Any) -> None:
    demonstrations.index_demonstrations(pipeline, desk, newest(pipeline, desk), Letters())
    approve(pipeline, desk, proposed())
    prompts.move_label(pipeline, desk, "production", learnt(pipeline, desk), None)
    approve(pipeline, desk, proposed())
    assert approval.rollback(pipeline, desk, ADA, "guidance").version == 1


def test_a_prompt_that_was_measured_without_the_guidance_that_serves_does_not_take_its_place(
    pipeline: Connection, desk: AgentRef, proposed: Any
) -> None:
    demonstrations.index_demonstrations(pipeline, desk, newest(pipeline, desk), Letters())
    before = prompt_proposed(pipeline, desk, learnt(pipeline, desk))
    approve(pipeline, desk, proposed())
    with pytest.raises(Refused, match="without the guidance 1 that serves now"):
        approve(pipeline, desk, before)
    with_guidance = prompt_proposed(pipeline, desk, learnt(pipeline, desk, "Better."), incumbent={"version": 1, "guidance": 1})
    assert approve(pipeline, desk, with_guidance).version == 3
    outdated = prompt_proposed(pipeline, desk, learnt(pipeline, desk, "Best."), incumbent={"version": 3})
    assert approve(pipeline, desk, outdated).version == 4  # the guidance was left out already


def test_a_version_that_does_not_say_what_it_was_measured_with_is_refused_in_words() -> None:
    with pytest.raises(BadInput, match="lacks prompt, prompt_version"):
        Guidance.from_json({"dataset_id": "d", "encoder": "e", "sources": {}, "tokens": 1})
