"""Merges and splits: planted ones are found and gain, chance is not; what an edit makes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from learning_pipelines.retrieval.analyzer import analyzer_for
from learning_pipelines.retrieval.bm25 import Bm25
from learning_pipelines.retrieval.chunk_edits import Known, edit, merges, splits
from learning_pipelines.retrieval.chunking import indexed, plain
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.learning.editing import EditLearner
from learning_pipelines.retrieval.task import JudgedQuery, Passages, Training
from learning_pipelines.storage.chunk_edits import BaseChunk
from learning_pipelines_tests.retrieval.fake_encoders import WordEncoder
from learning_pipelines_tests.retrieval.learning.planted import Reports

AGENT = UUID(int=3)
ENCODER = WordEncoder(dimensions=256)
FILLER = [f"{a}{b}" for a in ("ledg", "book", "form", "mont", "line", "step", "numb", "note") for b in ("er", "ing", "al", "h", "ory")]


def said(rng: random.Random, *words: str, length: int = 45) -> str:
    """A paragraph that holds the words."""
    own = [*words, *rng.choices(FILLER, k=length - len(words))]
    rng.shuffle(own)
    return " ".join(own)


def part(document: str, position: int, text: str, heading: str | None = None) -> BaseChunk:
    return BaseChunk(f"{document}{position}", document, document.encode(), position, heading, text)


def question(name: str, text: str, document: str, *chunks: str) -> JudgedQuery:
    return JudgedQuery(name, text, {document: 1.0}, dict.fromkeys(chunks, 1.0), f"k{document}")


def training(folder: Path, chunks: Sequence[BaseChunk], train: Sequence[JudgedQuery], validation: Sequence[JudgedQuery]) -> Training:
    texts = [indexed(chunk.heading, chunk.text) for chunk in chunks]
    passages = Passages(tuple(chunk.id for chunk in chunks), tuple(chunk.document_id for chunk in chunks), texts, ENCODER.encode(texts))
    asked = [ENCODER.encode([query.text for query in queries] or [""])[: len(queries)] for queries in (train, validation)]
    lexical, serving = Bm25.build(texts, analyzer_for("english")), IndexConfig(lexical_weight=1.0)
    return Training(passages, lexical, tuple(train), tuple(validation), asked[0], asked[1], {}, ENCODER, serving, folder, 0)


def known(chunks: Sequence[BaseChunk]) -> Known:
    return Known.of(chunks, ENCODER.encode([indexed(chunk.heading, chunk.text) for chunk in chunks]))


def parted(folder: Path, *, shuffled: bool = False, seed: int = 0) -> Training:
    """Documents whose two chunks say one thing each of what is asked for together; beside each, documents that say one of both twice. Questions of
    validation are about other documents than those of train."""
    rng = random.Random(seed)
    chunks, queries = [], {"train": [], "validation": []}  # type: ignore[var-annotated]
    for number in range(24):
        left, right = f"left{number}", f"right{number}"
        chunks += [part(f"d{number}-", 0, said(rng, left)), part(f"d{number}-", 1, said(rng, right))]
        chunks += [part(f"x{number}{side}-", at, said(rng, word, word)) for side, word in (("l", left), ("r", right)) for at in range(2)]
        for at in range(4):
            helped = [f"d{number}-0", f"d{number}-1"] if not shuffled else rng.sample([chunk.id for chunk in chunks], 2)
            asked = question(f"q{number}-{at}", f"{left} {right} {rng.choice(FILLER)}", f"d{number}-", *helped)
            queries["train" if number < 14 else "validation"].append(asked)
    return training(folder, chunks, queries["train"], queries["validation"])


def mixed_up(folder: Path, *, shuffled: bool = False, seed: int = 0) -> Training:
    """Long chunks of two topics, each asked for alone; beside each, short ones that say the word and are long enough to be in the way."""
    rng = random.Random(seed)
    chunks, queries = [], {"train": [], "validation": []}  # type: ignore[var-annotated]
    for number in range(24):
        topics = [[f"{side}{number}{letter}" for letter in "abcdef"] for side in ("one", "two")]
        text = "\n\n".join(said(rng, *words, *words, length=70) for words in topics)
        chunks.append(part(f"d{number}-", 0, text))
        chunks += [part(f"x{number}{at}-", 0, said(rng, *topics[at][:3], length=30)) for at in range(2)]
        for at in range(8):
            words = rng.sample(topics[at % 2][:3] if number >= 14 else topics[at % 2], 3)
            helped = f"d{number}-0" if not shuffled else rng.choice(chunks).id
            queries["train" if number < 14 else "validation"].append(question(f"q{number}-{at}", " ".join(words), f"d{number}-", helped))
    return training(folder, chunks, queries["train"], queries["validation"])


def chunks_of(training: Training) -> tuple[BaseChunk, ...]:
    """As the database would give them; without headings a text is indexed as it stands."""
    return tuple(
        BaseChunk(name, document, document.encode(), int(name.rsplit("-", 1)[1]), None, text)
        for name, document, text in zip(training.passages.ids, training.passages.document_ids, training.passages.texts, strict=True)
    )


def test_neighbours_that_help_together_are_merged_and_that_gains(tmp_path: Path) -> None:
    world = parted(tmp_path)
    learnt = EditLearner(chunks_of(world)).learn(world, Reports())
    assert learnt is not None and learnt.name == "merges" and learnt.numbers["gain"] > 0.05
    merged = {operation.replaced: operation.evidence["support"] for operation in learnt.operations}
    assert {pair for pair, support in merged.items() if support} == {(f"d{number}-0", f"d{number}-1") for number in range(14)}
    assert sum(merged.get((f"d{number}-0", f"d{number}-1"), -1) == 0 for number in range(14, 24)) >= 8  # nobody asked about these yet


def test_long_chunks_of_two_topics_are_split_between_them_and_that_gains(tmp_path: Path) -> None:
    world = mixed_up(tmp_path)
    learnt = EditLearner(chunks_of(world)).learn(world, Reports())
    assert learnt is not None and learnt.name == "splits" and learnt.numbers["gain"] > 0.05
    assert {operation.replaced[0] for operation in learnt.operations} >= {f"d{number}-0" for number in range(20)}
    for operation in learnt.operations:
        assert [("one" in chunk.text, "two" in chunk.text) for chunk in operation.made] == [(True, False), (False, True)]


@pytest.mark.slow
def test_feedback_by_chance_merges_nothing_and_what_it_splits_rarely_reaches_the_gate(tmp_path: Path) -> None:
    """Of ten worlds each in which what helped was drawn by chance."""
    assert not any(merges(known(chunks_of(world)), world.train) for world in (parted(tmp_path, shuffled=True, seed=seed) for seed in range(10)))
    worlds = [mixed_up(tmp_path, shuffled=True, seed=seed) for seed in range(10)]
    found = [splits(known(chunks_of(world)), world.train, world.train_vectors, ENCODER.encode) for world in worlds]
    by_questions = [operation for each in found for operation in each if operation.evidence["fewer_on_one_side"] >= 2]
    assert len(by_questions) <= 24  # of 240 long chunks


def test_without_feedback_nothing_is_merged_and_it_is_said(tmp_path: Path) -> None:
    world, told = parted(tmp_path), Reports()
    alone = training(tmp_path, chunks_of(world), (), ())
    assert EditLearner(chunks_of(world)).learn(alone, told) is None
    assert "no chunks" in told[-1][1] or "no gain" in told[-1][1]


def test_chunks_that_do_not_follow_each_other_stay_apart() -> None:
    rng = random.Random(0)
    chunks = [part("a", 0, said(rng)), part("a", 2, said(rng)), part("b", 0, said(rng))]
    queries = [question(f"q{number}", "x", "a", "a0", "a2", "b0") for number in range(9)]
    assert merges(known(chunks), queries) == []


def test_chunks_that_both_help_but_seldom_together_stay_apart() -> None:
    rng = random.Random(0)
    chunks = [part("a", 0, said(rng)), part("a", 1, said(rng))]
    queries = [question(f"q{number}", "x", "a", *(["a0", "a1"] if number < 3 else [f"a{number % 2}"])) for number in range(12)]
    assert merges(known(chunks), queries) == []


def test_two_that_would_be_longer_than_two_chunks_stay_apart() -> None:
    rng = random.Random(0)
    queries = [question(f"q{number}", "x", "a", "a0", "a1") for number in range(9)]
    assert merges(known([part("a", 0, said(rng, length=300)), part("a", 1, said(rng, length=300))]), queries) == []


def test_every_chunk_is_in_one_merge_at_most() -> None:
    rng = random.Random(0)
    chunks = [part("a", at, said(rng, length=30)) for at in range(3)]
    queries = [question(f"q{number}", "x", "a", "a0", "a1", "a2") for number in range(9)]
    assert [operation.replaced for operation in merges(known(chunks), queries)] == [("a0", "a1")]


def test_a_merged_chunk_keeps_the_headings_of_both() -> None:
    chunks = [part("a", 0, "First part.", "Leave > Holiday"), part("a", 1, "Second part.", "Leave > Sickness")]
    [operation] = merges(known(chunks), [question(f"q{number}", "x", "a", "a0", "a1") for number in range(9)])
    [made] = operation.made
    assert (made.heading, made.text, made.position) == ("Leave", "Holiday\n\nFirst part.\n\nSickness\n\nSecond part.", 0)


def test_a_chunk_without_a_joint_is_not_split() -> None:
    rng = random.Random(0)
    chunks = [part(f"s{number}", 0, said(rng)) for number in range(9)] + [part("a", 0, said(rng, "one", "two", length=180))]
    queries = [question(f"q{number}", ("one", "two")[number % 2], "a", "a0") for number in range(12)]
    assert splits(known(chunks), queries, ENCODER.encode([query.text for query in queries]), ENCODER.encode) == []


def test_a_split_leaves_no_word_out() -> None:
    rng = random.Random(0)
    text = f"## One\n\n{said(rng, 'onea', 'oneb', length=60)}\n\n## Two\n\n| a | b |\n|---|---|\n| twoa | {said(rng, 'twob', length=60)} |"
    chunks = [part(f"s{number}", 0, said(rng)) for number in range(9)] + [part("a", 0, text, "Title")]
    queries = [question(f"q{number}", ("onea oneb", "twoa twob")[number % 2], "a", "a0") for number in range(12)]
    [operation] = splits(known(chunks), queries, ENCODER.encode([query.text for query in queries]), ENCODER.encode)
    whole = " ".join(f"{chunk.heading} {plain(chunk.text)}" for chunk in operation.made)
    assert set(plain(text).replace("|", " ").split()) <= set(whole.replace("|", " ").split())
    assert [chunk.heading for chunk in operation.made] == ["Title > One", "Title > Two"]


def test_the_same_operations_are_the_same_edit_with_chunks_of_its_own(tmp_path: Path) -> None:
    world = parted(tmp_path)
    found = merges(known(chunks_of(world)), world.train)
    one, other, less = edit(AGENT, found), edit(AGENT, found), edit(AGENT, found[1:])
    assert one == other and one[0] != less[0] != edit(UUID(int=4), found)[0]
    ids = [chunk.id for _, operations in (one, less) for operation in operations for chunk in operation.made]
    assert len(set(ids)) == len(ids) == 2 * len(found) - 1 and not set(ids) & set(world.passages.ids)


def test_equal_texts_of_one_edit_are_different_chunks() -> None:
    chunks = [part("a", at, "The same words again.") for at in range(4)]
    queries = [question(f"q{number}", "x", "a", "a0", "a1") for number in range(9)] + [question(f"r{number}", "x", "a", "a2", "a3") for number in range(9)]
    _, operations = edit(AGENT, merges(known(chunks), queries))
    assert len({chunk.id for operation in operations for chunk in operation.made}) == 2


def test_the_cohesion_of_parts_is_that_of_neighbours(tmp_path: Path) -> None:
    """Without any question, what is unlike is split only where there are enough neighbours to tell what unlike means."""
    rng = random.Random(1)
    alike = [chunk for number in range(30) for chunk in (part(f"n{number}", 0, "about taxes and duties"), part(f"n{number}", 1, "about taxes and customs"))]
    unlike = part("a", 0, "\n\n".join(said(rng, *[f"{side}{at}" for at in range(60)], length=60) for side in ("one", "two")))
    none = np.zeros((0, ENCODER.dimensions), dtype=np.float32)
    assert [operation.replaced for operation in splits(known([*alike, unlike]), (), none, ENCODER.encode)] == [("a0",)]
    assert splits(known([*alike[:8], unlike]), (), none, ENCODER.encode) == []
