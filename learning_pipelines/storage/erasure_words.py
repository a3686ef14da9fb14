"""What a person said and what names them, read for those who look for it; JSON and notes in which it may stand all the same.

Belongs here: SQL over the temporary tables erased_* and over columns of JSON. Not here: looking (feedback/erasure/words.py), rows of tables that are about
the person.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


def common_tokens(connection: Connection, agent: AgentRef, tokens: Iterable[str]) -> set[str]:
    """Of these words (in lower case) those that somebody else's examples or demonstrations say, or the agent's own prompt."""
    rows = connection.execute(
        """SELECT t.token FROM unnest(%(tokens)s::text[]) AS t (token) WHERE
            EXISTS (SELECT FROM learning_examples e WHERE e.organization_id = %(organization)s AND e.agent_id = %(agent)s
                AND strpos(lower(concat_ws(' ', e.input_text, e.expected_output, e.original_output, e.task_type, e.input_context)), t.token) > 0
                AND NOT EXISTS (SELECT FROM erased_examples x WHERE x.example_id = e.id))
            OR EXISTS (SELECT FROM demonstrations d WHERE d.organization_id = %(organization)s AND d.agent_id = %(agent)s
                AND strpos(lower(concat_ws(' ', d.task_type, d.task_description, d.actions, d.final_output, d.input_state)), t.token) > 0
                AND NOT EXISTS (SELECT FROM erased_demonstrations x WHERE x.demonstration_id = d.id))
            OR EXISTS (SELECT FROM agents a WHERE a.organization_id = %(organization)s AND a.id = %(agent)s
                AND strpos(lower(concat_ws(' ', a.system_prompt, a.name, a.domain, a.labels)), t.token) > 0)""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "tokens": sorted(tokens)},
    ).fetchall()
    return {str(token) for (token,) in rows}


def demonstrated(connection: Connection, organization_id: UUID) -> list[str]:
    """Every text of the erased demonstrations, as JSON where it is none."""
    rows = connection.execute(
        """SELECT concat_ws(E'\\n', d.task_type, d.task_description, d.input_state, d.actions, d.reasoning, d.final_output)
        FROM demonstrations d JOIN erased_demonstrations x ON x.demonstration_id = d.id WHERE d.organization_id = %s""",
        [organization_id],
    ).fetchall()
    return [str(text) for (text,) in rows]


def texts(connection: Connection) -> list[str]:
    """The person's words."""
    return [str(text) for (text,) in connection.execute("SELECT text FROM erased_texts").fetchall()]


def ids(connection: Connection) -> set[str]:
    """Ids of everything that is erased."""
    rows = connection.execute(
        """SELECT execution_id FROM erased_executions UNION SELECT feedback_id FROM erased_feedback UNION SELECT event_id FROM erased_events
        UNION SELECT demonstration_id FROM erased_demonstrations UNION SELECT example_id FROM erased_examples"""
    ).fetchall()
    return {str(name) for (name,) in rows}


def erased(connection: Connection, what: Literal["demonstrations", "examples"]) -> frozenset[str]:
    """Ids of the erased demonstrations or examples."""
    return frozenset(str(name) for (name,) in connection.execute(f"SELECT {what.removesuffix('s')}_id FROM erased_{what}").fetchall())


def agents(connection: Connection, organization_id: UUID) -> list[UUID]:
    """Agents that the person had anything to do with: all of them, where they judged search results without naming one."""
    rows = connection.execute(
        """SELECT agent_id FROM erased_executions UNION SELECT agent_id FROM erased_feedback UNION SELECT agent_id FROM erased_events
        UNION SELECT agent_id FROM erased_demonstrations UNION SELECT agent_id FROM erased_examples
        UNION SELECT id FROM agents WHERE organization_id = %s AND EXISTS (SELECT FROM erased_events WHERE agent_id IS NULL)""",
        [organization_id],
    ).fetchall()
    return [agent for (agent,) in rows if agent is not None]


def first_seen(connection: Connection, organization_id: UUID, user_id: UUID) -> dt.datetime:
    """When the person was first heard of: nothing that is older can hold their words."""
    row = connection.execute("SELECT created_at FROM users WHERE organization_id = %s AND id = %s", [organization_id, user_id]).fetchone()
    moment: dt.datetime = row[0] if row is not None else dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return moment


JSON_COLUMNS = (
    ("training_runs", ("id",), ("config", "metrics", "best_metrics")), ("proposals", ("id",), ("subject", "incumbent", "evidence")),
    ("acceptance_tests", ("id",), ("candidate", "incumbent", "evidence")), ("learning_reports", ("week",), ("numbers",)),
    ("prompt_versions", ("agent_id", "version"), ("scores",)), ("behavior_versions", ("agent_id", "kind", "number"), ("metrics",)),
    ("index_versions", ("id",), ("metrics",)), ("dataset_states", ("agent_id",), ("answer",)),
)  # fmt: skip
"""(table, key beside the organization, columns) of JSON that holds numbers: looked through, for what names or quotes the person all the same."""
_TEXT_COLUMNS = (("training_runs", "error"), ("training_runs", "review_notes"), ("proposals", "notes"))


def json_rows(
    connection: Connection, organization_id: UUID, table: str, key: Sequence[str], columns: Sequence[str]
) -> Iterable[tuple[tuple[Any, ...], list[Any]]]:
    """(key, values) of every row of a table."""
    for row in connection.execute(f"SELECT {', '.join((*key, *columns))} FROM {table} WHERE organization_id = %s", [organization_id]).fetchall():
        yield row[: len(key)], list(row[len(key) :])


def put_json(connection: Connection, organization_id: UUID, table: str, key: Sequence[str], of: Sequence[Any], column: str, value: Any) -> None:
    """Writes one value anew."""
    where = " AND ".join(f"{name} = %s" for name in key)
    connection.execute(f"UPDATE {table} SET {column} = %s WHERE organization_id = %s AND {where}", [Jsonb(value), organization_id, *of])


def text_rows(connection: Connection, organization_id: UUID) -> Iterable[tuple[str, str, UUID, str]]:
    """(table, column, id, text) of notes and errors."""
    for table, column in _TEXT_COLUMNS:
        for name, text in connection.execute(f"SELECT id, {column} FROM {table} WHERE organization_id = %s AND {column} <> ''", [organization_id]).fetchall():
            yield table, column, name, str(text)


def put_text(connection: Connection, organization_id: UUID, table: str, column: str, name: UUID, text: str) -> None:
    connection.execute(f"UPDATE {table} SET {column} = %s WHERE organization_id = %s AND id = %s", [text, organization_id, name])
