"""A learnt policy meets what serves on the test demonstrations, and becomes a version with a proposal if, and only if, it is better and harms nothing.

Belongs here: what it is compared with, the parts under guard, version and proposal. Not here: learning and scoring (policy/), statistics and the order of a
test (acceptance/), SQL.

An item is a demonstration, its score the share of its steps (the end included) of which the first suggestion was what the expert did. Where no policy serves,
the incumbent is the first-order transition model of the same demonstrations: what anybody could count. A policy must also not fall short of always
naming the most frequent action, and of that transition model when another policy serves.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from learning_pipelines.acceptance import behavior_proposing, meeting, retiring
from learning_pipelines.acceptance.gate import Evidence, Rules, Verdict
from learning_pipelines.acceptance.guards import FEWEST, Guard
from learning_pipelines.behavior.loaded import Policies
from learning_pipelines.behavior.policy import files
from learning_pipelines.behavior.policy.evaluation import Evaluation, evaluate
from learning_pipelines.behavior.policy.policy import Policy
from learning_pipelines.behavior.preparation import KIND, NOTHING, Prepared
from learning_pipelines.behavior.task import Shown
from learning_pipelines.errors import LearningError
from learning_pipelines.retrieval import artifacts
from learning_pipelines.retrieval.index import Artifact
from learning_pipelines.settings import Settings
from learning_pipelines.storage import behavior_demonstrations, behavior_versions, training_runs
from learning_pipelines.storage.acceptance import Reservation
from learning_pipelines.storage.behavior_versions import BehaviorVersion
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

FREQUENCY, TRANSITION = "most_frequent", "transition"
AGAINST = {FREQUENCY: "the most frequent action", TRANSITION: "the transition model"}
"""Names of the guards by the baselines that they compare with."""
FOLDER = "policy"


@dataclass(frozen=True, slots=True)
class Tested:
    """The gate's word, and what both scored. `incumbent`: None where the transition model was it."""

    verdict: Verdict
    reason: str
    evidence: Evidence
    guards: tuple[Guard, ...]
    candidate: Evaluation
    incumbent: Evaluation | None

    def numbers(self) -> dict[str, Any]:
        """What a version keeps: both with intervals, the evidence, the guards."""
        return {
            "candidate": self.candidate.as_json(), "incumbent": None if self.incumbent is None else self.incumbent.as_json(),
            "test": self.evidence.as_json(), "guards": [one.as_json() for one in self.guards],
        }  # fmt: skip


def retire_withdrawn(connection: Connection, agent: AgentRef, settings: Settings) -> str | None:
    """Takes the policy out of service if it was learnt from demonstrations of an expert whose right was withdrawn since: their word does not count any
    longer, also where nobody approves another policy. Says so; None if nothing had to be done. Raises Unavailable if the store does not answer."""
    theirs = behavior_demonstrations.withdrawn(connection, agent)
    serving = behavior_versions.labelled(connection, agent.organization_id, agent.agent_id, "policy") if theirs else []
    if not serving:
        return None
    count = len(theirs.intersection(files.load(artifacts.fetch(settings, _artifact(serving[0]))).demonstrations))
    if not count:
        return None
    number = retiring.retire(connection, agent, "policy", "", "retired")
    return f"version {number} was taken out of service: {count} of its demonstrations are of experts whose right was withdrawn"


def store(settings: Settings, agent: AgentRef, policy: Policy, run_id: UUID) -> Artifact:
    """The policy's folder in the artifact store, named by its content. Raises LearningError or BadInput where it cannot be written."""
    folder = settings.home / "training" / str(run_id) / FOLDER
    try:
        files.save(policy.learnt, folder)
        return artifacts.put_folder(settings, agent, folder)
    except OSError as error:
        raise LearningError(f"The policy cannot be written: {error.strerror or error}.", "Free space, then run the job again: it resumes.") from error
    finally:
        shutil.rmtree(folder.parent, ignore_errors=True)


def put_to_test(
    connection: Connection, agent: AgentRef, settings: Settings, policies: Policies, prepared: Prepared, policy: Policy, artifact: Artifact, run_id: UUID
) -> Tested:
    """Candidate and incumbent on the agent's test demonstrations. The level is spent before the first is scored; a run that resumes gets its own test
    back, with its verdict if it has one. Raises LearningError where the policy that serves cannot be asked."""
    test = prepared.shown["test"]
    serving = _serving(connection, agent, prepared)
    reserved = meeting.reserve(
        connection, agent, KIND, [one.id for one in test], training_run_id=run_id, candidate={"policy": artifact.sha256},
        incumbent={"baseline": TRANSITION, "of": artifact.sha256} if serving is None else {"policy": serving.artifact_sha256},
    )  # fmt: skip
    candidate = evaluate(policy, test)
    incumbent = None if serving is None else evaluate(policies.policy(_artifact(serving)), test)
    before = candidate.baselines[TRANSITION].scores if incumbent is None else incumbent.scores
    scores = {item: (before[item], after) for item, after in candidate.scores.items()}
    evidence = meeting.concluded(reserved) or meeting.conclude(
        connection, agent, reserved, scores, Rules.of(settings), slices=slices(test), outside=_baselines(candidate, incumbent)
    )
    kept = meeting.test_of(connection, agent, KIND, run_id)
    assert kept is not None, "it was reserved above"
    found = Tested(evidence.verdict, evidence.reason, evidence, tuple(meeting.guards(kept)), candidate, incumbent)
    training_runs.measured(connection, agent, run_id, {"test": found.numbers()})
    return found


def forget(connection: Connection, agent: AgentRef, settings: Settings, artifact: Artifact) -> None:
    """Deletes the files of a policy that was not proposed, unless a version has the very same. Raises Unavailable if the store does not answer."""
    if all(version.artifact_path != artifact.path for version in behavior_versions.listed(connection, agent, "policy")):
        artifacts.delete(settings, artifact)


def slices(test: Sequence[Shown]) -> dict[str, set[str]]:
    """Kinds of task that must not be harmed: those with enough demonstrations to say so, where there is more than one."""
    found: dict[str, set[str]] = {}
    for one in test:
        found.setdefault(f"task type {one.task_type or '(none)'}", set()).add(one.id)
    return {name: ids for name, ids in found.items() if len(ids) >= FEWEST} if len(found) > 1 else {}


def beats_frequency(test: Reservation) -> bool | None:
    """Whether the stored scores of a test put the policy above always naming the most frequent action; None if it has none."""
    pairs = test.evidence.get("outside", {}).get(AGAINST[FREQUENCY])
    return None if not pairs else sum(after for _, after in pairs) > sum(before for before, _ in pairs)


def propose(
    connection: Connection, agent: AgentRef, settings: Settings, prepared: Prepared, policy: Policy, artifact: Artifact, tested: Tested, run_id: UUID,
    dagster_run_id: str | None,
) -> tuple[int, UUID]:  # fmt: skip
    """(version, proposal) of a policy that the gate called better; the training run is complete then. Nothing serves before it is approved."""
    assert tested.verdict is Verdict.BETTER
    learnt = policy.learnt
    config = {
        "content": prepared.content, "encoder": learnt.encoder, "dimensions": learnt.dimensions,
        "types": len(policy.types), "demonstrations": len(learnt.demonstrations),
        "mixture": learnt.mixture.as_json(),
    }  # fmt: skip
    best = {"top1": tested.candidate.policy.top1, "calibration_error": tested.candidate.calibration_error, "coverage": tested.candidate.coverage}
    with connection.transaction():
        number, proposal = behavior_proposing.propose(
            connection, agent, settings, kind=KIND, subject_kind="policy", config=config, artifact=artifact, incumbent=prepared.incumbent,
            metrics={"learning": dict(learnt.metrics), **tested.numbers()},
            evidence={**tested.evidence.as_json(), "guards": [one.as_json() for one in tested.guards], "metrics": tested.candidate.as_json()},
            run_id=run_id, dagster_run_id=dagster_run_id,
        )  # fmt: skip
        training_runs.completed(connection, agent, run_id, best=best, requires_review=True)
    return number, proposal


def _serving(connection: Connection, agent: AgentRef, prepared: Prepared) -> BehaviorVersion | None:
    if prepared.incumbent == NOTHING:
        return None
    found = behavior_versions.version(connection, agent, "policy", prepared.incumbent)
    if found is None or found.artifact_path is None:
        raise LearningError(f"Version {prepared.incumbent} of the policy, which serves, has no artifact.", "Roll it back; then run the job again.")
    return found


def _artifact(version: BehaviorVersion) -> Artifact:
    assert version.artifact_path is not None and version.artifact_sha256 is not None
    return Artifact(version.artifact_path, version.artifact_sha256)


def _baselines(candidate: Evaluation, incumbent: Evaluation | None) -> Mapping[str, Sequence[tuple[float, float]]]:
    """What the policy must not fall short of beside the incumbent, on the same demonstrations."""
    names = (FREQUENCY,) if incumbent is None else (FREQUENCY, TRANSITION)
    return {AGAINST[name]: [(candidate.baselines[name].scores[item], after) for item, after in sorted(candidate.scores.items())] for name in names}

