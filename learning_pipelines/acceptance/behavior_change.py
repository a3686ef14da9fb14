"""What proposing, approving and rolling back means for learnt behaviour: the labels serving, candidate and previous of its kinds and topics.

Belongs here: what a version of a policy, playbook, rules, guidance or fine-tuned model needs before it may serve, moving its labels. Not here: the state of
proposals (approval.py), making them (behavior_proposing.py), taking away for good (retiring.py), learning and testing (behavior/), SQL.

A proposal's subject says what it is about: {"kind": …, "topic": … ('' where an agent has one of the kind), "version": …}. Every topic has labels of its
own: a playbook of one kind of task comes and goes whatever serves for the others. Number 0 is nothing learnt, which serves before anything is approved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learning_pipelines.acceptance.guidance_change import require_fitting
from learning_pipelines.acceptance.reviewing import Reason, Refused, Reviewer
from learning_pipelines.behavior.policy import files
from learning_pipelines.errors import LearningError
from learning_pipelines.retrieval.artifacts import fetch
from learning_pipelines.retrieval.index import Artifact
from learning_pipelines.settings import Settings
from learning_pipelines.storage import audit, behavior_demonstrations, behavior_versions
from learning_pipelines.storage.behavior_versions import BehaviorVersion, Kind
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

SUBJECTS: Mapping[str, tuple[Kind, ...]] = {"policy": ("policy",), "playbook": ("playbook", "rules", "guidance"), "fine_tune": ("fine_tune",)}
"""Kind of proposal → kinds of version that it may be about."""
KINDS: tuple[Kind, ...] = ("policy", "playbook", "rules", "guidance", "fine_tune")
JOBS: Mapping[str, str] = {"fine_tune": "fine_tuning"}
"""The job that learns a kind, where it is not behavior_learning."""
NOTHING = 0


def about(subject: Mapping[str, Any]) -> tuple[str | None, str]:
    """What a subject names besides its version: (kind, topic). Of prompts and indexes an agent has one."""
    return subject.get("kind"), str(subject.get("topic", ""))


def offer(connection: Connection, agent: AgentRef, kind: str, subject: Mapping[str, Any]) -> None:
    """The version is proposed: it gets the label candidate of its kind and topic."""
    of, topic = _named(kind, subject)
    behavior_versions.point(connection, agent, of, "candidate", int(subject["version"]), None, topic)


def require(
    connection: Connection, agent: AgentRef, kind: Kind, topic: str, number: int, incumbent: Mapping[str, Any], settings: Settings
) -> None:  # fmt: skip
    """Raises Refused unless the version may take the place of what serves: measured against what no longer serves, its artifact is missing."""
    measured = int(incumbent["version"])
    serving = behavior_versions.label_target(connection, agent, kind, "serving", topic) or NOTHING
    if serving not in (measured, number):
        cause = f"Version {number} was measured against {numbered(measured)}, but {numbered(serving)} serves now."
        raise Refused(Reason.STATE, cause, f"{_again(agent, kind)} to measure against what serves.")
    found = require_servable(connection, agent, kind, topic, number, settings)
    if kind == "guidance":
        require_fitting(connection, agent, found)


def serve(
    connection: Connection, agent: AgentRef, proposal_kind: str, subject: Mapping[str, Any], incumbent: Mapping[str, Any], who: Reviewer, settings: Settings
) -> tuple[int, int]:  # fmt: skip
    """(version that serves now, version before; 0: nothing learnt). Raises Refused as `require` does."""
    kind, topic = _named(proposal_kind, subject)
    number = int(subject["version"])
    require(connection, agent, kind, topic, number, incumbent, settings)
    before = behavior_versions.move_serving(connection, agent, kind, number, who.user_id, topic)
    record_move(connection, agent, who, kind, topic, before, number)
    return number, before


def take_back(
    connection: Connection, agent: AgentRef, who: Reviewer, kind: Kind, topic: str | None, settings: Settings
) -> tuple[int, int | None]:
    """(version that serves now, version before; None if nothing had to be moved). `topic` None: the only one that ever served.

    Raises Refused where nothing learnt served, where several topics did and none is named, or what did is gone.
    """
    if topic is None:
        topic = _only_topic(connection, agent, kind)
    serving, target = (behavior_versions.label_target(connection, agent, kind, label, topic) for label in ("serving", "previous"))
    if target is None or serving is None:
        raise Refused(Reason.STATE, f"There is nothing to roll back: no learnt {_called(kind, topic)} ever served.", "Nothing was changed.")
    if serving == target:
        return target, None
    if target != NOTHING:
        require_servable(connection, agent, kind, topic, target, settings)
    behavior_versions.point(connection, agent, kind, "serving", target, who.user_id, topic)
    record_move(connection, agent, who, kind, topic, serving, target, "rolled back")
    return target, serving


def require_servable(connection: Connection, agent: AgentRef, kind: Kind, topic: str, number: int, settings: Settings) -> BehaviorVersion:
    """The version, if it can serve: it is there, of this topic, its artifact is as it was stored, and a policy can be read and holds no demonstration of
    an expert whose right was withdrawn. Raises Refused with the cause; what serves stays."""
    found = behavior_versions.version(connection, agent, kind, number)
    if found is None and (instead := behavior_versions.successor(connection, agent, kind, number)) is not None:
        cause = f"Version {number} held words of a person who was erased."
        raise Refused(Reason.STATE, cause, f"{numbered(instead).capitalize()} took its place.")
    if found is None or found.topic != topic:
        raise Refused(Reason.STATE, f"There is no version {number} of {agent.agent}'s {_called(kind, topic)}.", f"{_again(agent, kind)} to learn another one.")
    if found.artifact_path is None or found.artifact_sha256 is None:
        return found
    try:
        folder = fetch(settings, Artifact(found.artifact_path, found.artifact_sha256))
        taken_from = files.load(folder).demonstrations if kind == "policy" else ()
    except LearningError as error:
        raise Refused(Reason.STATE, f"Version {number} cannot be served: {error.cause}", error.advice) from error
    if count := len(behavior_demonstrations.withdrawn(connection, agent).intersection(taken_from)):
        cause = f"Version {number} was learnt from {count} demonstrations of experts whose right was withdrawn."
        raise Refused(Reason.STATE, cause, f"{_again(agent, kind)}: it learns without them.")
    return found


def rollback_of(agent: str, subject: Mapping[str, Any]) -> str:
    """The command that takes a served version back."""
    kind, topic = about(subject)
    return f"learning-pipelines rollback {agent} --kind {kind}" + (f" --topic '{topic}'" if topic else "")


def numbered(number: int) -> str:
    return "nothing learnt" if number == NOTHING else f"version {number}"


def _named(kind: str, subject: Mapping[str, Any]) -> tuple[Kind, str]:
    """Raises Refused for a subject that no proposal of this kind is about."""
    of, topic = about(subject)
    if of not in SUBJECTS[kind]:
        raise Refused(Reason.VALUE, f"A proposal of kind {kind} cannot be about {of!r}.", f"Its subject has one of the kinds {', '.join(SUBJECTS[kind])}.")
    return of, topic


def _only_topic(connection: Connection, agent: AgentRef, kind: Kind) -> str:
    topics = behavior_versions.topics(connection, agent, kind, "previous")
    if len(topics) > 1:
        raise Refused(Reason.VALUE, f"{agent.agent} has a {kind} for each of several topics.", f"Name one (--topic, topic): {', '.join(topics)}.")
    return topics[0] if topics else ""


def _called(kind: str, topic: str) -> str:
    return kind.replace("_", "-") + (f" of {topic!r}" if topic else "")


def _again(agent: AgentRef, kind: str) -> str:
    return f"Run `learning-pipelines run {JOBS.get(kind, 'behavior_learning')} --agent {agent.agent}`"


def record_move(connection: Connection, agent: AgentRef, who: Reviewer, kind: str, topic: str, before: int, after: int, action: str = "moved") -> None:
    """The audit row of a label that moved."""
    audit.record(
        connection, agent.organization_id, actor=who.actor, action=action, kind="behavior_label",
        subject=f"{agent.agent}/{kind}/{topic}/serving" if topic else f"{agent.agent}/{kind}/serving", fields=["version"], before=before, after=after,
    )  # fmt: skip
