"""The play-off between near equals.

Belongs here: who plays, on what, what it is good for. Not here: the race (test_race.py).
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from learning_pipelines.llm import Message
from learning_pipelines.prompts import playoff
from learning_pipelines.prompts.playoff import further, mean_of_all, rivals
from learning_pipelines.prompts.prompt import Prompt
from learning_pipelines.prompts.race import Racer
from learning_pipelines.prompts.search import search
from learning_pipelines.prompts.strategies import Retrieved
from learning_pipelines.prompts.task import Candidate, Item, Scored
from learning_pipelines_tests.prompts.worlds import coin, intent_task, nearest_train

ITEMS = [Item(f"i{number}", "text", "x") for number in range(10)]


def racer(text: str, right: int, n: int = 10) -> Racer:
    scored = [Scored(item, "", float(at < right), 10) for at, item in enumerate(ITEMS[:n])]
    return Racer(Candidate(Prompt((Message("system", text),)), "test"), scored)


def test_rivals_are_known_on_the_same_items_and_not_clearly_behind() -> None:
    champion, close, behind, half = racer("a", 9), racer("b", 8), racer("c", 4), racer("d", 5, n=5)
    assert rivals(champion, [half, behind, close, champion], same_wording=False) == [champion, close]
    assert rivals(champion, [half, behind, champion], same_wording=False) == []
    assert len(rivals(champion, [champion, *(racer(str(number), 8) for number in range(9))], same_wording=False)) == playoff.RIVALS


def test_wording_that_has_seen_failures_of_train_plays_against_the_same_wording_only() -> None:
    champion, other, same = racer("a", 9), racer("b", 9), racer("a", 8)
    assert rivals(champion, [champion, other, same], same_wording=True) == [champion, same]


def test_nobody_is_scored_on_what_one_of_them_shows_and_all_can_be_paid() -> None:
    one, other = racer("a", 9), racer("b", 9)
    showing = Racer(replace(other.candidate, shown=("i0", "i3")), other.scored)
    assert [item.id for item in further(ITEMS, [one, showing], 9)] == ["i1", "i2", "i4", "i5"]
    assert further(ITEMS, [one, other], 1) == []


def test_the_mean_is_over_both_splits() -> None:
    assert mean_of_all(racer("a", 10), [Scored(ITEMS[0], "", 0.0)] * 10) == 0.5


def test_with_a_play_off_the_better_of_near_equals_is_taken_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five neighbours are worth .9, the other sizes .8; forty items alone often pick another. Calls enough for all: nobody is out after five items."""
    worth = {3: 0.8, 5: 0.9, 8: 0.8}

    def picked() -> int:
        found = 0
        for seed in range(24):
            task = intent_task(Random(seed), train=110)
            scorer = coin(lambda prompt: worth[prompt.retrieval.k] if prompt.retrieval else 0.3, ("world", seed))
            winner = search(task, scorer, [Retrieved()], calls=400, seed=seed, nearest=nearest_train(task)).winner.candidate.prompt
            found += winner.retrieval is not None and winner.retrieval.k == 5
        return found

    with_it = picked()
    assert with_it >= 20
    monkeypatch.setattr(playoff, "RIVALS", 1)
    assert with_it >= picked() + 1
