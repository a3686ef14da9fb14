"""Old prompt versions that nothing refers to: which those are, and deleting them.

Belongs here: what a version is needed for, the SQL that finds and deletes. Not here: behaviour and searches (version_retention.py), tombstones of an
erasure (erasure_prompts.py), when it is done (defs/housekeeping.py).

Most versions stay for ever, and are meant to. Whatever was proposed, tried, measured, executed or labelled leads back from a version to the feedback it
was learnt from, through all the versions before it: a link taken out of that line would cut everything behind it, so a version that is needed keeps the
whole line it came from. What goes are ends: versions that were written or learnt, led to no other and were never used. A link is kept with its text,
since any version can be served again and texts are small (5,000 of 8,000 characters: 32 MB).

Executions in archived months are not asked: every file of the archive would be read for it. What can have answered them is known without: versions that
a label ever pointed at (the audit log tells), that were imported, that an experiment tried or whose answers the judge scored.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from learning_pipelines.storage import audit
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.prompts import lock_agent
from learning_pipelines.storage.tenants import AgentRef

YOUNG = dt.timedelta(days=30)
"""What is younger stays, however many there are: somebody may be about to use it."""
BATCH = 500
"""Versions that one transaction deletes, while imports of the agent's prompt wait for it; more only where they refer to each other."""


@dataclass(frozen=True, slots=True)
class Link:
    """A version in the line of versions. `successor`: of a tombstone, what took its place. `stays`: whatever refers to it."""

    version: int
    parent: int | None
    successor: int | None
    stays: bool


def unneeded(links: Sequence[Link], kept: int, named: Collection[int]) -> set[int]:
    """Numbers that may go: neither among the newest `kept`, nor `named`, nor bound to one that stays.

    Bound to a version are the one it came from, what took its place, and tombstones in whose place it stands.
    """
    known = {link.version: link for link in links}
    buried: dict[int, list[int]] = {}
    for link in links:
        if link.successor is not None:
            buried.setdefault(link.successor, []).append(link.version)
    ahead = [*sorted(known)[-kept:], *named, *(link.version for link in links if link.stays)]
    needed = set[int]()
    while ahead:
        number = ahead.pop()
        if number in needed or number not in known:
            continue
        needed.add(number)
        link = known[number]
        ahead += [other for other in (link.parent, link.successor, *buried.get(number, ())) if other is not None]
    return set(known) - needed


def batch(links: Sequence[Link], doomed: Collection[int], most: int) -> set[int]:
    """The highest `most` of the doomed, with those that refer to these: what one statement deletes without leaving a reference to nothing."""
    chosen = set(sorted(doomed)[-most:])
    while more := {link.version for link in links if link.version in doomed and link.version not in chosen and {link.parent, link.successor} & chosen}:
        chosen |= more
    return chosen


def prune_prompts(connection: Connection, agent: AgentRef, kept: int, history: dt.timedelta, young: dt.timedelta = YOUNG) -> int:
    """Deletes an agent's prompt versions that nothing refers to, beyond the newest `kept` and older than `young`; returns how many.

    `history`: how old a measurement of a version may be that still holds it. Each batch is a transaction of its own, with its entry in the audit log.
    """
    sought = unneeded(_links(connection, agent, young), kept, _named(connection, agent, history))
    if not sought:
        return 0
    # Before the lock: it reads all of the agent's executions.
    used, deleted = _answered(connection, agent, sought) | _labelled_once(connection, agent, sought), 0
    while gone := _delete(connection, agent, kept, history, young, sought, used):
        deleted += gone
    return deleted


def _delete(
    connection: Connection, agent: AgentRef, kept: int, history: dt.timedelta, young: dt.timedelta, sought: Collection[int], used: Collection[int]
) -> int:
    """One batch. Whether something refers to them is looked at again under the lock that labels and new versions take."""
    with connection.transaction():
        lock_agent(connection, agent)
        links = _links(connection, agent, young)
        others = {link.version for link in links} - set(sought)
        doomed = unneeded(links, kept, {*_named(connection, agent, history), *used, *others})
        if not doomed:
            return 0
        gone = batch(links, doomed, BATCH)
        connection.execute(
            "DELETE FROM prompt_versions WHERE organization_id = %s AND agent_id = %s AND version = ANY(%s)",
            [agent.organization_id, agent.agent_id, list(gone)],
        )
        audit.record(
            connection, agent.organization_id, actor="cleanup", action="deleted", kind="prompt_versions", subject=agent.agent,
            fields=[f"count={len(gone)}", f"first={min(gone)}", f"last={max(gone)}"], before=sorted(gone),
        )  # fmt: skip
    return len(gone)


def _links(connection: Connection, agent: AgentRef, young: dt.timedelta) -> list[Link]:
    # What was imported served at once, or is what serves while learning is switched off, as the first is where nothing was imported (prompts.served).
    rows = connection.execute(
        """SELECT version, parent_version, successor, created_at >= now() - %(young)s OR origin = 'imported' OR version IN (min(version) OVER everything,
            min(version) FILTER (WHERE erased_at IS NULL) OVER everything) IS TRUE
        FROM prompt_versions WHERE organization_id = %(organization)s AND agent_id = %(agent)s WINDOW everything AS ()""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "young": young},
    ).fetchall()
    return [Link(int(row[0]), row[1], row[2], bool(row[3])) for row in rows]


_MINE = "organization_id = %(organization)s AND agent_id = %(agent)s"
_NAMED = f"""
SELECT version::text FROM prompt_labels WHERE {_MINE}
UNION SELECT side ->> 'version' FROM proposals, unnest(ARRAY[subject, incumbent]) AS side WHERE {_MINE} AND kind = 'prompt'
UNION SELECT side ->> 'version' FROM acceptance_tests, unnest(ARRAY[candidate, incumbent]) AS side WHERE {_MINE} AND kind = 'prompt'
UNION SELECT arm ->> 'version' FROM learning_experiments, jsonb_array_elements(arms) AS arm WHERE {_MINE} AND subject = 'prompt'
UNION SELECT version::text FROM prompt_evaluations WHERE {_MINE} AND created_at >= now() - %(history)s
-- Guidance and fine-tuned models were measured with a prompt, and a run may end in a version that comes from the one it began with.
UNION SELECT config ->> 'prompt_version' FROM behavior_versions WHERE {_MINE}
UNION SELECT config ->> name FROM training_runs, unnest(ARRAY['incumbent_version', 'prompt_version']) AS name WHERE {_MINE} AND status IN ('pending', 'running')
UNION SELECT recipe #>> '{{prompt,version}}' FROM training_datasets WHERE organization_id = %(organization)s AND agent_ids @> ARRAY[%(agent)s]"""


def _named(connection: Connection, agent: AgentRef, history: dt.timedelta) -> set[int]:
    """Numbers that a row of the agent's names, for ever or (measurements) for `history`."""
    values = {"organization": agent.organization_id, "agent": agent.agent_id, "history": history}
    return _numbers(connection.execute(_NAMED, values).fetchall())


def _answered(connection: Connection, agent: AgentRef, numbers: Collection[int]) -> set[int]:
    """Of these numbers those that answered an execution that is not archived, or one that the judge scored."""
    values = {"organization": agent.organization_id, "agent": agent.agent_id, "numbers": [str(number) for number in numbers]}
    rows = connection.execute(
        f"""SELECT prompt_version FROM agent_executions WHERE {_MINE} AND prompt_version = ANY(%(numbers)s)
        UNION SELECT prompt_version FROM execution_scores WHERE {_MINE} AND prompt_version = ANY(%(numbers)s)""",
        values,
    ).fetchall()
    return _numbers(rows)


def _labelled_once(connection: Connection, agent: AgentRef, numbers: Collection[int]) -> set[int]:
    """Of these numbers those that a label was moved to or away from, by the hashes that the audit log holds of numbers."""
    rows = connection.execute(
        """SELECT DISTINCT side FROM audit_log, unnest(ARRAY[before_hash, after_hash]) AS side
        WHERE organization_id = %s AND subject_kind = 'prompt_label' AND starts_with(subject_id, %s)""",
        [agent.organization_id, f"{agent.agent}/"],
    ).fetchall()
    known = {bytes(row[0]) for row in rows if row[0] is not None}
    return {number for number in numbers if audit.content_hash(number) in known}


def _numbers(rows: Sequence[tuple[object, ...]]) -> set[int]:
    return {int(str(text)) for (text,) in rows if text is not None and str(text).isdecimal()}
