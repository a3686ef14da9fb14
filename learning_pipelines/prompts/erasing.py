"""Prompt versions without an erased person: which hold them, and what takes their place.

Belongs here: the decision for each version, demonstrations taken out, candidates of searches. Not here: SQL (storage/erasure_prompts.py), datasets that
demonstrations are picked from (examples/erasing.py).

A version holds a person where a demonstration in it is theirs, where their words stand in it, or where it picks demonstrations from a dataset version that
held them. It becomes a tombstone; its labels go to its successor: the same messages without these demonstrations, picking from the successor of the
dataset. Where the words stand in an instruction, the successor is the nearest version it came from that is without them, else the newest imported one,
at worst the same text with the words cut out. A successor of an approved version counts as approved: it says nothing that was not approved.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from learning_pipelines.acceptance.reviewing import Reviewer
from learning_pipelines.experiments import canary
from learning_pipelines.feedback.erasure.words import Words, folded
from learning_pipelines.prompts.prompt import content_hash
from learning_pipelines.storage import audit, proposals
from learning_pipelines.storage import erasure_prompts as storage
from learning_pipelines.storage import erasure_versions as versions
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.erasure_prompts import PromptVersion
from learning_pipelines.storage.prompts import lock_agent
from learning_pipelines.storage.tenants import AgentRef

ERASURE = Reviewer("erasure")
WHY = "It held words of a person who was erased."
Messages = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Buried:
    """A version that became a tombstone, and the version in its place. `hashes`: contents of both, by which guidance knows its prompt."""

    version: int
    successor: int
    why: str
    hashes: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Theirs:
    """What is the person's in this agent's prompts. `turns`: inputs of erased examples with their answers, folded; `since`: when they were first heard of;
    `datasets`: dataset versions that held them, and their successors."""

    words: Words
    turns: frozenset[tuple[str, str]]
    datasets: Mapping[str, str | None]
    since: dt.datetime


def erase_prompts(connection: Connection, agent: AgentRef, theirs: Theirs) -> tuple[list[Buried], int]:
    """Makes tombstones of the agent's versions that hold the person; those, and how many candidates of searches lost their words."""
    lock_agent(connection, agent)
    known = storage.prompts(connection, agent)
    theirs = _not_shared(connection, agent, known, theirs)
    text = storage.system_prompt(connection, agent)
    if (cut := theirs.words.cut_from(text)) != text:
        storage.cut_system_prompt(connection, agent, cut)
    holding = {one.number: why for one in known if not one.erased and (why := _why(one, theirs)) is not None}
    buried = list[Buried]()
    standing = [one for one in known if one.number not in holding and not one.erased]
    places = {one.number: one.successor for one in known if one.erased}
    contents = {one.number: one.content_hash for one in standing}
    for one in known:
        if one.number not in holding:
            continue
        number, content = _in_its_place(connection, agent, one, theirs, known, places, contents)
        places[one.number] = number
        _bury(connection, agent, one, number)
        buried.append(Buried(one.number, number, holding[one.number], (one.content_hash.hex(), content.hex())))
    return buried, _candidates(connection, agent, theirs)


def without_demonstrations(messages: Sequence[Mapping[str, Any]], theirs: Theirs) -> Messages:
    """The messages without the turns of user and assistant that demonstrate something of the person."""
    kept, place = Messages(), 0
    while place < len(messages):
        one, after = messages[place], messages[place + 1] if place + 1 < len(messages) else None
        if after is not None and (one["role"], after["role"]) == ("user", "assistant"):
            if not _is_theirs(one["content"], after["content"], theirs):
                kept += [dict(one), dict(after)]
            place += 2
            continue
        kept.append(dict(one))
        place += 1
    return kept


def _is_theirs(asked: str, answered: str, theirs: Theirs) -> bool:
    return (folded(asked), folded(answered)) in theirs.turns or theirs.words.holds(asked) or theirs.words.holds(answered)


def _why(one: PromptVersion, theirs: Theirs) -> str | None:
    """Why a version holds the person; None if it does not."""
    if _pool(one.serving) in theirs.datasets:
        return "few-shot pool"
    if without_demonstrations(one.messages, theirs) != one.messages:
        return "demonstrations"
    return "words" if theirs.words.holds([message["content"] for message in one.messages]) or theirs.words.holds(one.serving) else None


def _pool(serving: Mapping[str, Any]) -> str:
    return str((serving.get("retrieval") or {}).get("dataset_id") or "")


def _in_its_place(
    connection: Connection, agent: AgentRef, one: PromptVersion, theirs: Theirs, known: Sequence[PromptVersion], places: Mapping[int, int | None],
    contents: dict[int, bytes],
) -> tuple[int, bytes]:  # fmt: skip
    """(number, content hash) of the version that takes a version's place, made where there is none with its content."""
    kept = without_demonstrations(one.messages, theirs)
    if theirs.words.holds([message["content"] for message in kept]):
        earlier = _earlier(one, known, contents, places)
        if earlier is not None:
            return earlier, contents[earlier]
        kept = [{**message, "content": theirs.words.cut_from(message["content"])} for message in kept]
    serving, dataset = _serving(one.serving, theirs.datasets), one.dataset_id
    if dataset is not None and str(dataset) in theirs.datasets:
        replaced = theirs.datasets[str(dataset)]
        dataset = None if replaced is None else UUID(replaced)
    content = content_hash(kept, serving)
    same = next((number for number, other in sorted(contents.items()) if other == content), None)
    if same is None:
        same = storage.add_prompt(connection, agent, one, kept, serving, content, dataset)
        contents[same] = content
        audit.record(
            connection, agent.organization_id, actor=ERASURE.actor, action="succeeded", kind="prompt_version", subject=f"{agent.agent}/{same}",
            fields=["messages", "serving"], before=one.number, after=[kept, serving],
        )  # fmt: skip
    return same, content


def _earlier(one: PromptVersion, known: Sequence[PromptVersion], standing: Collection[int], places: Mapping[int, int | None]) -> int | None:
    """The nearest version that this one came from and that is without the person (or what took its place), else the newest imported one before it."""
    parents, at, seen = {version.number: version.parent for version in known}, one.parent, set[int]()
    while at is not None and at not in seen:
        seen.add(at)
        if at in standing:
            return at
        if (instead := places.get(at)) is not None and instead in standing:
            return instead
        at = parents.get(at)
    imported = [version.number for version in known if version.number in standing and version.origin == "imported" and version.number < one.number]
    return max(imported, default=None)


def _serving(serving: Mapping[str, Any], datasets: Mapping[str, str | None]) -> dict[str, Any]:
    """What is done for each input, picking from the successor of the dataset; nothing where none is left to pick from."""
    pool = _pool(serving)
    if pool not in datasets:
        return dict(serving)
    if datasets[pool] is None:
        return {name: value for name, value in serving.items() if name != "retrieval"}
    return {**serving, "retrieval": {**serving["retrieval"], "dataset_id": datasets[pool]}}


def _bury(connection: Connection, agent: AgentRef, one: PromptVersion, successor: int) -> None:
    storage.bury_prompt(connection, agent, one.number, successor)
    reject_proposals(connection, agent, ("prompt",), None, one.number)
    canary.end_those_of(connection, agent, "prompt", one.number, ERASURE, f"Version {one.number} was taken out of service: {WHY}")
    for label in one.labels:
        audit.record(
            connection, agent.organization_id, actor=ERASURE.actor, action="moved", kind="prompt_label", subject=f"{agent.agent}/{label}",
            fields=["version"], before=one.number, after=successor,
        )  # fmt: skip
    audit.record(
        connection, agent.organization_id, actor=ERASURE.actor, action="erased", kind="prompt_version", subject=f"{agent.agent}/{one.number}",
        fields=["messages", "serving"], before=one.number, after=successor,
    )  # fmt: skip


def reject_proposals(connection: Connection, agent: AgentRef, kinds: Collection[str], version_kind: str | None, number: int) -> int:
    """Rejects open proposals about a version that became a tombstone; how many."""
    found = versions.proposals_about(connection, agent, kinds, version_kind, number)
    for identity in found:
        proposal = proposals.find(connection, agent.organization_id, identity, lock=True)
        assert proposal is not None
        proposals.close(connection, agent.organization_id, proposal, "rejected", rollout=None, reviewed_by=None, notes=WHY)
        audit.record(
            connection, agent.organization_id, actor=ERASURE.actor, action="rejected", kind="proposal", subject=str(identity), fields=["state", "notes"],
            before="open", after="rejected",
        )  # fmt: skip
    return len(found)


def _not_shared(connection: Connection, agent: AgentRef, known: Sequence[PromptVersion], theirs: Theirs) -> Theirs:
    """Without texts that are not the person's alone: those that a version had before they were heard of, and those of examples that stay."""
    said = set[str]()
    for one in known:
        if one.created_at >= theirs.since:
            for message in one.messages:
                said |= theirs.words.found_in(message["content"])
    said |= theirs.words.found_in(storage.system_prompt(connection, agent))
    older = {text for one in known if one.created_at < theirs.since for message in one.messages for text in theirs.words.found_in(message["content"])}
    shared = older | storage.shared_texts(connection, agent, said)
    turns = {text for pair in theirs.turns for text in pair}
    others = storage.shared_texts(connection, agent, turns) if turns else set()
    left = frozenset(pair for pair in theirs.turns if not set(pair) <= others)
    return Theirs(theirs.words.without_texts(shared) if shared else theirs.words, left, theirs.datasets, theirs.since)


def _candidates(connection: Connection, agent: AgentRef, theirs: Theirs) -> int:
    changed = 0
    for run_id, name, messages, serving, shown, note in storage.candidates(connection, agent):
        left = [example for example in shown if example not in theirs.words.ids]
        words = messages is not None and (without_demonstrations(messages, theirs) != messages or theirs.words.holds(messages))
        if words or left != list(shown) or theirs.words.holds(note or "") or _pool(serving or {}) in theirs.datasets:
            storage.empty_candidate(connection, agent, run_id, name, left, theirs.words.cut_from(note) if note else note)
            changed += 1
    return changed
