"""Ways to propose prompts, one file each, and which of them a search uses.

Belongs here: strategies (the protocol is in prompts/task.py). Not here: trying candidates out (search.py).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from learning_pipelines.llm import ChatModel
from learning_pipelines.prompts.strategies.agreeing import Agreeing, answers_repeat
from learning_pipelines.prompts.strategies.clarify import Clarify
from learning_pipelines.prompts.strategies.combined import Combined
from learning_pipelines.prompts.strategies.curated import Curated
from learning_pipelines.prompts.strategies.gepa_engine import GepaEngine
from learning_pipelines.prompts.strategies.reflective import Reflective
from learning_pipelines.prompts.strategies.restructure import Restructure
from learning_pipelines.prompts.strategies.retrieved import Retrieved
from learning_pipelines.prompts.task import Strategy, Task

ReflectionEngine: TypeAlias = Literal["both", "own", "gepa"]


def default_strategies(task: Task, reflection: ChatModel | None = None, engine: ReflectionEngine = "both") -> list[Strategy]:
    """The strategies that can propose anything for the task, in the order they are asked. `reflection`: None where there is no model worth asking (the
    embedded one: it follows demonstrations, hardly instructions); then edit operators only. `engine`: what evolves the instruction by it; with both, our
    climb begins and the library's engine goes on from the best so far, from the second round on."""
    strategies: list[Strategy] = []
    if reflection is not None:
        strategies += [] if engine == "gepa" else [Reflective()]
        strategies += [] if engine == "own" else [GepaEngine(begins=engine == "gepa")]
    if task.train:
        strategies += [Retrieved(), *([Agreeing()] if answers_repeat(task) else []), Curated()]
    return [*strategies, Restructure(), Clarify(), Combined()]


__all__ = ["Agreeing", "Clarify", "Combined", "Curated", "GepaEngine", "ReflectionEngine", "Reflective", "Restructure", "Retrieved", "default_strategies"]
