"""A prompt as it is sent: a version with its messages and ETag, for everybody or for a variant of an experiment.

Belongs here: the values, the body, which version an arm serves. Not here: keeping them at hand (served.py), who gets which arm (experiments_serving.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote
from uuid import UUID

import orjson

from learning_pipelines.errors import LearningError
from learning_pipelines.prompts.prompt import Prompt, from_stored
from learning_pipelines.storage import prompts
from learning_pipelines.storage.experiment_rows import Arm, Experiment
from learning_pipelines.storage.tenants import AgentRef


@dataclass(frozen=True, slots=True)
class Answer:
    """A prompt as it is sent: body and ETag. `counted`: whether it is what the unit's variant serves."""

    etag: str
    body: bytes
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What an answer says of an experiment. `problem`: why the variant's own version is not what is served."""

    experiment: UUID | None = None
    variant: str | None = None
    problem: str | None = None

    @property
    def mark(self) -> str:
        """Of the ETag: another variant, or another problem, is another answer."""
        if self.problem is not None:
            return f"-{hashlib.sha256(self.problem.encode()).hexdigest()[:12]}"
        return "" if self.experiment is None else f"-{quote(str(self.variant), safe='')}-{self.experiment.hex[:12]}"


NO_PART = Part()


@dataclass(frozen=True, slots=True)
class Served:
    """A version that a label pointed at `at` (monotonic seconds), or that an arm of `running` serves. `answer` is for whoever asks without an input.
    `disabled`: learning is switched off, and this is the base prompt."""

    at: float
    agent: AgentRef
    version: int
    messages: Sequence[Mapping[str, Any]]
    prompt: Prompt
    content_hash: str
    model: str | None
    model_mark: str
    answer: Answer
    disabled: bool = False
    part: Part = NO_PART
    running: tuple[Experiment, ...] = ()
    arms: Mapping[tuple[UUID, str], Served] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        return f"{self.version}-{self.content_hash[:24]}{self.model_mark}{'-off' if self.disabled else ''}{self.part.mark}"

    def taking_part(self, part: Part) -> Served:
        """The same version, saying what it is of an experiment."""
        mine = replace(self, part=part, running=(), arms={})
        return replace(mine, answer=answer(mine, mine.messages))

    def with_input(self, messages: Sequence[Mapping[str, Any]], guidance: str | None, guidance_problem: str | None) -> Answer:
        """The answer for one input: `messages` are those to send for it."""
        more = {"guidance": guidance, "guidance_problem": guidance_problem}
        return answer(self, messages, more, f"-{hashlib.sha256(orjson.dumps([messages, more])).hexdigest()[:24]}")


def answer(served: Served, messages: Sequence[Mapping[str, Any]], more: Mapping[str, Any] | None = None, mark: str = "") -> Answer:
    etag = f'"{served.mark}{mark}"'
    part = served.part
    said = {
        "messages": messages, "version": str(served.version), "experiment": None if part.experiment is None else str(part.experiment),
        "variant": part.variant, "etag": etag, "model": served.model, "disabled": served.disabled,
        **({"experiment_problem": part.problem} if part.problem else {}), **(more or {}),
    }  # fmt: skip
    return Answer(etag, orjson.dumps(said), part.experiment is not None)


def served_version(at: float, agent: AgentRef, found: prompts.Served, model: str | None, model_mark: str) -> Served:
    """A stored version for everybody. `model_mark`: of the ETag, where the model was learnt."""
    prompt = from_stored(found.messages, found.serving)
    made = Served(at, agent, found.version, found.messages, prompt, found.content_hash.hex(), model, model_mark, Answer("", b""), found.disabled)
    return replace(made, answer=answer(made, made.messages))


def with_arms(everybody: Served, running: Sequence[Experiment], found: Mapping[int, prompts.Served]) -> Served:
    """With what the arms of running experiments serve; `found`: the stored versions by number.

    Where an arm's version is gone or cannot be read, the control serves, and where that is gone too, what serves everybody: such a unit takes no part.
    """
    versions = {number: made for number, one in found.items() if (made := _readable(everybody, one)) is not None}
    arms: dict[tuple[UUID, str], Served] = {}
    for experiment in running:
        instead = versions.get(experiment.control.version, everybody)
        for arm in experiment.arms:
            own = versions.get(arm.version)
            part = Part(experiment.id, arm.variant) if own is not None else Part(problem=gone(experiment, arm))
            arms[experiment.id, arm.variant] = (own or instead).taking_part(part)
    return replace(everybody, running=tuple(running), arms=arms)


def gone(experiment: Experiment, arm: Arm) -> str:
    """Why a variant is not served."""
    return f"Version {arm.version}, which the variant {arm.variant} of the experiment {experiment.name} serves, is gone or cannot be used."


def _readable(everybody: Served, found: prompts.Served) -> Served | None:
    try:
        return served_version(everybody.at, everybody.agent, found, everybody.model, everybody.model_mark)
    except (LearningError, ValueError, KeyError, TypeError):  # whatever is wrong with the version, the control can be had
        return None
