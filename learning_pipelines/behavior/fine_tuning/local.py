"""Fine-tuning on this machine: the request to a process of its own, and what comes back.

Belongs here: the asking side, where torch is never imported. Not here: what runs in the process (work.py and what it uses).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from learning_pipelines.behavior.fine_tuning.outcome import Outcome, Scored, Side
from learning_pipelines.behavior.fine_tuning.preparation import Prepared
from learning_pipelines.behavior.fine_tuning.reward import best_baseline, preferred
from learning_pipelines.behavior.fine_tuning.work import CONTROL, INCUMBENT, LEARNT, Request
from learning_pipelines.prompts.metrics import Metric
from learning_pipelines.retrieval.artifacts import fetch
from learning_pipelines.retrieval.index import Artifact
from learning_pipelines.retrieval.learning.child import run
from learning_pipelines.retrieval.task import Progress
from learning_pipelines.retrieval.training import folder_of
from learning_pipelines.settings import Settings

WORK = "learning_pipelines.behavior.fine_tuning.work:work"


def learn(settings: Settings, prepared: Prepared, run_id: UUID, metric: Metric | None, progress: Progress) -> Outcome:
    """Trains, or takes up what an earlier attempt of the run left in its folder. `metric`: None for reward models.

    Raises what the work raises (BadInput, Diverged as LearningError, Unavailable) and TrainingKilled; nothing but checkpoints is left then.
    """
    folder = folder_of(settings, run_id)
    result = run(WORK, _request(settings, prepared).as_json(), folder, progress)
    learnt, control = _side(folder, result[LEARNT]), result[CONTROL]
    if control is None:
        return Outcome(learnt, left_out=result["left_out"])
    answers = result["answers"]
    scored = (lambda: _rewarded(prepared, answers)) if metric is None else (lambda: _answered(prepared, answers, metric))
    return Outcome(learnt, _side(folder, control), scored, result["left_out"])


def _request(settings: Settings, prepared: Prepared) -> Request:
    serving, adapter = prepared.incumbent, ""
    if serving is not None and serving.artifact_path and serving.artifact_sha256:
        adapter = str(fetch(settings, Artifact(serving.artifact_path, serving.artifact_sha256)))
    return Request(
        prepared.base, prepared.material.lessons, prepared.recipe, prepared.seed, prepared.fingerprint, prepared.labels, prepared.max_tokens,
        prepared.material.questions(prepared.prompt, prepared.nearest), prepared.material.pairs, adapter,
    )  # fmt: skip


def _side(folder: Path, found: Mapping[str, Any]) -> Side:
    return Side(found["sha256"], tuple(found["curve"]), found["numbers"], folder / found["folder"] if found["folder"] else None)


def _answered(prepared: Prepared, answers: Mapping[str, Mapping[str, str]], metric: Metric) -> Scored:
    def marked(side: str) -> dict[str, float]:
        items = [item for item in prepared.material.items if answers[side][item.id]]  # no answer at all is wrong, whatever the metric
        marks = metric.marks([(item, answers[side][item.id]) for item in items])
        scores = {item.id: mark.score if mark.fault is None else 0.0 for item, mark in zip(items, marks, strict=True)}
        return {item.id: scores.get(item.id, 0.0) for item in prepared.material.items}

    return Scored(marked(INCUMBENT), marked(LEARNT), marked(CONTROL), "the model that serves" if prepared.incumbent else prepared.base.name)


def _rewarded(prepared: Prepared, answers: Mapping[str, Mapping[str, list[float]]]) -> Scored:
    lessons = prepared.material.lessons
    baseline = best_baseline(lessons.train, lessons.validation, prepared.material.pairs)  # type: ignore[arg-type]
    return Scored(baseline.scores, preferred(answers[LEARNT]), preferred(answers[CONTROL]), baseline.name)
