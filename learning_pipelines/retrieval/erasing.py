"""Index versions without an erased person: query expansions lose the words that nobody else says; everything else of an index holds numbers.

Belongs here: which versions hold such words, what takes their place. Not here: SQL (storage/), what merely saw the person (feedback/erasure/retraining.py).

An encoder, an adapter, a re-ranker and the evidence of chunk edits are weights and counts, chunks are texts of documents. An expansion names words of
questions: those that neither another person's question nor a document holds are taken out, which needs no approval. A word that stands beside one of them is
left with what others said of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.experiments import canary
from learning_pipelines.feedback.erasure.words import Words
from learning_pipelines.prompts.erasing import ERASURE, WHY, reject_proposals
from learning_pipelines.retrieval import artifacts
from learning_pipelines.retrieval.expansion import Expansion
from learning_pipelines.retrieval.index import KINDS, IndexConfig
from learning_pipelines.settings import Settings
from learning_pipelines.storage import audit, indexes
from learning_pipelines.storage import erasure_versions as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.erasure_versions import LearntVersion
from learning_pipelines.storage.prompts import lock_agent
from learning_pipelines.storage.tenants import AgentRef


@dataclass
class Done:
    """`buried`: (number, successor) of tombstones, 0 where the base index is in their place; `files`: artifacts that may be nobody's any more;
    `copies`: hashes of those whose copies on this machine go."""

    buried: list[tuple[int, int]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)


def erase_indexes(connection: Connection, agent: AgentRef, settings: Settings, words: Words) -> Done:
    """Takes the person's words out of the agent's index versions. Part of the caller's transaction; what they asked is there still."""
    done = Done()
    known = storage.indexes(connection, agent)
    if not any(one.config.get("expansion") or words.holds(one.config) for one in known):
        return done
    lock_agent(connection, agent)
    own, others = storage.questions(connection, agent)
    places = dict[int, int]()
    for one in known:
        config = IndexConfig.from_json(one.config)
        left, gone = _without(connection, agent, settings, config, own, others)
        if not gone and not words.holds(one.config):
            continue
        number = _add(connection, agent, one, replace(left, notes=words.taken_from(dict(left.notes)))) if left is not None else _earlier(one, places)
        places[one.number] = number
        _bury(connection, agent, one, number)
        done.buried.append((one.number, number))
        if config.expansion is not None and gone:
            done.files.append(config.expansion.path)
            done.copies.append(config.expansion.sha256)
    return done


def own_terms(expansion: Expansion, own: Sequence[str], others: Sequence[str]) -> set[str]:
    """Terms of the expansion that the person's questions hold and nobody else's."""
    said = {term for text in own for term in expansion.analyzer.terms(text)}
    named = {*expansion.associations, *(other for found in expansion.associations.values() for other, _ in found)} & said
    if named:
        named -= {term for text in others for term in expansion.analyzer.terms(text)}
    return named


def without_terms(expansion: Expansion, terms: set[str]) -> Expansion:
    """The expansion without these terms on either side."""
    left = {
        term: tuple((other, weight) for other, weight in found if other not in terms) for term, found in expansion.associations.items() if term not in terms
    }
    return replace(expansion, associations={term: found for term, found in left.items() if found})


def _without(
    connection: Connection, agent: AgentRef, settings: Settings, config: IndexConfig, own: Sequence[str], others: Sequence[str]
) -> tuple[IndexConfig | None, bool]:
    """The configuration without the person's terms (None where it cannot be made), and whether that is another one."""
    if config.expansion is None or not own:
        return config, False
    try:
        expansion = Expansion.load(artifacts.fetch(settings, config.expansion))
    except Unavailable:
        raise  # a store that is away now says nothing about the expansion: the erasure is tried again
    except LearningError:
        return None, True  # it can be neither read nor served: what it holds goes with it
    terms = own_terms(expansion, own, others)
    terms -= storage.terms_of_documents(connection, agent, sorted(terms)) if terms else set()
    if not terms:
        return config, False
    left = without_terms(expansion, terms)
    if not left.associations:
        return replace(config, expansion=None), True
    with tempfile.TemporaryDirectory(prefix="erasing-") as place:
        path = Path(place) / Path(config.expansion.path).name
        left.write(path)
        return replace(config, expansion=artifacts.put_file(settings, agent, path)), True


def _add(connection: Connection, agent: AgentRef, one: LearntVersion, config: IndexConfig) -> int:
    return indexes.add(
        connection, agent, encoder_id=storage.encoder_of(connection, agent, one.number), kind=storage.index_kind(connection, agent, one.number),
        parent=one.number, config=config.as_json(), metrics={**one.metrics, "successor_of": one.number}, training_run_id=one.training_run_id,
    )  # fmt: skip


def _earlier(one: LearntVersion, places: dict[int, int]) -> int:
    parent = one.parent or 0
    return places.get(parent, parent)


def _bury(connection: Connection, agent: AgentRef, one: LearntVersion, successor: int) -> None:
    storage.bury_index(connection, agent, one, successor)
    reject_proposals(connection, agent, KINDS, None, one.number)
    canary.end_those_of(connection, agent, "index", one.number, ERASURE, f"Version {one.number} was taken out of service: {WHY}")
    audit.record(
        connection, agent.organization_id, actor=ERASURE.actor, action="erased", kind="index_version", subject=f"{agent.agent}/{one.number}",
        fields=["config"], before=one.number, after=successor,
    )  # fmt: skip
