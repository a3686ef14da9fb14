"""Ways to propose prompts, one file each, and which of them a search uses.

Belongs here: strategies (the protocol is in prompts/task.py). Not here: trying candidates out (search.py).
"""

from __future__ import annotations

from learning_pipelines.llm import ChatModel
from learning_pipelines.prompts.strategies.curated import Curated
from learning_pipelines.prompts.strategies.retrieved import Retrieved
from learning_pipelines.prompts.task import Strategy, Task


def default_strategies(task: Task, reflection: ChatModel | None = None) -> list[Strategy]:
    """The strategies that can propose anything for the task, in the order they are asked."""
    return [Retrieved(), Curated()]
