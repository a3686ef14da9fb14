"""Keeping an agent's preference pairs in step with its examples and their ratings.

Belongs here: the order of the steps of one refresh. Not here: what makes a pair (preferences.py), SQL (storage/preferences.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from learning_pipelines.examples.preferences import SIMILARITY, Contested, Pair, Rated, Side, comparable, pairs_of_example, pairs_of_ratings, same_input, settle
from learning_pipelines.storage import preferences as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

PORTION = 20_000
"""New pairs that are held at a time."""


def refresh_pairs(connection: Connection, agent: AgentRef) -> None:
    """Brings the pairs up to date with the staged members of the version being made. Part of the caller's transaction; again changes nothing.

    Corrections and choices cost what is new; ratings cost the inputs that were asked more than once.
    """
    _add(connection, agent)
    _rate(connection, agent)
    storage.follow_members(connection, agent)
    storage.set_states(connection, agent, settle(Contested(*row) for row in storage.contested(connection, agent)))


def _add(connection: Connection, agent: AgentRef) -> None:
    found: list[storage.StoredPair] = []
    with closing(storage.new_examples(connection, agent)) as new:
        for example_id, content_hash, split, weight, content in new:
            found += [_stored(pair, split) for pair in pairs_of_example(Side(example_id, bytes(content_hash)), content, weight)]
            if len(found) >= PORTION:
                storage.add_pairs(connection, agent, found)
                found = []
        if found:
            storage.add_pairs(connection, agent, found)


def _rate(connection: Connection, agent: AgentRef) -> None:
    rows = storage.rated_answers(connection, agent, SIMILARITY)
    made = [_stored(pair, group[0].split) for group in _groups(rows) for pair in pairs_of_ratings(group)]
    storage.replace_ratings(connection, agent, made, [row[0] for row in rows if not row[7]])


def _groups(rows: list[tuple[Any, ...]]) -> Iterator[list[Rated]]:
    """Answers to the same input together, one split at a time; near-identical inputs count as the same."""
    answers = {row[0]: Rated(Side(row[0], bytes(row[1])), row[2], row[3], row[4], row[5], row[6]) for row in rows if row[5] is not None}
    root = {name: name for name in answers}

    def find(name: str) -> str:
        while root[name] != name:
            root[name] = root[root[name]]
            name = root[name]
        return name

    first: dict[str, str] = {}
    for name, *_, others in (row for row in rows if row[0] in answers):
        root[find(name)] = find(first.setdefault(same_input(answers[name].prompt), name))
        for other in others:
            if other in answers and comparable(answers[name].prompt, answers[other].prompt):
                root[find(name)] = find(other)
    groups: defaultdict[tuple[str, str], list[Rated]] = defaultdict(list)
    for name, answer in answers.items():
        groups[find(name), answer.split].append(answer)
    yield from (group for group in groups.values() if len(group) > 1)


def _stored(pair: Pair, split: str) -> storage.StoredPair:
    return (
        pair.id, pair.source, pair.chosen.example_id, pair.chosen.content, pair.rejected.example_id, pair.rejected.content,
        pair.prompt_hash, pair.chosen_hash, pair.rejected_hash, pair.strength, pair.weight, split,
    )  # fmt: skip
