"""An agent's corrections kept up to date: new ones judged, clustered and counted, what was learnt looked at again.

Belongs here: the loop from new corrections to findings and clusters, one transaction per portion. Not here: the judgement (significance.py), placing
(clusters.py), SQL (storage/corrections.py).

The cost follows new corrections: three texts of each are encoded (none for pairs of labels), and names are made anew for clusters that changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from learning_pipelines.behavior.corrections import naming, recurrence
from learning_pipelines.behavior.corrections.clusters import MOST, Cluster, Clusters, Correction, vector_of
from learning_pipelines.behavior.corrections.facts import anchors, facts_of
from learning_pipelines.behavior.corrections.significance import confused, significance
from learning_pipelines.encoder import Encoder
from learning_pipelines.storage import audit, learnt_corrections, tenants
from learning_pipelines.storage import corrections as storage
from learning_pipelines.storage.correction_rows import Finding, NewCorrection, StoredCluster
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.tenants import AgentRef

OpenEncoder = Callable[[], Encoder]
Vectors = dict[str, npt.NDArray[np.float32]]

PORTION = 2_000
"""Corrections per transaction."""
NAMED_BY, COMPARED_WITH = 50, 2_000
"""A cluster is named by so many of its newest corrections, against so many of the agent's."""
ENCODED_AGAIN = 20
"""With another encoder a cluster's vector is made of so many of its corrections."""


@dataclass
class Refreshed:
    """What one refresh did. `recurring`: clusters found to recur in it; `learnt`: clusters that became learnt, or open again."""

    corrections: int = 0
    opened: int = 0
    forgotten: int = 0
    dropped: int = 0
    learnt: int = 0
    recurring: tuple[str, ...] = ()


def refresh_corrections(connection: Connection, agent: AgentRef, open_encoder: OpenEncoder, *, portion: int = PORTION) -> Refreshed:
    """Takes up every correction that was not judged yet. Running it again changes nothing. The encoder is opened only where vectors are needed.

    `connection`: role learning_pipeline, autocommit.
    """
    done = Refreshed()
    labels = tenants.answers_of(connection, agent)[1]
    stale: set[str] = set()
    with database_errors(f"judging corrections of {agent.partition}"):
        while True:
            with connection.transaction():
                storage.lock(connection, agent)
                changed = storage.forget_changed(connection, agent)
                done.forgotten += len(changed)
                stale.update(changed)
                new = storage.unjudged(connection, agent, portion)
                if new:
                    stale |= _take_up(connection, agent, new, labels, open_encoder, done)
                    continue
                rename_clusters(connection, agent, sorted(stale))
                done.dropped = storage.drop_empty(connection, agent)
                done.learnt = len(learnt_corrections.note_learnt(connection, agent))
                done.recurring = tuple(_look_again(connection, agent))
                return done


def _take_up(
    connection: Connection, agent: AgentRef, new: Sequence[NewCorrection], labels: Sequence[str], open_encoder: OpenEncoder, done: Refreshed
) -> set[str]:
    free = [one for one in new if confused(one.original, one.corrected, labels) is None]
    encoder = open_encoder() if free else None
    if encoder is not None:
        _same_encoder(connection, agent, encoder)
    vectors = _vectors(encoder, [text for one in free for text in (one.original, one.corrected, one.input)])
    known = Clusters.of(Cluster(one.id, one.confusion, one.total, frozenset(one.anchors)) for one in storage.clusters(connection, agent, MOST))
    findings = [_judge(one, vectors, labels, known) for one in new]
    touched = [one for one in known.clusters.values() if one.id in known.touched]
    stored = [StoredCluster(one.id, one.confusion, one.total, tuple(one.anchors)) for one in touched]
    storage.store(connection, agent, encoder.name if encoder is not None else "", stored, findings)
    done.corrections += len(new)
    done.opened += known.opened
    return known.touched


def _judge(one: NewCorrection, vectors: Vectors, labels: Sequence[str], known: Clusters) -> Finding:
    confusion = confused(one.original, one.corrected, labels)
    if confusion is not None:
        edit = significance(one.original, one.corrected, labels=labels)
        cluster = known.place(Correction(one.example_id, confusion))
    else:
        edit = significance(one.original, one.corrected, float(vectors[one.original] @ vectors[one.corrected]))
        brought = anchors(facts_of(one.original), facts_of(one.corrected))
        cluster = known.place(Correction(one.example_id, None, vector_of(vectors[one.corrected], vectors[one.input]), brought))
    return Finding(one.example_id, one.content_hash, edit.score, tuple(sorted(edit.kinds)), edit.wrong, edit.right, cluster)


def _vectors(encoder: Encoder | None, texts: Sequence[str]) -> Vectors:
    wanted = list(dict.fromkeys(texts))
    return dict(zip(wanted, encoder.encode(wanted), strict=True)) if encoder is not None and wanted else {}


def _same_encoder(connection: Connection, agent: AgentRef, encoder: Encoder) -> None:
    """With another model than before the clusters stay; their vectors are made anew of their newest corrections."""
    if storage.encoder_used(connection, agent) in (None, encoder.name):
        return
    held = [one.id for one in storage.clusters(connection, agent, MOST) if one.total is not None]
    by_cluster: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for cluster, asked, corrected in storage.answers(connection, agent, held, ENCODED_AGAIN):
        by_cluster[cluster].append((asked, corrected))
    vectors = _vectors(encoder, [text for pairs in by_cluster.values() for pair in pairs for text in pair])
    totals = {
        cluster: np.sum([vector_of(vectors[corrected], vectors[asked]) for asked, corrected in pairs], axis=0) for cluster, pairs in by_cluster.items()
    }
    storage.set_totals(connection, agent, encoder.name, totals)


def rename_clusters(connection: Connection, agent: AgentRef, cluster_ids: Sequence[str]) -> None:
    """Names clusters anew by the corrections that they have now."""
    if not cluster_ids:
        return
    background = storage.newest_inputs(connection, agent, COMPARED_WITH)
    counts = naming.frequencies(background)
    held = storage.confusions(connection, agent)
    rows: defaultdict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for cluster, asked, wrong, right in storage.texts(connection, agent, cluster_ids, NAMED_BY):
        rows[cluster].append((asked, wrong, right))
    names = {}
    for cluster, said in rows.items():
        changes = [(wrong, right) for _, wrong, right in said]
        terms = naming.characteristic([asked for asked, _, _ in said], counts, len(background))
        names[cluster] = (naming.name(held.get(cluster), changes, terms), *naming.commonest(changes))
    storage.rename(connection, agent, names)


def _look_again(connection: Connection, agent: AgentRef) -> list[str]:
    """Learnt clusters that were corrected again since the last look, and recur by more than what is tolerated."""
    found = []
    watched = learnt_corrections.learnt(connection, agent, recurrence.WEEKS_BEFORE)
    learnt_corrections.note_recurrences(connection, agent, {one.id: one.after for one in watched})
    for one in watched:
        if not recurrence.due(one.after, one.looked_at):
            continue
        counted = recurrence.Counted(one.before, one.exposed_before, one.after, one.exposed_after)
        seen = recurrence.look(counted, one.looks + 1)
        told = {
            "p_value": seen.p_value, "level": seen.level, "ratio": seen.ratio, "before": one.before, "after": one.after,
            "exposed_before": one.exposed_before, "exposed_after": one.exposed_after,
        }  # fmt: skip
        learnt_corrections.note_look(connection, agent, one.id, recurs=seen.recurs, look=told)
        if seen.recurs and one.state != "recurring":
            found.append(one.id)
            audit.record(
                connection, agent.organization_id, actor="correction_patterns", action="recurred", kind="correction_cluster",
                subject=f"{agent.agent}/{one.id}", fields=["state", "recurrences"], before="learnt", after=told,
            )  # fmt: skip
    return found
