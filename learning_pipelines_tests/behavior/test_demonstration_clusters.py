"""Decisions about demonstrations as plain values: what ties them, what their clusters are called, what changes.

Belongs here: `decided` on rows that are given. Not here: stored demonstrations (test_demonstration_splits.py), how components are dealt (examples/).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from learning_pipelines.behavior.demonstration_splits import Decision, decided
from learning_pipelines.examples.duplicates import DuplicateLinks
from learning_pipelines.storage.behavior_demonstrations import Placed

NOTHING = DuplicateLinks([], [])
SHARES = (0.5, 0.2, 0.3)


def one(name: str, **more: Any) -> Placed:
    given: dict[str, Any] = {
        "task": name, "given": "", "stratum": "", "split": None, "cluster": "", "replaces": None, "task_id": None, "left_out": False
    }  # fmt: skip
    return Placed(**{"id": name, **given, **more})


def rows(everyone: list[Placed], near: DuplicateLinks = NOTHING) -> dict[str, Decision]:
    return {row[0]: row for row in decided(everyone, near, SHARES).rows}


def many(count: int, **more: Any) -> list[Placed]:
    return [one(f"d{number:02}", **more) for number in range(count)]


def test_newcomers_are_dealt_by_the_shares_and_each_is_a_cluster_of_its_own() -> None:
    found = decided(many(20), NOTHING, SHARES)
    assert Counter(split for _, split, _, _ in found.rows) == {"train": 10, "test": 6, "validation": 4}
    assert {(name, reason) for _, _, reason, name in found.rows} == {(f"d{number:02}", "") for number in range(20)}
    assert (found.clusters, found.numbers.sizes) == (20, {"train": 10, "validation": 4, "test": 6})


def test_every_kind_of_task_has_its_share_of_each_split() -> None:
    found = decided([one(f"{kind}{number}", stratum=kind) for kind in ("mail", "call") for number in range(10)], NOTHING, SHARES)
    assert Counter((name[:4], split) for name, split, _, _ in found.rows) == {
        (kind, split): count for kind in ("mail", "call") for split, count in (("train", 5), ("validation", 2), ("test", 3))
    }  # fmt: skip


def test_who_was_decided_on_and_keeps_its_name_is_no_change() -> None:
    settled = [one("old", split="test", cluster="old"), one("gone", left_out=True)]
    assert rows(settled) == {}
    assert rows([*settled, one("like")], DuplicateLinks([("like", "old", 0.9)], [])) == {"like": ("like", "test", "", "old")}


def test_near_duplicates_families_task_ids_versions_and_clusters_tie_and_a_missing_predecessor_does_not() -> None:
    for tied, near in (
        ({}, DuplicateLinks([("new", "old", 0.9)], [])),
        ({}, DuplicateLinks([], [("new", "old")])),
        ({"task_id": "t"}, NOTHING),
        ({"replaces": "old"}, NOTHING),
        ({"cluster": "of both"}, NOTHING),
    ):
        settled = one("old", split="test", cluster=tied.get("cluster", "old"), task_id=tied.get("task_id"))
        found = rows([settled, one("new", **tied)], near)
        assert found["new"][1:] == ("test", "", settled.cluster)
    alone = rows([one("old", split="test", cluster="old", task_id=""), one("new", replaces="unknown", task_id="")])
    assert alone["new"][1:] == ("train", "", "new")


def test_a_newcomer_that_joins_two_sides_is_left_out_without_a_name() -> None:
    settled = [one("left", split="train", cluster="left"), one("right", split="test", cluster="right")]
    near = DuplicateLinks([("left", "new", 0.9), ("new", "right", 0.9)], [])
    assert rows([*settled, one("new")], near) == {"new": ("new", None, "joins two splits", "")}


def test_who_turns_out_to_stand_beside_another_side_is_given_up_and_named() -> None:
    settled = [one("left", split="train", cluster="left"), one("right", split="test", cluster="right")]
    found = decided(settled, DuplicateLinks([("left", "right", 0.9)], []), SHARES)
    assert found.rows == [("right", None, "linked late to another split", "")] and found.clusters == 1


def test_clusters_that_grow_together_take_one_of_their_names_and_a_newcomer_never_gives_it() -> None:
    settled = [one("a", split="train", cluster="first"), one("b", split="train", cluster="second")]
    near = DuplicateLinks([("a", "n1", 0.9), ("b", "n2", 0.9), ("n1", "n2", 0.9)], [])
    found = rows([one("n1"), *settled, one("n2")], near)
    names = {found[name][3] for name in ("n1", "n2")}
    assert len(names) == 1 and names < {"first", "second"}
    (renamed,) = set(found) - {"n1", "n2"}
    assert found[renamed] == (renamed, "train", "", names.pop())
    assert decided([one("n1"), *settled, one("n2")], near, SHARES).clusters == 1


def test_what_was_left_out_before_ties_nothing_and_has_no_name() -> None:
    everyone = [one("old", split="test", cluster="old"), one("gone", left_out=True, task_id="t"), one("new", task_id="t")]
    found = rows(everyone, DuplicateLinks([("gone", "old", 0.9)], []))
    assert found == {"new": ("new", "train", "", "new")}
