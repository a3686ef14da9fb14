"""A search in small worlds with known truth.

Belongs here: what is found, with how many calls, when it stops, that it repeats itself. Not here: the rules of the race (test_race.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

from learning_pipelines.llm import Message
from learning_pipelines.prompts.prompt import Demonstration, Prompt
from learning_pipelines.prompts.results import SearchResult, Standing, front
from learning_pipelines.prompts.search import search
from learning_pipelines.prompts.strategies import Curated, Restructure, Retrieved, default_strategies
from learning_pipelines.prompts.task import Candidate, Item, Scored, Situation, Task
from learning_pipelines_tests.prompts.worlds import Counting, chance, coin, copying, intent_task, nearest_train


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
    assert f"among {result.compared} prompts" in result.caveat and "optimistic" in result.caveat and "test split" in result.caveat


def test_a_gain_that_choosing_explains_is_not_beyond_luck() -> None:
    """The score is a coin for 30 searches, the nearest examples answer for five: claims beyond luck are rare there and the rule here."""
    found = []
    for seed in range(30):
        task = intent_task(Random(seed))
        found.append(search(task, coin(lambda prompt: 0.6, seed), default_strategies(task), calls=300, seed=seed, nearest=nearest_train(task)))
    assert sum(one.gain > 0 for one in found) > 15  # every search without a gate would call these better
    assert sum(one.gain > one.luck for one in found) <= 3
    assert all(one.gain > one.luck for one in (searched(seed)[2] for seed in range(5)))


def test_the_incumbent_is_scored_on_all_items_before_another_takes_its_place() -> None:
    for seed in range(5):
        task = intent_task(Random(seed))
        result = search(task, coin(lambda prompt: 0.5, seed), [Curated()], calls=300, seed=seed)
        assert result.incumbent.n == result.winner.n == 40 and result.winner.score >= result.incumbent.score


def test_where_nothing_is_better_the_incumbent_stays() -> None:
    task = intent_task(Random(0))
    incumbent = task.incumbent.content_hash
    result = search(task, coin(lambda prompt: 0.9 if prompt.content_hash == incumbent else 0.1), default_strategies(task), calls=300)
    assert not result.improved and result.winner.candidate.prompt == task.incumbent and result.existed_after == 0


def test_full_marks_end_the_search_and_so_does_having_nothing_to_propose() -> None:
    _, _, won = searched(0)
    assert "full marks" in won.stopped and won.calls < 300
    task = intent_task(Random(0))
    assert "anything new" in search(task, coin(lambda prompt: 0.5), [Restructure()], calls=1_000).stopped
    assert "no validation items" in search(replace(task, validation=()), coin(lambda prompt: 0.5), [Curated()], calls=100).stopped


def test_faulty_proposals_are_dropped_before_anything_is_asked() -> None:
    task = intent_task(Random(0))

    class Copying:
        name = "copying"

        def propose(self, situation: Situation, rng: Random) -> Iterator[Candidate]:
            text = " ".join(item.input for item in situation.task.train[:3])
            yield Candidate(situation.best.prompt.with_instruction(text), self.name)

    evaluate = coin(lambda prompt: 0.5)
    result = search(task, evaluate, [Copying()], calls=100)
    assert evaluate.asked == [] and result.dropped == {"user_text_in_system": 1} and not result.improved


def test_strategies_see_neither_validation_nor_test_and_what_the_champion_fails() -> None:
    seen: list[Situation] = []

    class Watching(Curated):
        def propose(self, situation: Situation, rng: Random) -> Iterator[Candidate]:
            seen.append(situation)
            yield from super().propose(situation, rng)

    task = intent_task(Random(0), test=30)
    search(task, coin(lambda prompt: 0.5), [Watching()], calls=600)
    assert all(one.task.validation == one.task.test == () for one in seen)
    assert seen[0].failures == () and len(seen[1].failures) + len(seen[1].successes) >= 6
    assert all(scored.score < 1 and scored.item in task.train for one in seen for scored in one.failures)


def test_a_longer_prompt_wins_only_if_its_length_pays() -> None:
    task = intent_task(Random(0), train=200, validation=200)  # on fewer items luck pays for it

    class Padding:
        name = "padding"

        def propose(self, situation: Situation, rng: Random) -> Iterator[Candidate]:
            yield Candidate(situation.best.prompt.with_instruction("Help the customer. " * 200), self.name)

    def chances(prompt: Prompt) -> float:
        return 0.55 if len(prompt.instruction) > 1_000 else 0.5  # five points for about 940 tokens

    winners = [search(task, coin(chances, seed), [Padding()], calls=1_500, seed=seed).winner.candidate.strategy for seed in range(20)]
    assert winners.count("incumbent") >= 16


def test_the_front_holds_what_nobody_beats_in_score_tokens_and_time_at_once() -> None:
    def standing(name: str, score: float, tokens: float, seconds: float) -> Standing:
        return Standing(Candidate(Prompt((Message("system", name),)), "test"), 10, score, tokens, 1, seconds)

    best, cheap, fast = standing("best", 0.9, 100, 2.0), standing("cheap", 0.9, 50, 3.0), standing("fast", 0.5, 100, 1.0)
    beaten = standing("beaten", 0.9, 100, 3.0)
    assert front([beaten, fast, best, cheap]) == (cheap, best, fast)


def test_the_front_of_a_search_holds_the_cheap_incumbent_beside_the_better_winner() -> None:
    _, _, result = searched(0)
    assert {one.candidate.strategy for one in result.front} >= {"retrieved", "incumbent"}
    assert result.front[0].candidate == result.winner.candidate


def test_progress_grows_to_one_and_quotes_nobody() -> None:
    told: list[tuple[float, str]] = []
    task = intent_task(Random(0))
    search(task, coin(lambda prompt: 0.5), [Curated()], calls=200, progress=lambda share, message: told.append((share, message)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) > 10
    assert not any(item.input in message for item in (*task.train, *task.validation) for _, message in told)


def test_many_validation_items_are_cut_to_what_the_calls_can_race_on() -> None:
    task = intent_task(Random(0), validation=600)
    result = search(task, coin(lambda prompt: 0.5), default_strategies(task), calls=300)
    assert result.winner.n == 50 and result.calls <= 300


def test_the_rounds_tell_of_everybody_why_it_is_out() -> None:
    _, _, result = searched(1)
    raced = [entry for entry in result.rounds if not entry.note.startswith("play-off")]
    assert len(raced) == result.compared and all(entry.eliminated or entry.n == 40 for entry in raced)
    assert [entry.name for entry in result.rounds if entry not in raced and entry.eliminated is None] == [result.winner.candidate.name]
    assert {entry.name for entry in result.rounds} >= {result.winner.candidate.name, result.incumbent.candidate.name}


def test_a_model_that_gives_no_usable_answer_is_not_asked_for_long() -> None:
    task = intent_task(Random(0))

    def garbage(prompt: Prompt, items: Sequence[Item]) -> list[Scored]:
        return [Scored(item, "<html>", 0.0, fault="The language model answered with a web page.") for item in items]

    result = search(task, garbage, default_strategies(task), calls=300, nearest=nearest_train(task))
    assert "all unusable" in result.stopped and "a web page" in result.stopped
    assert result.evaluations <= 25 and not result.improved and result.winner.faults == result.winner.n > 0


def test_a_present_prompt_that_gets_no_usable_answer_can_be_replaced() -> None:
    task = intent_task(Random(0))
    incumbent = task.incumbent.content_hash

    def too_long(prompt: Prompt, items: Sequence[Item]) -> list[Scored]:
        fault = "The messages do not fit." if prompt.content_hash == incumbent else None
        return [Scored(item, "", float(fault is None), fault=fault) for item in items]

    assert search(task, too_long, default_strategies(task), calls=300, nearest=nearest_train(task)).winner.score == 1.0


def test_examples_that_the_present_prompt_shows_are_known_by_their_texts_and_edited() -> None:
    """A version that an earlier run found holds demonstrations without their ids; scored on them it would only repeat them."""
    task = intent_task(Random(0))
    shown = [Demonstration(item.input, item.expected) for item in task.train[:5]]
    task = replace(task, incumbent=task.incumbent.with_demonstrations([*shown, Demonstration("by hand", "card")]))
    evaluate = coin(lambda prompt: 0.5)
    result = search(task, evaluate, [Curated()], calls=300)
    assert {"one example swapped", "one example dropped"} <= {entry.note for entry in result.rounds}
    trained = {item for prompt, item in evaluate.asked if prompt == task.incumbent.content_hash and item.startswith("train")}
    assert not trained & {item.id for item in task.train[:5]}


def test_a_cheaper_equal_prompt_is_on_the_front_and_spends_no_test() -> None:
    """Short and long instruction answer alike, right on two of three items: the short one is a result, but nothing that a test of scores could confirm."""
    task = intent_task(Random(0), instruction="Help the customer. " * 10)

    def alike(prompt: Prompt, items: Sequence[Item]) -> list[Scored]:
        tokens = len(prompt.instruction) // 4
        return [Scored(item, "x", float(hash_of(item) < 0.67), tokens) for item in items]

    def hash_of(item: Item) -> float:
        return chance("alike", item.id)

    class Short:
        name = "short"

        def propose(self, situation: Situation, rng: Random) -> Iterator[Candidate]:
            yield Candidate(situation.best.prompt.with_instruction("Help."), self.name)

    result = search(task, alike, [Short()], calls=300)
    assert not result.improved
    assert [one.candidate.strategy for one in result.front] == ["short"] and result.front[0].score == result.incumbent.score
