"""Learnt behaviour without an erased person: versions that hold their words or ids made anew without them, or put out of use.

Belongs here: the decision for each kind of version, policies without their demonstrations, clusters of corrections, patterns. Not here: SQL (storage/),
what merely saw the person (feedback/erasure/retraining.py).

Taking entries out needs no approval: what is left was approved. A playbook is stated anew from the demonstrations that are left where they give the very
same advice; else its ids are taken out, and it goes where it names what nobody else says. Rules that quote the person, or name such words, go: another
text would be another rule. A tombstone's labels point at the nearest earlier version of its topic that is without the person, else at nothing learnt.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learning_pipelines.behavior.corrections.facts import anchors, facts_of
from learning_pipelines.behavior.corrections.refresh import rename_clusters
from learning_pipelines.behavior.demonstrations import load
from learning_pipelines.behavior.patterns import finding
from learning_pipelines.behavior.playbooks import making, render
from learning_pipelines.behavior.playbooks.gate import config_of
from learning_pipelines.behavior.playbooks.playbook import Playbook
from learning_pipelines.behavior.policy import files
from learning_pipelines.behavior.policy.erasing import without
from learning_pipelines.behavior.policy.policy import Learnt
from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.experiments import canary
from learning_pipelines.feedback.erasure.words import Words, strings, tokens
from learning_pipelines.prompts.erasing import ERASURE, WHY, Buried, reject_proposals
from learning_pipelines.retrieval import artifacts
from learning_pipelines.retrieval.index import Artifact
from learning_pipelines.settings import Settings
from learning_pipelines.storage import audit, behavior_versions
from learning_pipelines.storage import erasure_corrections as clusters
from learning_pipelines.storage import erasure_versions as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.erasure_versions import LearntVersion
from learning_pipelines.storage.prompts import lock_agent
from learning_pipelines.storage.tenants import AgentRef

Own = Callable[[set[str]], set[str]]
"""Of these words those that the person alone said."""


@dataclass(frozen=True, slots=True)
class Theirs:
    """What is the person's in an agent's behaviour. `demonstrations`, `examples`: erased ids; `clusters`: of corrections they had a part in; `datasets`:
    versions that held them, and their successors; `prompts`: which became tombstones."""

    words: Words
    own: Own
    demonstrations: frozenset[str]
    examples: frozenset[str]
    clusters: frozenset[str]
    datasets: Mapping[str, str | None]
    prompts: Sequence[Buried] = ()


@dataclass
class Done:
    """`buried`: (kind, number, successor) of tombstones, 0 where nothing learnt is in their place; `files`: artifacts that no version names any more;
    `copies`: hashes of those whose copies on this machine go."""

    buried: list[tuple[str, int, int]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    clusters: int = 0
    patterns: int = 0


def erase_behavior(connection: Connection, agent: AgentRef, settings: Settings, theirs: Theirs, patterned: bool) -> Done:
    """Takes the person out of what the agent learnt of behaviour. The erased demonstrations and examples are gone already; part of the caller's transaction."""
    lock_agent(connection, agent)
    done = Done()
    if theirs.clusters:
        done.clusters = _clusters(connection, agent, theirs.clusters)
    if patterned:
        finding.refresh(connection, agent, None)
        done.patterns = 1
    run = _Run(connection, agent, settings, theirs, done)
    for kind in ("policy", "playbook", "rules", "fine_tune", "guidance"):  # guidance names playbooks and rules by their numbers
        run.all_of(kind)
    return done


@dataclass
class _Run:
    connection: Connection
    agent: AgentRef
    settings: Settings
    theirs: Theirs
    done: Done
    places: dict[tuple[str, int], int] = field(default_factory=dict)

    def all_of(self, kind: str) -> None:
        """Versions of a kind, the oldest first, so that what an older one became is known."""
        known = [one for one in storage.behavior(self.connection, self.agent) if one.kind == kind]
        holding = {one.number for one in known if self._holds(one)}
        for one in known:
            if one.number not in holding:
                continue
            made = self._without(one)
            successor = self._add(one, *made) if made is not None else self._earlier(one, known, holding)
            self._bury(one, successor)

    def _holds(self, one: LearntVersion) -> bool:
        theirs, config = self.theirs, one.config
        match one.kind:
            case "policy":
                return (bool(theirs.demonstrations) and self._demonstrates(one)) or theirs.words.holds(config)
            case "playbook":
                return not theirs.demonstrations.isdisjoint(strings(config)) or theirs.words.holds(config) or bool(theirs.own(_named(config)))
            case "rules":
                said = {token for text in strings({**config, "examples": []}) for token in tokens(text)}
                quoted = not theirs.examples.isdisjoint(strings(config))
                return quoted or theirs.words.holds(config) or (one.topic in theirs.clusters and bool(theirs.own(said - _TEMPLATE)))
            case "guidance":
                notes = {("playbook", number) for number in config.get("playbooks", ())} | {("rules", number) for number in config.get("rules", ())}
                prompt = any(config.get("prompt") == buried.hashes[0] for buried in theirs.prompts)
                items = not theirs.examples.isdisjoint(config.get("items", {}))
                return config.get("dataset_id") in theirs.datasets or items or prompt or not notes.isdisjoint(self.places) or theirs.words.holds(config)
        return theirs.words.holds(config)

    def _without(self, one: LearntVersion) -> tuple[dict[str, Any], Artifact | None] | None:
        """The config and artifact of a version without the person; None where none can be made."""
        match one.kind:
            case "policy":
                return self._policy(one)
            case "playbook":
                return self._playbook(one)
            case "guidance":
                return self._guidance(one.config), None
            case "rules":
                return None
        return self.theirs.words.taken_from(one.config), None if one.artifact is None else Artifact(*one.artifact)

    def _demonstrates(self, one: LearntVersion) -> bool:
        """Whether a policy names a demonstration of the person, or cannot be read: then it cannot serve either."""
        learnt = self._loaded(one)
        return learnt is None or not self.theirs.demonstrations.isdisjoint(learnt.demonstrations)

    def _loaded(self, one: LearntVersion) -> Learnt | None:
        if one.artifact is None:
            return None
        try:
            return files.load(artifacts.fetch(self.settings, Artifact(*one.artifact)))
        except Unavailable:
            raise  # a store that is away now says nothing about the policy: the erasure is tried again
        except LearningError:
            return None

    def _policy(self, one: LearntVersion) -> tuple[dict[str, Any], Artifact] | None:
        learnt = self._loaded(one)
        left = None if learnt is None else without(learnt, self.theirs.demonstrations, self.theirs.own)
        if left is None:
            return None
        with tempfile.TemporaryDirectory(prefix="erasing-") as place:
            folder = Path(place) / "policy"
            files.save(left, folder)
            artifact = artifacts.put_folder(self.settings, self.agent, folder)
        config = {**self.theirs.words.taken_from(one.config), "demonstrations": len(left.demonstrations), "content": f"erased from {one.number}"}
        return config, artifact

    def _playbook(self, one: LearntVersion) -> tuple[dict[str, Any], None] | None:
        shown = load(self.connection, self.agent)
        group = next((found for found in finding.read(self.connection, self.agent, shown) if found.task_type == one.topic), None)
        if group is not None and group.succeeded:
            candidate = making.candidate_of(group, shown)
            if candidate.playbook.advice() == one.config.get("advice"):
                return config_of(candidate), None
        if self.theirs.own(_named(one.config)):
            return None
        bare = {name: value for name, value in one.config.items() if name not in ("text", "markdown")}
        left = self.theirs.words.taken_from(bare)
        try:
            playbook = Playbook.from_json(left)
        except (KeyError, TypeError, ValueError):
            return None
        said = {"text": render.text(playbook), "markdown": render.markdown(playbook)}
        return None if self.theirs.words.holds({**left, **said}) else ({**left, **said}, None)

    def _guidance(self, config: Mapping[str, Any]) -> dict[str, Any]:
        theirs = self.theirs
        left = {**config, "items": {name: value for name, value in config.get("items", {}).items() if name not in theirs.examples}}
        if config.get("dataset_id") in theirs.datasets and (replaced := theirs.datasets[str(config["dataset_id"])]) is not None:
            left["dataset_id"] = replaced
        for buried in theirs.prompts:
            if left.get("prompt") == buried.hashes[0]:
                left |= {"prompt": buried.hashes[1], "prompt_version": buried.successor}
        for name, kind in (("playbooks", "playbook"), ("rules", "rules")):
            numbers = [self.places.get((kind, number), number) for number in config.get(name, ())]
            left[name] = [number for number in numbers if number]
        moved = {f"{kind}/{old}": f"{kind}/{new}" for (kind, old), new in self.places.items()}
        left["items"] = {_renamed(name, moved): value for name, value in left["items"].items()}
        taken: dict[str, Any] = theirs.words.taken_from(left)
        return taken

    def _add(self, one: LearntVersion, config: dict[str, Any], artifact: Artifact | None) -> int:
        kind: Any = one.kind
        return behavior_versions.add(
            self.connection, self.agent, kind, topic=one.topic, parent=one.number, config=config, metrics={**one.metrics, "successor_of": one.number},
            artifact=None if artifact is None else (artifact.path, artifact.sha256), training_run_id=one.training_run_id,
        )  # fmt: skip

    def _earlier(self, one: LearntVersion, known: Sequence[LearntVersion], holding: set[int]) -> int:
        """The nearest version that this one took the place of and that is without the person, or what took its place; 0: nothing learnt."""
        parents, at, seen = {other.number: other.parent or 0 for other in known}, one.parent or 0, set[int]()
        while at and at not in seen:
            seen.add(at)
            if at not in holding and at in parents:
                return at
            if self.places.get((one.kind, at)):
                return self.places[one.kind, at]
            at = parents.get(at, 0)
        return 0

    def _bury(self, one: LearntVersion, successor: int) -> None:
        connection, agent = self.connection, self.agent
        storage.bury_behavior(connection, agent, one, successor)
        self.places[one.kind, one.number] = successor
        self.done.buried.append((one.kind, one.number, successor))
        reject_proposals(connection, agent, ("policy", "playbook", "fine_tune"), one.kind, one.number)
        if one.kind == "policy":
            canary.end_those_of(connection, agent, "policy", one.number, ERASURE, f"Version {one.number} was taken out of service: {WHY}")
        audit.record(
            connection, agent.organization_id, actor=ERASURE.actor, action="erased", kind="behavior_version", subject=f"{agent.agent}/{one.kind}/{one.number}",
            fields=["config", "artifact"], before=one.number, after=successor,
        )  # fmt: skip
        if one.artifact is not None:
            path, sha256 = one.artifact
            self.done.files.append(path)
            self.done.copies.append(sha256)


def _renamed(name: str, moved: Mapping[str, str]) -> str:
    """A piece's name under the number that its playbook or rules have now."""
    whole, _, place = name.rpartition("/")
    return moved.get(name) or (f"{moved[whole]}/{place}" if whole in moved else name)


def _named(config: Mapping[str, Any]) -> set[str]:
    """Words that a playbook names beside its own: types, keys, values, words of conditions."""
    said = {name: config.get(name) for name in ("task_type", "usual", "steps", "avoid", "seldom")}
    return {token for text in strings(list(said.values())) for token in tokens(text)} - _FIELDS


def _clusters(connection: Connection, agent: AgentRef, touched: frozenset[str]) -> int:
    """Clusters that the person had a part in: those nothing is left of go, the others are named anew by what is left."""
    left = clusters.left(connection, agent, touched)
    clusters.drop(connection, agent, sorted(touched - left.keys()))
    for cluster, pairs in left.items():
        brought = next((found for original, corrected in pairs if (found := anchors(facts_of(original), facts_of(corrected)))), frozenset[str]())
        clusters.forget_words(connection, agent, cluster, brought)
    rename_clusters(connection, agent, sorted(left))
    return len(touched)


_TEMPLATE = frozenset(tokens("messages like about when asked also does your this that what with from have"))
_FIELDS = frozenset(
    tokens("task_type usual steps avoid seldom support experts evidence branches arguments contested when ways next demonstrations count given constant values"
           " source situations sides failed succeeded sure types before done times value says told earlier task omitted success")
)  # fmt: skip
"""Names of fields and fixed values of a playbook's JSON."""
