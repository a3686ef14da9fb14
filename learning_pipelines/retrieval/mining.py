"""Candidates for hard negatives of judged questions: from the index that serves, both legs where they are few, its vectors where they are many.

Belongs here: reading what mining needs and choosing per question. Not here: blocks and rules (negatives.py), what becomes a pair (pairs.py), SQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.retrieval.negatives import SAME, Alike, Nearest, allowed, mine
from learning_pipelines.retrieval.ranking import Found, mixed, ordered
from learning_pipelines.retrieval.searcher import Searcher
from learning_pipelines.retrieval.task import JudgedQuery
from learning_pipelines.storage import training_pairs as storage
from learning_pipelines.storage.database import Connection, snapshot
from learning_pipelines.storage.indexes import IndexVersion
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.training_pairs import Due

Floats = npt.NDArray[np.float32]
Vectors = Mapping[str, Floats]

HELPFUL = 0.35
"""Gain from which a passage is a positive: a praised answer's source (four stars: .375) and two of five stars are, one star is not, and neither is
what most people found unhelpful. Between this and 0 a passage is neither positive nor negative."""

KEPT = 15
"""Candidates kept per question: some repeat a text."""

SEARCHED = 2_000
"""Up to so many questions are searched one by one, by words and vectors, as the serving index finds them; more by vectors alone, in blocks."""


@dataclass(frozen=True, slots=True)
class Mined:
    """Of one question: (chunk id, similarity) of candidates, hardest first; chunks that say the same as one of its positives."""

    candidates: Sequence[tuple[str, float]]
    same: frozenset[str]


@dataclass(frozen=True, slots=True)
class Serving:
    """The index that serves, ready to be asked."""

    version: IndexVersion
    loaded: Loaded


def helpful(one: JudgedQuery) -> list[str]:
    """The chunks that are positives of a question."""
    return [chunk for chunk, gain in one.chunks.items() if gain >= HELPFUL]


def mined(connection: Connection, agent: AgentRef, taught: Sequence[JudgedQuery], due: Mapping[str, Due], serving: Serving | None) -> dict[str, Mined]:
    """What was mined for questions that have a positive; without those that could not be compared, for want of vectors.

    `serving` None: by the stored vectors of questions and the chunks' vectors of the same encoder, exactly.
    """
    if serving is not None and len(taught) <= SEARCHED:
        return _searched(connection, agent, taught, due, serving)
    if serving is not None:
        asked = serving.loaded.questions(serving.version, [one.text for one in taught])
        return _compared(connection, agent, taught, due, {one.id: each.vector for one, each in zip(taught, asked, strict=True)}, serving.version.encoder.name)
    found: dict[str, Mined] = {}
    for encoder in sorted({name for one in taught if (name := due[one.id].encoder) is not None}):
        vectors = storage.vectors_of_questions(connection, agent, [one.id for one in taught], encoder)
        found |= _compared(connection, agent, taught, due, vectors, encoder)
    return found


def _searched(connection: Connection, agent: AgentRef, taught: Sequence[JudgedQuery], due: Mapping[str, Due], serving: Serving) -> dict[str, Mined]:
    version = serving.version
    questions = serving.loaded.questions(version, [one.text for one in taught]) if taught else []
    with snapshot(connection):
        searcher = Searcher(connection, agent.organization_id, agent.agent_id, version, serving.loaded)
        weight = IndexConfig.from_json(version.config).lexical_weight
        pairs = zip(taught, searcher.candidates(questions), strict=True)
        return {one.id: _ranked(connection, agent, one, due[one.id], found, weight, version) for one, found in pairs}


def _ranked(connection: Connection, agent: AgentRef, one: JudgedQuery, due: Due, found: Found, weight: float, version: IndexVersion) -> Mined:
    """By the scores that the index orders by. Where no positive is among the candidates, all of them score above it: none may serve."""
    scores, own = mixed(found, weight), set(helpful(one))
    positive = max((float(score) for name, score in zip(found.chunk_ids, scores, strict=True) if name in own), default=None)
    order = ordered(found.chunk_ids, scores)
    names, documents = [found.chunk_ids[place] for place in order], [found.document_ids[place] for place in order]
    in_order = [float(scores[place]) for place in order]
    kept = [] if positive is None else allowed(in_order, names, documents, positive=positive, relevant=due.relevant, alike=set(one.chunks))
    near = [names[place] for place in kept[: 2 * KEPT]]
    vectors = storage.vectors_of_chunks(connection, agent, version.encoder.id, [*one.chunks, *near])
    positives = [vectors[chunk] for chunk in own if chunk in vectors]
    same = frozenset(name for name in (*one.chunks, *near) if name in vectors and name not in own and _close(vectors[name], positives))
    return Mined([(names[place], in_order[place]) for place in kept[: 2 * KEPT] if names[place] not in same][:KEPT], same)


def _close(vector: Floats, positives: Sequence[Floats]) -> bool:
    return any(float(vector @ each) >= SAME * float(np.linalg.norm(vector) * np.linalg.norm(each)) for each in positives)


def _compared(
    connection: Connection, agent: AgentRef, taught: Sequence[JudgedQuery], due: Mapping[str, Due], vectors: Vectors, encoder: str
) -> dict[str, Mined]:
    """By vectors alone, against every chunk in blocks."""
    identity = storage.encoder_id(connection, agent, encoder)
    if identity is None:
        return {}
    wanted = {chunk for one in taught if one.id in vectors for chunk in helpful(one)}
    positives = storage.vectors_of_chunks(connection, agent, identity, sorted(wanted))
    mineable = [one for one in taught if one.id in vectors and any(chunk in positives for chunk in helpful(one))]
    if not mineable:
        return {}
    asked = np.stack([vectors[one.id] for one in mineable])
    order, names = list(positives), list[tuple[str, str]]()
    nearest, alike = mine(asked, np.stack([positives[chunk] for chunk in order]), storage.blocks(connection, agent, identity, names))
    return _chosen(mineable, asked, positives, order, names, nearest, alike, due)


def _chosen(
    mineable: Sequence[JudgedQuery], asked: Floats, positives: Vectors, order: list[str], names: list[tuple[str, str]], nearest: Nearest,
    alike: Alike, due: Mapping[str, Due],
) -> dict[str, Mined]:  # fmt: skip
    same: dict[str, set[str]] = {}
    for given, place in alike.pairs:
        same.setdefault(order[given], set()).add(names[place][0])
    chosen = {}
    for at, one in enumerate(mineable):
        own = [chunk for chunk in helpful(one) if chunk in positives]
        best = max(float(asked[at] @ positives[chunk]) for chunk in own)
        places = [int(place) for place in nearest.places[at] if place >= 0]
        scores = nearest.scores[at][: len(places)].tolist()
        says_it = frozenset().union(*(same.get(chunk, set()) for chunk in own)) - set(own)
        kept = allowed(
            scores, [names[place][0] for place in places], [names[place][1] for place in places], positive=best, relevant=due[one.id].relevant,
            alike=says_it | set(one.chunks),
        )  # fmt: skip
        chosen[one.id] = Mined([(names[places[entry]][0], scores[entry]) for entry in kept[:KEPT]], says_it)
    return chosen
