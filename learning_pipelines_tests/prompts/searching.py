"""A whole search against an HTTP endpoint, with its answers kept in the database: to be run in a process that can be killed.

Belongs here: the search and the script. Not here: killing it, counting requests (test_resuming.py).

`python -m learning_pipelines_tests.prompts.searching PIPELINE_URL ORGANIZATION_ID ENDPOINT_URL`
"""

from __future__ import annotations

import sys
from random import Random
from uuid import UUID

from learning_pipelines.llm import ResponseCache
from learning_pipelines.llm_budget import FREE, Budget
from learning_pipelines.llm_client import Endpoint, OpenAIModel, Retry
from learning_pipelines.prompts.evaluation import Evaluator
from learning_pipelines.prompts.metrics import metric_of
from learning_pipelines.prompts.results import SearchResult
from learning_pipelines.prompts.search import search
from learning_pipelines.prompts.strategies import default_strategies
from learning_pipelines.storage.database import connect
from learning_pipelines.storage.llm_cache import DatabaseCache
from learning_pipelines_tests.prompts.worlds import intent_task, nearest_train

CALLS = 120
QUESTION = "An assistant works by this instruction"


def run(url: str, cache: ResponseCache | None, budget: Budget | None = None) -> SearchResult:
    """Both models are the endpoint's; one request at a time, so that what is paid and not kept is at most the one that is under way."""

    def model(role: str) -> OpenAIModel:
        return OpenAIModel("fake", Endpoint(url, "none"), role=role, cache=cache, budget=budget, price=FREE, concurrency=1, retry=Retry(attempts=1))

    task = intent_task(Random(0), instruction="You are the service desk. Name the intent.")
    nearest, reflection = nearest_train(task), model("reflection")
    evaluate = Evaluator(model("task"), metric_of(task.metric), max_tokens=10, labels=task.labels, nearest=nearest)
    return search(task, evaluate, default_strategies(task, reflection), calls=CALLS, seed=5, reflection=reflection, nearest=nearest)


if __name__ == "__main__":
    database_url, organization, endpoint_url = sys.argv[1:]
    with connect(database_url) as connection:
        connection.autocommit = True
        result = run(endpoint_url, DatabaseCache(connection, UUID(organization)))
    print(result.winner.candidate.name, result.calls)
