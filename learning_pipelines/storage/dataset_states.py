"""What a dataset was last made from, and whether anything that it depends on changed since.

Belongs here: SQL of dataset_states and example_changes. Not here: making datasets (examples/datasets.py), the triggers that note changes (migration 0019).

Every change of an example, of the people behind it, of ratings or their weights leaves a row in example_changes in its own transaction,
new feedback one in the outbox. A refresh deletes the rows it sees before it reads anything: what it does not see is left for the next.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from learning_pipelines.storage import outbox
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.outbox import Position
from learning_pipelines.storage.tenants import AgentRef

TRUSTED = dt.timedelta(hours=12)
"""So long an answer stands without being computed again: half as long as outbox entries are kept at least."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a refresh took up. `reworded`: the examples whose content changed since the last one, None if they are not known one by one."""

    reworded: frozenset[str] | None
    heard: Position


def question(connection: Connection, agent: AgentRef, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked, and what it depends on beside the examples: the prompt in production, what was archived, the newest version, the cluster."""
    row = connection.execute(
        """SELECT (SELECT version || '/' || encode(content_hash, 'hex') FROM training_datasets
                WHERE organization_id = %(organization)s AND name = %(name)s ORDER BY version DESC LIMIT 1),
            (SELECT p.version || '/' || encode(p.content_hash, 'hex') FROM prompt_labels l JOIN prompt_versions p USING (organization_id, agent_id, version)
                WHERE l.organization_id = %(organization)s AND l.agent_id = %(agent)s AND l.label = 'production'),
            (SELECT count(*) FROM archived_partitions WHERE organization_id = %(organization)s)""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "name": agent.agent},
    ).fetchone()
    assert row is not None
    return {**asked, "newest": row[0], "prompt": row[1], "archived": int(row[2]), "cluster": outbox.cluster(connection)}


def answer(connection: Connection, agent: AgentRef, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the last refresh said, if it was asked the same and nothing can have changed since. A few index probes; reads no example."""
    row = connection.execute(
        """SELECT s.answer FROM dataset_states s
        WHERE s.organization_id = %(organization)s AND s.agent_id = %(agent)s AND s.question = %(question)s AND s.made_at > now() - %(trusted)s
            AND NOT EXISTS (SELECT FROM example_changes c WHERE c.organization_id = s.organization_id AND c.agent_id = s.agent_id)
            AND NOT EXISTS (SELECT FROM outbox o WHERE o.organization_id = s.organization_id AND o.agent_id = s.agent_id AND o.kind = 'feedback'
                AND (o.xid, o.id) > (s.heard_xid, s.heard_id) AND EXISTS (SELECT FROM example_sources x
                    WHERE x.organization_id = o.organization_id AND x.execution_id = o.execution_id))""",
        {
            "organization": agent.organization_id, "agent": agent.agent_id, "question": Jsonb(question(connection, agent, asked)),
            "trusted": TRUSTED,
        },
    ).fetchone()  # fmt: skip
    return None if row is None else dict(row[0])


def take_up(connection: Connection, agent: AgentRef) -> Changes:
    """Deletes the changes that are visible now. In the transaction of the refresh, before it reads what they are about."""
    mine = [agent.organization_id, agent.agent_id]
    here = outbox.cluster(connection)
    last = connection.execute(
        """SELECT xid::text, id FROM outbox WHERE organization_id = %s AND agent_id = %s AND xid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY outbox.xid DESC, outbox.id DESC LIMIT 1""",
        mine,
    ).fetchone()
    found = connection.execute("DELETE FROM example_changes WHERE organization_id = %s AND agent_id = %s RETURNING reworded", mine).fetchall()
    reworded = None if any(names is None for (names,) in found) else frozenset(name for (names,) in found for name in names)
    return Changes(reworded, Position(here, 0, 0) if last is None else Position(here, int(last[0]), int(last[1])))


def known_content(connection: Connection, agent: AgentRef, schema: int) -> bool:
    """Whether the newest version says what its examples said when the last refresh looked: then those not reworded since still say so."""
    row = connection.execute(
        """SELECT EXISTS (SELECT FROM dataset_states s JOIN (SELECT content_hash FROM training_datasets WHERE organization_id = %(organization)s
            AND name = %(name)s ORDER BY version DESC LIMIT 1) AS newest ON s.answer ->> 'content_hash' = encode(newest.content_hash, 'hex')
            WHERE s.organization_id = %(organization)s AND s.agent_id = %(agent)s AND (s.question ->> 'schema')::integer = %(schema)s)""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "name": agent.agent, "schema": schema},
    ).fetchone()
    return row is not None and bool(row[0])


def remember(connection: Connection, agent: AgentRef, asked: Mapping[str, Any], said: Mapping[str, Any], heard: Position) -> None:
    """Keeps the answer; part of the transaction that made it."""
    connection.execute(
        """INSERT INTO dataset_states AS s (organization_id, agent_id, question, answer, heard_xid, heard_id) VALUES (%s, %s, %s, %s, %s::xid8, %s)
        ON CONFLICT (organization_id, agent_id) DO UPDATE SET question = excluded.question, answer = excluded.answer,
            heard_xid = excluded.heard_xid, heard_id = excluded.heard_id, made_at = now()""",
        [agent.organization_id, agent.agent_id, Jsonb(question(connection, agent, asked)), Jsonb(said), str(heard.xid), heard.id],
    )


def forget(connection: Connection, agent: AgentRef) -> None:
    """The next refresh reads everything."""
    connection.execute("DELETE FROM dataset_states WHERE organization_id = %s AND agent_id = %s", [agent.organization_id, agent.agent_id])


def prune(connection: Connection, most: int = 1_000) -> int:
    """Replaces the changes of agents that have more than `most` of them by one that says as much; returns how many rows that saves.

    An agent whose dataset nobody refreshes would gather them for ever. A refresh that waits for this takes the new row up next time.
    """
    row = connection.execute(
        """WITH full_up AS (SELECT organization_id, agent_id FROM example_changes GROUP BY 1, 2 HAVING count(*) > %s),
        gone AS (DELETE FROM example_changes c USING full_up f WHERE c.organization_id = f.organization_id AND c.agent_id = f.agent_id
            RETURNING c.organization_id, c.agent_id),
        kept AS (INSERT INTO example_changes (organization_id, agent_id, reworded)
            SELECT DISTINCT organization_id, agent_id, NULL::text[] FROM gone RETURNING 1)
        SELECT (SELECT count(*) FROM gone) - (SELECT count(*) FROM kept)""",
        [most],
    ).fetchone()
    assert row is not None
    return int(row[0])
