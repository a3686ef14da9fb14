"""The rules by which candidates are out, with their stated error.

Belongs here: one rule, one test; simulation of the error rates. Not here: rounds and budget (test_search.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from scipy.stats import binom

from learning_pipelines.llm import Message
from learning_pipelines.prompts.ledger import Ledger
from learning_pipelines.prompts.prompt import Prompt
from learning_pipelines.prompts.race import Racer, behind, hopeless, in_order, laps, no_effect, run_laps, sign_flip_p
from learning_pipelines.prompts.task import Candidate, Item, Scored
from learning_pipelines_tests.prompts.worlds import coin

ITEMS = tuple(Item(f"i{number}", f"text {number}", "ab"[number % 2]) for number in range(40))


def candidate(text: str) -> Candidate:
    return Candidate(Prompt((Message("system", text),)), "test")


def racer(text: str, scores: Sequence[float], outputs: str = "", tokens: int = 10) -> Racer:
    said = outputs or "".join("y" if score == 1 else "n" for score in scores)
    return Racer(candidate(text), [Scored(item, said[at], score, tokens) for at, (item, score) in enumerate(zip(ITEMS, scores, strict=False))])


def test_the_subsets_double_and_end_with_all_items() -> None:
    assert (laps(40), laps(30), laps(6), laps(5), laps(3), laps(0)) == ([5, 10, 20, 40], [5, 10, 20, 30], [6], [5], [3], [])


def test_every_prefix_holds_the_answers_in_turn() -> None:
    for seed in range(20):
        answers = [item.expected for item in in_order(ITEMS, Random(seed))]
        assert all(abs(answers[:size].count("a") - size / 2) <= 0.5 for size in range(len(ITEMS)))


def test_what_the_champion_fails_comes_in_turn_with_what_it_gets_right() -> None:
    failed = {"i3", "i7"}
    order = in_order(ITEMS, Random(0), {item.id: float(item.id not in failed) for item in ITEMS})
    assert failed < {item.id for item in order[:4]} and sorted(item.id for item in order) == sorted(item.id for item in ITEMS)


@pytest.mark.parametrize(("won", "lost"), [(5, 0), (8, 1), (3, 3), (0, 4), (15, 6)])
def test_with_right_and_wrong_the_paired_test_is_the_exact_one_of_mcnemar(won: int, lost: int) -> None:
    assert sign_flip_p([1.0] * won + [-1.0] * lost + [0.0] * 7) == pytest.approx(float(binom.sf(won - 1, won + lost, 0.5)))


def test_graded_differences_are_weighed() -> None:
    assert sign_flip_p([0.5, 0.5, -0.1]) == pytest.approx(2 / 8)  # 0.9 and 1.1 of eight equally likely sums
    assert sign_flip_p([]) == sign_flip_p([0.0, 0.0]) == 1.0


def test_as_good_as_the_leader_is_lost_to_the_paired_test_at_most_as_often_as_stated() -> None:
    """1,000 pairs of equally good candidates at 20 items: at most .05, two standard errors of .007 allowed."""
    rng, lost = Random(0), 0
    for _ in range(1_000):
        one, other = ([float(rng.random() < 0.7) for _ in range(20)] for _ in range(2))
        lost += behind(racer("a", one), racer("b", other), 0.05) is not None
    assert 0 < lost / 1_000 <= 0.064


def test_who_cannot_catch_up_is_out_without_any_error() -> None:
    champion = racer("champion", [1.0] * 38 + [0.0] * 2)
    assert hopeless(racer("a", [0.0] * 3 + [1.0] * 2), champion, 5, 40) is not None
    assert hopeless(racer("b", [0.0] * 1 + [1.0] * 4), champion, 5, 40) is None


def test_who_can_only_draw_level_goes_on_if_it_is_cheaper() -> None:
    champion = racer("champion", [1.0] * 38 + [0.0] * 2)
    level = [0.0] * 2 + [1.0] * 3
    assert "can at best equal" in str(hopeless(racer("dear", level, tokens=10), champion, 5, 40))
    assert hopeless(racer("cheap", level, tokens=9), champion, 5, 40) is None


def test_a_change_without_effect_is_seen_in_the_same_wrong_answers() -> None:
    champion = racer("champion", [0.0, 0.0, 1.0], "abc")
    assert no_effect(racer("a", [0.0, 0.0, 1.0], "abc"), champion)
    assert not no_effect(racer("b", [0.0, 0.0, 1.0], "xbc"), champion)
    assert not no_effect(racer("cheaper", [0.0, 0.0, 1.0], "abc", tokens=9), champion)  # an equal for less is a result
    right = racer("champion", [0.0, 1.0, 1.0], "abc")
    assert not no_effect(racer("c", [0.0, 1.0, 1.0], "abc"), right)  # both right: that says nothing


def raced(chances: dict[str, float], calls: int = 1_000, salt: int = 0) -> tuple[dict[str, Racer], Ledger]:
    named = {candidate(text).prompt.content_hash: chance for text, chance in chances.items()}
    ledger = Ledger(coin(lambda prompt: named[prompt.content_hash], salt), calls)
    racers = {text: Racer(candidate(text)) for text in chances}
    champion, *field = racers.values()
    run_laps(champion, field, ITEMS, ledger)
    return racers, ledger


def test_the_best_of_eight_finishes_and_the_race_costs_less_than_half_of_scoring_all() -> None:
    found = costs = 0
    for salt in range(40):
        racers, ledger = raced({"incumbent": 0.3, **{f"c{number}": 0.4 for number in range(7)}, "good": 0.95}, salt=salt)
        found += len(racers["good"].scored) == 40
        costs += ledger.evaluations
    assert found >= 38 and costs / 40 < 0.45 * 9 * 40


def test_the_incumbent_is_out_like_everybody_else() -> None:
    racers, _ = raced({"incumbent": 0.0, "good": 1.0})
    assert racers["incumbent"].out and len(racers["incumbent"].scored) < 40 == len(racers["good"].scored)


def test_everybody_is_known_on_all_items_or_out_for_a_reason() -> None:
    racers, _ = raced({f"c{number}": 0.1 * number for number in range(10)})
    assert all(one.out or len(one.scored) == 40 for one in racers.values())


def test_out_of_calls_the_best_so_far_go_on() -> None:
    racers, ledger = raced({"incumbent": 0.2, "a": 0.3, "b": 0.3, "good": 1.0}, calls=31)
    assert ledger.evaluations <= 31 and len(racers["good"].scored) == max(len(one.scored) for one in racers.values()) == 10


def test_equal_scores_are_ranked_by_tokens() -> None:
    dear, cheap = racer("dear", [1.0, 0.0], tokens=20), racer("cheap", [0.0, 1.0], tokens=10)
    assert min([dear, cheap], key=lambda one: one.rank) is cheap
