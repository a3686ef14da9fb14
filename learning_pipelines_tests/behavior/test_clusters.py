"""Leader clustering of corrections: what belongs together, what the facts keep apart, how the cost grows; names.

Belongs here: placing and naming without a database. Not here: what is stored (test_corrections.py).
"""

from __future__ import annotations

import numpy as np
import pytest

from learning_pipelines.behavior.corrections import clusters as clustering
from learning_pipelines.behavior.corrections.clusters import JOIN, Clusters, Correction, vector_of
from learning_pipelines.behavior.corrections.facts import anchors, facts_of
from learning_pipelines.behavior.corrections.naming import characteristic, commonest, frequencies, name


def unit(*values: float) -> np.ndarray:  # type: ignore[type-arg]
    vector = np.array(values, dtype=np.float32)
    return vector / np.linalg.norm(vector)


def planted(subjects: int, each: int, seed: int, spread: float = 0.35) -> list[tuple[int, Correction]]:
    """(subject, correction) in a random order: vectors around a random direction per subject."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((subjects, 64))
    made = []
    for number in range(subjects * each):
        around = centres[number % subjects] / np.linalg.norm(centres[number % subjects]) + spread * random.standard_normal(64) / 8
        made.append((number % subjects, Correction(f"x{number}", None, unit(*around))))
    return [made[at] for at in random.permutation(len(made))]


def test_planted_subjects_are_found_whatever_the_order() -> None:
    for seed in range(3):
        known = Clusters()
        groups: dict[str, set[int]] = {}
        for subject, correction in planted(40, 10, seed):
            groups.setdefault(known.place(correction), set()).add(subject)
        assert len(groups) == 40
        assert all(len(subjects) == 1 for subjects in groups.values())


def test_facts_that_contradict_keep_corrections_apart_and_missing_facts_do_not() -> None:
    known, vector = Clusters(), unit(1, 2, 3)
    thirty, sixty = frozenset({"number:time:30"}), frozenset({"number:time:60"})
    first = known.place(Correction("a", None, vector, thirty))
    assert known.place(Correction("b", None, vector, sixty)) != first
    assert known.place(Correction("c", None, vector)) == first
    assert known.place(Correction("d", None, vector, thirty)) == first


def test_the_same_new_fact_in_other_words_is_the_same_anchor() -> None:
    one = anchors(facts_of("It takes 14 days."), facts_of("It takes 24 hours."))
    two = anchors(facts_of("14 days, I think."), facts_of("One can expect it in 1 day."))
    assert one == two != frozenset()


def test_only_the_clusters_joined_last_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "MOST", 3)
    known, corners = Clusters(), np.eye(5, dtype=np.float32)
    first = [known.place(Correction(f"x{number}", None, corner)) for number, corner in enumerate(corners)]
    assert len(set(first)) == 5
    assert known.place(Correction("again", None, corners[4])) == first[4]
    assert known.place(Correction("late", None, corners[0])) not in first, "its cluster was joined longer ago than three others"
    resumed = Clusters.of(known.clusters.values())
    assert resumed.place(Correction("after", None, corners[4])) == first[4]


def test_half_of_the_right_answer_and_half_of_the_question_is_not_enough_alone() -> None:
    same, other = unit(1, 0), unit(0, 1)
    assert float(vector_of(same, same) @ vector_of(same, other)) < JOIN
    assert float(vector_of(same, same) @ vector_of(other, same)) < JOIN
    assert float(vector_of(same, same) @ vector_of(same, same)) == pytest.approx(1.0)


def test_a_name_says_what_instead_of_what_and_about_which_questions() -> None:
    inputs = ["how long can I return a laptop", "return of a laptop", "laptop return time"]
    terms = characteristic(inputs, frequencies([*inputs, "how long is the queue", "time of day"]), 5)
    assert terms[:2] == ["laptop", "return"]
    assert name(None, [("14 days", "30 days")] * 2 + [("two weeks", "30 days")], terms[:2]) == "«14 days» → «30 days» (laptop, return)"
    assert name(None, [("a", "b"), ("c", "d"), ("e", "f")], terms[:2]) == "laptop, return"
    assert name(("lost", "stolen"), [], []) == "lost → stolen"
    assert name(None, [], []) != ""
    assert commonest([]) == ("", "")


def test_a_word_of_one_question_alone_or_a_placeholder_is_no_term() -> None:
    inputs = ["<EMAIL_1> wants a refund", "<EMAIL_1> asks about the refund of Kowalski"]
    assert characteristic(inputs, frequencies(inputs), 2) == ["refund"]
