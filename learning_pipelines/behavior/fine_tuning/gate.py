"""A fine-tuned model and its control meet what serves on the test items; only what is better than both becomes a version with a proposal.

Belongs here: reserving, scoring, the verdict, version and proposal. Not here: learning (local.py, openai_tuning.py), statistics (acceptance/), SQL.

The control is the same training on shuffled answers. It meets the same gate under a kind of its own, so that it spends nothing of the candidate's
level, and is never proposed. Where it does better than what serves too, what was learnt is the form of the answers: so a candidate must also be better than
its control, by the same test at the same level. To ask for more than the gate asks can only make fewer things pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from learning_pipelines.acceptance import behavior_proposing, meeting
from learning_pipelines.acceptance.gate import Evidence, Rules, Verdict, decide
from learning_pipelines.behavior.fine_tuning.lessons import ANSWERING
from learning_pipelines.behavior.fine_tuning.outcome import Outcome, Scored, Scores
from learning_pipelines.behavior.fine_tuning.preparation import KIND, Prepared
from learning_pipelines.prompts.summary import interval
from learning_pipelines.retrieval.artifacts import put_folder
from learning_pipelines.retrieval.index import Artifact
from learning_pipelines.settings import Settings
from learning_pipelines.storage import training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

CONTROL_KIND = "fine_tune_control"


@dataclass(frozen=True, slots=True)
class Tested:
    """`evidence`: against what serves; `control`: of the control against what serves; `over_control`: against the control. `verdict` is better only if the
    first and the last are. `scores`: mean and 95 % interval of each side."""

    verdict: Verdict
    reason: str
    evidence: Evidence
    control: Evidence
    over_control: Evidence
    incumbent: str
    scores: Mapping[str, Mapping[str, float]]

    def numbers(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict.value, "reason": self.reason, "test": self.evidence.as_json(), "control_test": self.control.as_json(),
            "over_control": self.over_control.as_json(), "incumbent": self.incumbent, "scores": {name: dict(one) for name, one in self.scores.items()},
        }  # fmt: skip


def put_to_test(connection: Connection, agent: AgentRef, settings: Settings, prepared: Prepared, outcome: Outcome, run_id: UUID) -> Tested:
    """Spends the level, then scores all sides on the same items. A run that resumes gets its own tests back, with their verdicts if they have them."""
    assert outcome.scored is not None and outcome.control is not None, "nothing was learnt"
    rules, items = Rules.of(settings), prepared.material.test_ids
    serving = {"version": 0 if prepared.incumbent is None else prepared.incumbent.number, "base": prepared.base.identity}
    about = {"method": prepared.method, "prompt": prepared.prompt_version}
    test, control_test = (
        meeting.reserve(connection, agent, kind, items, candidate={**about, "model": side.content}, incumbent=serving, training_run_id=run_id)
        for kind, side in ((KIND, outcome.learnt), (CONTROL_KIND, outcome.control))
    )
    scored = outcome.scored()
    evidence = meeting.concluded(test) or meeting.conclude(connection, agent, test, _paired(scored.incumbent, scored.learnt), rules)
    control = meeting.concluded(control_test) or meeting.conclude(connection, agent, control_test, _paired(scored.incumbent, scored.control), rules)
    pairs = _paired(scored.control, scored.learnt)
    over = decide([pairs[one][0] for one in sorted(pairs)], [pairs[one][1] for one in sorted(pairs)], k=test.k, rules=rules)
    verdict, reason = _verdict(evidence, over)
    tested = Tested(verdict, reason, evidence, control, over, scored.incumbent_name, _means(scored))
    training_runs.measured(connection, agent, run_id, {"test": tested.numbers()})
    return tested


def propose(
    connection: Connection, agent: AgentRef, settings: Settings, prepared: Prepared, outcome: Outcome, tested: Tested, run_id: UUID,
    dagster_run_id: str | None,
) -> tuple[int, UUID, Artifact | None]:  # fmt: skip
    """(version, proposal, artifact) of a model that is better than what serves and than its control. Nothing serves before it is approved."""
    assert tested.verdict is Verdict.BETTER
    folder = outcome.learnt.folder
    artifact = None if folder is None else put_folder(settings, agent, folder)
    config = {
        **{name: prepared.config[name] for name in ("engine", "method", "base", "recipe", "seed", "prompt_version", "dataset_version")},
        "base_identity": prepared.base.identity, **({"model": outcome.learnt.model} if outcome.learnt.model else {}),
    }  # fmt: skip
    metrics = {**tested.numbers(), "learnt": outcome.learnt.as_json(), "control": None if outcome.control is None else outcome.control.as_json()}
    with connection.transaction():
        number, proposal = behavior_proposing.propose(
            connection, agent, settings, kind=KIND, subject_kind="fine_tune", topic=prepared.method, config=config, artifact=artifact, metrics=metrics,
            evidence={**tested.evidence.as_json(), "scores": tested.numbers()["scores"], "control": tested.control.as_json(), "artifact": _named(artifact),
                      "answers": prepared.method in ANSWERING, "training_loss": outcome.learnt.numbers.get("training_loss")},
            run_id=run_id, dagster_run_id=dagster_run_id,
        )  # fmt: skip
        training_runs.completed(connection, agent, run_id, best={"score": tested.evidence.candidate_mean}, requires_review=True)
    return number, proposal, artifact


def _verdict(evidence: Evidence, over: Evidence) -> tuple[Verdict, str]:
    if evidence.verdict is not Verdict.BETTER or over.verdict is Verdict.BETTER:
        return evidence.verdict, evidence.reason
    said = f"{evidence.reason} But it is not shown to be better than its control with shuffled answers ({over.candidate_mean:.3f} against"
    return Verdict.NO_EVIDENCE, f"{said} {over.incumbent_mean:.3f}): what it learnt may be the form of the answers alone."


def _paired(before: Scores, after: Scores) -> dict[str, tuple[float, float]]:
    return {item: (score, after[item]) for item, score in before.items()}


def _means(scored: Scored) -> dict[str, dict[str, float]]:
    found = {}
    for name in ("incumbent", "learnt", "control"):
        scores = list(getattr(scored, name).values())
        bounds = interval(scores)
        found[name] = {"mean": sum(scores) / len(scores), "low": bounds.low, "high": bounds.high, "items": float(len(scores))}
    return found


def _named(artifact: Artifact | None) -> dict[str, str] | None:
    return None if artifact is None else {"path": artifact.path, "sha256": artifact.sha256}
