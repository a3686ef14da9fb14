"""One run of retrieval training: learners in the order of what they cost, each offer kept once, and the one that validation chooses.

Belongs here: the order of things, the budget, what is recorded, what a failure leaves. Not here: whether to run (preparation.py), how to learn
(learning/), the test and what follows (gate.py), SQL.

Every step can be repeated: what a learner offered is in the artifact store and on the training run, so a run that was killed learns nothing twice;
inside a learner its checkpoints hold (learning/checkpoints.py). Whatever fails, nothing that serves was touched.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from learning_pipelines.encoder_local import name_of
from learning_pipelines.errors import LearningError
from learning_pipelines.retrieval.artifacts import delete, fetch, publish
from learning_pipelines.retrieval.encoders import Encoders
from learning_pipelines.retrieval.evaluation import evaluate_judged, unserved
from learning_pipelines.retrieval.index import Artifact, IndexConfig
from learning_pipelines.retrieval.knowledge import embed
from learning_pipelines.retrieval.learning.folds import beats
from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.retrieval.metrics import NDCG, Measured
from learning_pipelines.retrieval.preparation import Prepared
from learning_pipelines.retrieval.task import JudgedQuery, Learner, Progress, Training
from learning_pipelines.settings import Settings
from learning_pipelines.storage import indexes, retrieval_runs, training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.indexes import EncoderVersion, IndexVersion
from learning_pipelines.storage.tenants import AgentRef

OFFER, FAILURES, LEFT_OUT = "offer: ", "failures: ", "left out: "
MOST_FAILURES = 2
"""So often a learner may end a run; after that the run goes on without it, or what the others learnt would never be tested."""


class OutOfTime(LearningError):
    """The run's time for learning is over."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a learner came up with, its artifacts in the store. `config` None: nothing, for `reason`. `numbers` as the learner gave them.
    `finished` False: it was not begun or not ended, and is not recorded: a run that ended early and resumes goes on with it."""

    name: str
    config: IndexConfig | None
    numbers: Mapping[str, float]
    reason: str = ""
    finished: bool = True

    def as_json(self) -> dict[str, Any]:
        return {"config": None if self.config is None else self.config.as_json(), "numbers": dict(self.numbers), "reason": self.reason}

    @classmethod
    def from_json(cls, name: str, stored: Mapping[str, Any]) -> Offer:
        config = None if stored["config"] is None else IndexConfig.from_json(stored["config"])
        return cls(name, config, stored["numbers"], stored["reason"])


@dataclass(frozen=True, slots=True)
class Choice:
    """The winner on validation and what every contender scored there (nDCG@10). `offer` None: nothing did better than what serves."""

    offer: Offer | None
    version: IndexVersion
    serving: Measured
    scores: Mapping[str, float]


def cheap_learners() -> tuple[Learner, ...]:
    """On the vectors that are there: the mixture, a matrix on the query side and the re-ranker, each on what the one before left."""
    from learning_pipelines.retrieval.learning.selection import Selection

    return (Selection(),)


def encoder_learners(settings: Settings) -> tuple[Learner, ...]:
    """New encoders, whose vectors all have to be made: the static one first, which costs a fraction."""
    from learning_pipelines.retrieval.learning.finetune import FineTuning
    from learning_pipelines.retrieval.learning.static import Distillation

    return Distillation(settings.embedding_model), FineTuning(settings.embedding_model)


def folder_of(settings: Settings, run_id: UUID) -> Path:
    """Where a run keeps checkpoints; gone once it is complete."""
    return settings.home / "training" / str(run_id)


def learn(
    connection: Connection, agent: AgentRef, settings: Settings, prepared: Prepared, run_id: UUID, learners: Sequence[Learner],
    training: Callable[[], Training], progress: Progress, clock: Callable[[], float] = time.monotonic,
) -> list[Offer]:  # fmt: skip
    """Each learner's offer, learnt now or recorded before. `training` is read only if there is something to learn.

    Time over: what is left out says so (LEARNING_RAG_TRAINING_SECONDS allows more). Raises LearningError of a learner (the disk is full, its
    process was killed) until it failed MOST_FAILURES times; offers before it are kept.
    """
    offers, deadline, read = list[Offer](), clock() + prepared.seconds, cache(training)
    for place, learner in enumerate(learners):
        recorded = retrieval_runs.measured(connection, agent, run_id)
        failures = int(recorded.get(FAILURES + learner.name, 0))
        if OFFER + learner.name in recorded:
            offers.append(Offer.from_json(learner.name, recorded[OFFER + learner.name]))
            continue
        if clock() >= deadline:
            offer = Offer(learner.name, None, {}, f"the {prepared.seconds:g} seconds for learning were over", finished=False)
        elif failures >= MOST_FAILURES:
            offer = Offer(learner.name, None, {}, f"left out: it failed {failures} times", finished=False)
        else:
            try:
                offer = _offered(agent, settings, prepared, learner, read(), _timed(_part(progress, place, len(learners)), clock, deadline))
            except LearningError:
                training_runs.measured(connection, agent, run_id, {FAILURES + learner.name: failures + 1})
                raise
        kept = {OFFER + learner.name: offer.as_json()} if offer.finished else {LEFT_OUT + learner.name: offer.reason}
        training_runs.measured(connection, agent, run_id, kept)
        offers.append(offer)
    return offers


def nothing(connection: Connection, agent: AgentRef, run_id: UUID) -> str:
    """Why a run has nothing to choose from: what each learner said."""
    recorded = retrieval_runs.measured(connection, agent, run_id)
    said = {name.removeprefix(OFFER): stored["reason"] for name, stored in recorded.items() if name.startswith(OFFER)}
    said |= {name.removeprefix(LEFT_OUT): stored for name, stored in recorded.items() if name.startswith(LEFT_OUT)}
    return "; ".join(f"{name}: {reason}" for name, reason in sorted(said.items()))


def version_of(
    connection: Connection, agent: AgentRef, settings: Settings, prepared: Prepared, run_id: UUID, offer: Offer, encoders: Encoders, progress: Progress
) -> IndexVersion:
    """The offer as a version that can answer. A learnt encoder's vectors are built beside those that serve, portion by portion: what is there is not
    made again. Raises LearningError (disk full, another dimension); what serves is untouched."""
    assert offer.config is not None
    learnt = offer.config.encoder
    if learnt is None or learnt == IndexConfig.from_json(prepared.serving.config).encoder:
        return unserved(prepared.serving, offer.config)
    encoder = _encoder_version(connection, agent, settings, prepared, run_id, learnt)
    embed(connection, agent.organization_id, encoder, encoders.of(encoder), agent.agent_id, progress)
    return unserved(prepared.serving, offer.config, encoder)


def choose(
    connection: Connection, agent: AgentRef, prepared: Prepared, contenders: Sequence[tuple[Offer, IndexVersion]], loaded: Loaded,
    validation: Sequence[JudgedQuery],
) -> Choice:  # fmt: skip
    """What does best on validation through the searcher that serves. The first offer needs to gain at all: its learner has judged it out of fold. A
    costlier one must gain more than one standard error over what is cheaper."""

    def scored(version: IndexVersion) -> Measured:
        return evaluate_judged(connection, agent.organization_id, agent.agent_id, version, loaded, validation)

    serving = scored(prepared.serving)
    by_id = {query.id: query for query in validation}
    judged = [by_id[item] for item in serving.ids]
    best: tuple[Offer | None, IndexVersion, Measured] = (None, prepared.serving, serving)
    scores = {"serving": serving.means().get(NDCG, 0.0)}
    for offer, version in contenders:
        found = scored(version)
        scores[offer.name] = found.means().get(NDCG, 0.0)
        gained = scores[offer.name] - best[2].means().get(NDCG, 0.0)
        costly = version.encoder.id != prepared.serving.encoder.id
        if gained > 0 and (not costly or beats(best[2].scores[NDCG], found.scores[NDCG], judged)):
            best = (offer, version, found)
    return Choice(best[0], best[1], serving, scores)


def forget_others(connection: Connection, agent: AgentRef, settings: Settings, run_id: UUID) -> None:
    """Runs of the agent that ended early over other feedback than this one's are not gone on with: what they left goes."""
    for other in retrieval_runs.cancel_others(connection, agent, run_id):
        clean_up(connection, agent, settings, other)


def clean_up(connection: Connection, agent: AgentRef, settings: Settings, run_id: UUID) -> None:
    """Of a run that is complete: checkpoints, and encoders, vectors and files of offers that no version took."""
    used = {artifact.path for version in indexes.listed(connection, agent) for artifact in _artifacts(IndexConfig.from_json(version.config))}
    for name, stored in retrieval_runs.measured(connection, agent, run_id).items():
        if name.startswith(OFFER) and (config := Offer.from_json(name.removeprefix(OFFER), stored).config) is not None:
            for artifact in _artifacts(config):
                if artifact.path not in used:
                    delete(settings, artifact)
    retrieval_runs.drop_unused_encoders(connection, agent, run_id)
    shutil.rmtree(folder_of(settings, run_id), ignore_errors=True)


def _offered(agent: AgentRef, settings: Settings, prepared: Prepared, learner: Learner, training: Training, progress: Progress) -> Offer:
    said: list[str] = []

    def told(share: float, line: str, numbers: Mapping[str, float]) -> None:
        said.append(line)
        progress(share, line, numbers)

    try:
        learnt = learner.learn(training, IndexConfig.from_json(prepared.serving.config), told)
    except OutOfTime:
        return Offer(learner.name, None, {}, f"left out: it did not finish within {prepared.seconds:g} seconds", finished=False)
    if learnt is None:
        return Offer(learner.name, None, {}, said[-1] if said else "it found nothing to learn from")
    return Offer(learner.name, publish(settings, agent, training.folder, learnt.config), learnt.numbers)


def _encoder_version(
    connection: Connection, agent: AgentRef, settings: Settings, prepared: Prepared, run_id: UUID, learnt: Artifact
) -> EncoderVersion:
    source = str(fetch(settings, learnt))
    name, dimensions = name_of(source), prepared.serving.encoder.dimensions
    identity = indexes.add_encoder(
        connection, agent.organization_id, name=name, model=learnt.path, dimensions=dimensions, artifact_path=learnt.path, sha256=learnt.sha256,
        agent_id=agent.agent_id, training_run_id=run_id,
    )  # fmt: skip
    return EncoderVersion(identity, name, learnt.path, dimensions, learnt.path, learnt.sha256)


def _artifacts(config: IndexConfig) -> list[Artifact]:
    return [one for one in (config.encoder, config.adapter, config.reranker, config.expansion) if one is not None]


def _part(progress: Progress, number: int, parts: int) -> Progress:
    return lambda share, line, numbers: progress((number + share) / parts, line, numbers)


def _timed(progress: Progress, clock: Callable[[], float], deadline: float) -> Progress:
    """Ends a learner that reports after the deadline, unless it has finished."""

    def told(share: float, line: str, numbers: Mapping[str, float]) -> None:
        progress(share, line, numbers)
        if share < 1 and clock() >= deadline:
            raise OutOfTime("The time for learning is over.", "LEARNING_RAG_TRAINING_SECONDS allows more.")

    return told
