"""What is known of an agent's examples beside each other, kept up to date: near-duplicates, contradictions, rare inputs.

Belongs here: the order of the steps. Not here: how each decides (clusters.py, conflicts.py), SQL (storage/), quality of one example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from learning_pipelines.encoder import Encoder
from learning_pipelines.examples.clusters import Clustered, OpenEncoder, refresh_clusters
from learning_pipelines.examples.conflicts import ANSWERS, UNRELATED, contradiction, side_of, undecided
from learning_pipelines.examples.similarity import DuplicateRule
from learning_pipelines.storage import curation as storage
from learning_pipelines.storage import duplicates
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.tenants import AgentRef

PORTION = 5_000
"""Pairs compared in one go."""

OUTPUTS_PER_INPUT = 50
"""So many different outputs to one input are compared in clusters whose pairs are not listed."""

RARE_SHARE, RARE_FEWEST = 0.05, 50
"""At most this share of an agent's inputs is rare, and none as long as there are fewer than so many."""


@dataclass(frozen=True)
class Curated:
    """What one refresh did: the search for near-duplicates, pairs compared, conflicts opened and resolved, rare inputs, examples marked or unmarked."""

    clustered: Clustered
    compared: int
    opened: int
    resolved: int
    rare: int
    remarked: int


def refresh_curation(connection: Connection, agent: AgentRef, rule: DuplicateRule, open_encoder: OpenEncoder | None = None) -> Curated:
    """Near-duplicates, then contradictions among them, then rare inputs. Running it again changes nothing; cost follows what is new or changed.

    The encoder is opened only for new inputs, and for longer answers that texts alone do not tell apart. ValueError as `refresh_clusters`.
    """
    clustered = refresh_clusters(connection, agent, rule, open_encoder)
    compared = 0
    with database_errors(f"comparing examples of {agent.partition}"):
        with connection.transaction():
            duplicates.lock_duplicates(connection, agent)
            storage.link_equal_inputs(connection, agent, OUTPUTS_PER_INPUT)
        while pairs := storage.to_compare(connection, agent, PORTION):
            encoder = open_encoder if rule.cosine is not None else None
            storage.store_comparisons(connection, agent, _compared(pairs, encoder))
            compared += len(pairs)
        with connection.transaction():
            duplicates.lock_duplicates(connection, agent)
            opened, resolved = storage.settle_conflicts(connection, agent)
            rare, remarked = storage.mark_rare(connection, agent, share=RARE_SHARE, fewest=RARE_FEWEST)
    return Curated(clustered, compared, opened, resolved, rare, remarked)


def _compared(pairs: Sequence[dict[str, Any]], open_encoder: OpenEncoder | None) -> list[tuple[str, str, bytes, str | None]]:
    sides = [(side_of(pair["first"]), side_of(pair["second"]), pair["labels"] or ()) for pair in pairs]
    found = [contradiction(one, two, labels=labels) for one, two, labels in sides]
    open_ones = [place for place, (one, two, labels) in enumerate(sides) if found[place] is None and undecided(one, two, labels)]
    if open_encoder is not None and open_ones:
        answers = [(str(sides[place][0].expected), str(sides[place][1].expected)) for place in open_ones]
        for place, cosine in zip(open_ones, answer_cosines(answers, open_encoder()), strict=True):
            found[place] = ANSWERS if cosine < UNRELATED else None
    return [(pair["first_id"], pair["second_id"], bytes(pair["compared"]), reason) for pair, reason in zip(pairs, found, strict=True)]


def answer_cosines(answers: Sequence[tuple[str, str]], encoder: Encoder) -> list[float]:
    """The cosine of each pair of answers, every text encoded once."""
    texts = list(dict.fromkeys(text for pair in answers for text in pair))
    vectors = encoder.encode(texts)
    place = {text: number for number, text in enumerate(texts)}
    return [float(np.dot(vectors[place[one]], vectors[place[two]])) for one, two in answers]
