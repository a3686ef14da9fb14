"""Ways to propose prompts, one file each, and which of them a search uses.

Belongs here: strategies (the protocol is in prompts/task.py). Not here: trying candidates out (search.py).
"""

from __future__ import annotations

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


def default_strategies(task: Task, reflection: ChatModel | None = None, *, gepa: bool = False) -> list[Strategy]:
    """The strategies that can propose anything for the task, in the order they are asked. `reflection`: None where there is no model worth asking (the
    embedded one: it follows demonstrations, hardly instructions); then edit operators only. `gepa`: the library's engine in place of our own climb."""
    strategies: list[Strategy] = []
    if reflection is not None:
        strategies.append(GepaEngine() if gepa else Reflective())
    if task.train:
        strategies += [Retrieved(), *([Agreeing()] if answers_repeat(task) else []), Curated()]
    return [*strategies, Restructure(), Clarify(), Combined()]


__all__ = ["Agreeing", "Clarify", "Combined", "Curated", "GepaEngine", "Reflective", "Restructure", "Retrieved", "default_strategies"]
