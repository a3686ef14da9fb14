"""What was learnt from a person: made anew without them, or put out of use.

Belongs here: the order of things, what is told of them. Not here: what people said (rows.py), what each noun's versions become (examples/erasing.py,
prompts/erasing.py, behavior/erasing.py, retrieval/erasing.py), SQL (storage/erasure_*.py).

Runs that are under way come first: what they read is erased, and what they would store is refused from then on (migration 0050). Datasets come before what
names them, examples and demonstrations before behaviour that is stated anew from what is left.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from learning_pipelines.behavior import erasing as behavior
from learning_pipelines.examples import erasing as examples
from learning_pipelines.feedback.erasure import retraining
from learning_pipelines.feedback.erasure.person import Person
from learning_pipelines.feedback.erasure.touched import Touched
from learning_pipelines.feedback.erasure.words import Words, folded
from learning_pipelines.prompts import erasing as prompts
from learning_pipelines.reports import erasing as reports
from learning_pipelines.retrieval import erasing as retrieval
from learning_pipelines.retrieval.artifacts import cache_folder
from learning_pipelines.retrieval.training import folder_of
from learning_pipelines.storage import (
    erasure_corrections,
    erasure_datasets,
    erasure_seen,
    erasure_versions,
    erasure_words,
    index_retention,
    llm_cache,
    tenants,
)  # fmt: skip
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.trust_weights import lock_weights

WHY = "A person whose data it learnt from was erased; the next run begins anew."
KEPT = {
    "seen": "Weights, counts and sums of learnt versions that saw the person and name nothing of them: they stay until they are learnt anew (see retrain).",
    "tests": "Scores of acceptance tests, with a drawn name in the place of the item: verdicts rest on them.",
    "scores": "Numbers of frozen sets, reports, training runs and prompt scores, which name nobody.",
    "exports": "Files that somebody exported to a place of their own are not known here: whoever has them deletes them.",
    "elsewhere": "Files of exports that lie outside of today's artifact store, at {}: delete them there.",
    "endpoint": "Models fine-tuned at an endpoint stay there until they are deleted there: {}.",
}


@dataclass(frozen=True, slots=True)
class _Found:
    """What belongs to the person before anything goes. `turns`: by agent, inputs of erased examples with their answers, folded."""

    words: Words
    turns: dict[UUID, frozenset[tuple[str, str]]]
    demonstrations: frozenset[str]
    examples: frozenset[str]
    clusters: dict[UUID, set[str]]
    patterned: set[UUID]


def erase(connection: Connection, store: Store, person: Person, touched: Touched) -> None:
    """Erases within the running transaction; the tables erased_* are filled, and the rows they name are still there."""
    erasure_versions.say_erasing(connection)
    lock_weights(connection, person.organization_id)  # whoever derives examples waits, and finds the feedback gone
    agents = [agent for agent in tenants.agents(connection) if agent.organization_id == person.organization_id]
    _stop_runs(connection, store, person, touched)
    found = _found(connection, person)
    replaced = examples.replace_datasets(connection, person.organization_id, person.organization, found.words)
    _tell_datasets(store, person, touched, replaced)
    for table, count in erasure_datasets.delete_examples(connection, person.organization_id).items():
        touched.rows[table] += count
    for table, count in erasure_datasets.delete_demonstrations(connection, person.organization_id).items():
        touched.rows[table] += count
    datasets = {str(one.id): None if one.successor is None else str(one.successor[0]) for one in replaced}
    files = list[str]()
    moved = set[tuple[UUID, str]]()
    for agent in agents:
        files += _of_agent(connection, store, person, touched, agent, found, datasets, moved)
    named = index_retention.named_artifacts(connection, person.organization_id)
    touched.files += [path.rsplit("/", 1)[0] for path in sorted(set(files) - named)]  # an artifact has its folder to itself
    touched.rows["serving_sets"] += erasure_seen.forget_set_items(connection, person.organization_id)
    touched.rows["llm_responses"] += llm_cache.forget_answers(
        connection, organization_id=person.organization_id, since=erasure_words.first_seen(connection, person.organization_id, person.user_id)
    )  # fmt: skip
    reports.erase_reports(connection, store.settings, person.organization, person.organization_id, found.words, touched.rows)
    _take_from_json(connection, person, found.words, touched)
    clusters = {cluster for of_agent in found.clusters.values() for cluster in of_agent}
    retraining.mark_seen(connection, person, touched, [one.id for one in replaced], clusters, moved)
    touched.kept += [text for name, text in KEPT.items() if name in ("seen", "tests", "scores", "exports")]
    if models := erasure_versions.endpoint_models(connection, person.organization_id):
        touched.kept.append(KEPT["endpoint"].format(", ".join(models)))


def _found(connection: Connection, person: Person) -> _Found:
    ids = erasure_words.ids(connection) | {person.name, str(person.user_id)}
    demonstrated = erasure_words.demonstrated(connection, person.organization_id)
    turns: dict[UUID, set[tuple[str, str]]] = {}
    for agent_id, _, asked, answer in erasure_datasets.examples_of(connection, person.organization_id):
        turns.setdefault(agent_id, set()).add((folded(asked), folded(answer)))
    demonstrations, own = erasure_words.erased(connection, "demonstrations"), erasure_words.erased(connection, "examples")
    return _Found(
        Words([*erasure_words.texts(connection), *demonstrated], ids), {agent: frozenset(pairs) for agent, pairs in turns.items()}, demonstrations, own,
        erasure_corrections.touched(connection, person.organization_id), erasure_corrections.patterned(connection, person.organization_id),
    )  # fmt: skip


def _stop_runs(connection: Connection, store: Store, person: Person, touched: Touched) -> None:
    """Ends what learns now; what runs left on this machine goes once that is certain: a run that goes on after all needs it."""
    agents = erasure_words.agents(connection, person.organization_id)
    for run_id in erasure_versions.cancel_runs(connection, person.organization_id, agents, WHY):
        touched.rows["training_runs"] += 1
        touched.here.append(_here(store, folder_of(store.settings, run_id)))


def _tell_datasets(store: Store, person: Person, touched: Touched, replaced: Collection[examples.Replaced]) -> None:
    below = f"{store.settings.artifacts.rstrip('/')}/"
    elsewhere = list[str]()
    for one in replaced:
        successor = None if one.successor is None else one.successor[1]
        touched.datasets.append({"agent": one.agent.agent, "old": one.version, "successor": successor})
        touched.rows["training_datasets"] += 1
        touched.rows["dataset_examples"] += one.examples
        touched.rows["dataset_pairs"] += one.pairs
        touched.rows["dataset_exports"] += len(one.exports)
        # The version's whole folder: also where the store was moved since, and what was half written.
        touched.files.append(f"datasets/{person.organization}/{one.agent.agent}/v{one.version}")
        elsewhere += [path for path in one.exports if not path.startswith(below)]
    if elsewhere:
        touched.kept.append(KEPT["elsewhere"].format(", ".join(elsewhere)))


def _of_agent(
    connection: Connection, store: Store, person: Person, touched: Touched, agent: AgentRef, found: _Found, datasets: dict[str, str | None],
    moved: set[tuple[UUID, str]],
) -> list[str]:  # fmt: skip
    """Prompts, behaviour and indexes of one agent; artifacts that versions named. `moved`: parts of training whose versions became tombstones."""
    since = erasure_words.first_seen(connection, person.organization_id, person.user_id)
    theirs = prompts.Theirs(found.words, found.turns.get(agent.agent_id, frozenset()), datasets, since)
    buried, candidates = prompts.erase_prompts(connection, agent, theirs)
    touched.rows["prompt_candidates"] += candidates
    for one in buried:
        touched.rows["prompt_versions"] += 1
        touched.prompts.append({"agent": agent.agent, "old": one.version, "successor": one.successor, "why": one.why})
        moved.add((agent.agent_id, "prompt_optimization"))

    def own(said: set[str]) -> set[str]:
        here = said & found.words.tokens
        return here - erasure_words.common_tokens(connection, agent, here) if here else set()

    of_behavior = behavior.Theirs(
        found.words, own, found.demonstrations, found.examples, frozenset(found.clusters.get(agent.agent_id, ())), datasets, buried
    )  # fmt: skip
    done = behavior.erase_behavior(connection, agent, store.settings, of_behavior, agent.agent_id in found.patterned)
    touched.rows["correction_clusters"] += done.clusters
    for kind, number, successor in done.buried:
        touched.rows["behavior_versions"] += 1
        touched.retrain.append({"agent": agent.agent, "kind": kind, "version": number, "successor": successor})
        moved.add((agent.agent_id, retraining.PARTS.get(kind, kind)))
    of_index = retrieval.erase_indexes(connection, agent, store.settings, found.words)
    for number, successor in of_index.buried:
        touched.rows["index_versions"] += 1
        touched.retrain.append({"agent": agent.agent, "kind": "index", "version": number, "successor": successor})
        moved.add((agent.agent_id, "expansion"))
    touched.here += [_here(store, cache_folder(store.settings) / sha256) for sha256 in (*done.copies, *of_index.copies)]
    return [*done.files, *of_index.files]


def _here(store: Store, folder: Path) -> str:
    return folder.relative_to(store.settings.home).as_posix()


def _take_from_json(connection: Connection, person: Person, words: Words, touched: Touched) -> None:
    """Numbers are kept as JSON and notes as text, which should name nobody: what does is taken out all the same."""
    for table, key, columns in erasure_words.JSON_COLUMNS:
        for of, values in erasure_words.json_rows(connection, person.organization_id, table, key, columns):
            for column, value in zip(columns, values, strict=True):
                if value is not None and words.holds(value):
                    erasure_words.put_json(connection, person.organization_id, table, key, of, column, words.taken_from(value))
                    touched.rows[table] += 1
    named = re.compile(rf"(?<!\w){re.escape(person.name)}(?!\w)", re.IGNORECASE)
    for table, column, name, text in erasure_words.text_rows(connection, person.organization_id):
        if (left := named.sub(person.tombstone, words.cut_from(text))) != text:
            erasure_words.put_text(connection, person.organization_id, table, column, name, left)
            touched.rows[table] += 1
