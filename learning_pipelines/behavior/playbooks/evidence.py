"""Whether the steps of playbooks that serve, or may serve next, still rest on demonstrations that exist and teach.

Belongs here: which claims of a playbook are looked at, and the recount. Not here: making playbooks, SQL.

Every demonstration that a step or a way names must count now, have succeeded, be of the split train, and hold the action. A named one that was withdrawn,
replaced, rejected, or whose expert's right was withdrawn, is no evidence any more: the playbook must be learnt anew and approved, or taken back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from learning_pipelines.behavior.patterns.transitions import START
from learning_pipelines.behavior.playbooks.gate import KIND
from learning_pipelines.behavior.playbooks.playbook import Playbook
from learning_pipelines.behavior.playbooks.registry import proposed
from learning_pipelines.behavior.task import END
from learning_pipelines.storage import behavior_patterns, behavior_versions
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


@dataclass(frozen=True, slots=True)
class Unbacked:
    """A step (`place` from 0) of a version that names demonstrations which are no evidence for it now; no names of types: they may hold words."""

    version: int
    place: int
    missing: tuple[str, ...]


def unbacked(connection: Connection, agent: AgentRef) -> tuple[int, list[Unbacked]]:
    """(steps looked at, those without their evidence) of the agent's playbooks that serve or are proposed, recounted from the database."""
    serving = behavior_versions.labelled(connection, agent.organization_id, agent.agent_id, KIND, "serving")
    versions = {one.number: Playbook.from_json(one.config) for one in (*serving, *proposed(connection, agent))}
    named = {name for playbook in versions.values() for _, needed in _claims(playbook) for name in needed}
    teaching = behavior_patterns.holders(connection, agent, sorted(named)) if named else {}
    found, looked_at = list[Unbacked](), 0
    for number, playbook in sorted(versions.items()):
        for place, needed in _claims(playbook):
            looked_at += 1
            missing = tuple(sorted(name for name, kinds in needed.items() if not kinds <= teaching.get(name, frozenset())))
            if missing or not needed:
                found.append(Unbacked(number, place, missing))
    return looked_at, found


def _claims(playbook: Playbook) -> Iterator[tuple[int, Mapping[str, Set[str]]]]:
    """Per step: every demonstration it names, with the types that it must hold."""
    for place, step in enumerate(playbook.steps):
        needed: dict[str, set[str]] = {}
        own = {step.type} - {START}
        for name in step.named:
            needed.setdefault(name, set()).update(own)
        for branch in step.branches:
            for way in branch.ways:
                for name in way.named:
                    needed.setdefault(name, set()).update(own | ({way.after} - {END}))
        yield place, needed
