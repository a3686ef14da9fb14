"""The rule of near-duplicates as the settings ask for it, and its two legs over all pairs of a few texts.

Belongs here: similarity.py. Not here: candidates among many (test_sketches.py), what is stored (test_clusters.py).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from learning_pipelines.encoder import PACKAGED
from learning_pipelines.examples.duplicates import LISTED_CLUSTER
from learning_pipelines.examples.similarity import DuplicateRule, links_among, rule_of, unit
from learning_pipelines.settings import Settings
from learning_pipelines_tests.examples.curated import WordEncoder, alike_by_definition
from learning_pipelines_tests.examples.planted import planted


def test_the_settings_make_the_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rule_of(Settings(home=tmp_path)) == DuplicateRule(0.8, 0.95, PACKAGED)
    monkeypatch.setenv("LEARNING_DUPLICATE_COSINE", "off")
    assert rule_of(Settings(home=tmp_path)).cosine is None
    monkeypatch.setenv("LEARNING_DUPLICATE_COSINE", "0.9")
    assert rule_of(Settings(home=tmp_path, embedding_model=str(tmp_path))) == DuplicateRule(0.8, 0.9, str(tmp_path))


@pytest.mark.parametrize(("name", "value"), [("JACCARD", "0.5"), ("JACCARD", "1.1"), ("COSINE", "0"), ("COSINE", "never")])
def test_thresholds_that_cannot_be_searched_by_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"LEARNING_DUPLICATE_{name}", value)
    with pytest.raises(ValidationError, match=f"(?i)duplicate_{name}"):
        Settings(home=tmp_path)


def test_another_threshold_or_model_is_another_rule() -> None:
    rules = [DuplicateRule(), DuplicateRule(0.9), DuplicateRule(cosine=0.9), DuplicateRule(cosine=None), DuplicateRule(model="other")]
    assert len({rule.name for rule in rules}) == len(rules)


def test_among_a_few_texts_both_legs_find_what_comparing_all_pairs_finds() -> None:
    texts = {f"x{number:03}": text for number, text in enumerate(planted(80, 3, names=100).texts)}
    texts |= {f"y{name}": " ".join(sorted(text.split())) for name, text in list(texts.items())[::7]}
    vectors = dict(zip(texts, WordEncoder().encode(list(texts.values())), strict=True))
    found = links_among(texts, vectors, DuplicateRule())
    assert {(one, two) for one, two, _ in found.links} == alike_by_definition(texts, WordEncoder())


def test_members_of_a_family_are_not_listed_by_their_vectors_either() -> None:
    texts = {f"{number:03}": "Where is my parcel?" for number in range(LISTED_CLUSTER + 1)} | {"far": "parcel my is where"}
    vectors = dict(zip(texts, WordEncoder().encode(list(texts.values())), strict=True))
    found = links_among(texts, vectors, DuplicateRule())
    assert [len(family) for family in found.families] == [LISTED_CLUSTER + 1]
    assert {two for _, two, _ in found.links} == {"far"}


def test_vectors_are_compared_as_they_are_stored() -> None:
    vectors = np.random.default_rng(1).standard_normal((50, 384)).astype(np.float32)
    stored = unit(vectors)
    assert np.array_equal(unit(vectors.astype(np.float16).astype(np.float32)), stored)
    assert np.allclose(np.linalg.norm(stored, axis=1), 1, atol=1e-6)
