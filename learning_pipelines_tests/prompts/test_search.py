"""A search in small worlds with known truth.

Belongs here: what is found, with how many calls, when it stops, that it repeats itself. Not here: the rules of the race (test_race.py).
"""

from __future__ import annotations

from random import Random

from learning_pipelines.prompts.results import SearchResult
from learning_pipelines.prompts.search import search
from learning_pipelines.prompts.strategies.curated import Curated
from learning_pipelines.prompts.strategies.retrieved import Retrieved
from learning_pipelines.prompts.task import Task
from learning_pipelines_tests.prompts.worlds import Counting, coin, copying, intent_task, nearest_train


def searched(seed: int, calls: int = 300) -> tuple[Task, Counting, SearchResult]:
    task = intent_task(Random(seed))
    nearest = nearest_train(task)
    evaluate = copying(task, nearest)
    return task, evaluate, search(task, evaluate, [Retrieved(), Curated()], calls=calls, seed=seed, nearest=nearest)


def test_where_the_nearest_examples_answer_the_search_finds_them() -> None:
    for seed in range(5):
        task, _, result = searched(seed)
        assert result.winner.candidate.prompt.retrieval is not None
        assert result.winner.score > 0.9 > 0.5 > result.incumbent.score
        assert result.winner.n == result.incumbent.n == len(task.validation)


def test_no_pair_is_scored_twice_and_no_call_is_made_beyond_the_budget() -> None:
    for calls in (0, 1, 7, 13, 60, 151, 300):
        _, evaluate, result = searched(3, calls)
        assert len(evaluate.asked) == len(set(evaluate.asked)) == result.evaluations <= calls


def test_the_same_seed_gives_the_same_search() -> None:
    (_, one, first), (_, other, again) = searched(4), searched(4)
    assert one.asked == other.asked and first == again


def test_the_test_split_is_never_scored() -> None:
    task = intent_task(Random(0), test=30)
    evaluate = copying(task, nearest_train(task))
    search(task, evaluate, [Retrieved(), Curated()], calls=300, nearest=nearest_train(task))
    assert not {item for _, item in evaluate.asked} & {item.id for item in task.test}


def test_on_a_score_that_is_a_coin_the_gain_is_called_optimistic() -> None:
    task = intent_task(Random(1))
    result = search(task, coin(lambda prompt: 0.6), [Retrieved(), Curated()], calls=300, nearest=nearest_train(task))
    assert result.evaluations <= 300
    assert f"among {result.compared} prompts" in result.caveat and "optimistic" in result.caveat
