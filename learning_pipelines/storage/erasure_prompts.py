"""Versions of prompts without a person: which there are, tombstones and the versions that take their place, what searches kept.

Belongs here: SQL of an erasure over prompt_versions, prompt_labels and prompt_candidates. Not here: what holds a person and what takes its place
(prompts/erasing.py), behaviour and indexes (erasure_versions.py).

All of it is part of one transaction, in which an erasure of the organization is under way: migration 0050 lets versions change then, and only then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


@dataclass(frozen=True, slots=True)
class PromptVersion:
    """A version as an erasure looks at it. `erased`: it is a tombstone of an earlier erasure; `labels` point at it."""

    number: int
    parent: int | None
    origin: str
    messages: list[dict[str, Any]]
    serving: dict[str, Any]
    model: str | None
    dataset_id: UUID | None
    training_run_id: UUID | None
    scores: dict[str, Any]
    strategy: str | None
    content_hash: bytes
    created_at: dt.datetime
    erased: bool
    successor: int | None
    labels: list[str]


def prompts(connection: Connection, agent: AgentRef) -> list[PromptVersion]:
    """Every version of the agent's prompt, oldest first."""
    rows = connection.execute(
        """SELECT p.version, p.parent_version, p.origin, p.messages, p.serving, p.model, p.dataset_id, p.training_run_id, p.scores, p.strategy,
            p.content_hash, p.created_at, p.erased_at IS NOT NULL, p.successor, ARRAY(SELECT l.label FROM prompt_labels l
                WHERE l.organization_id = p.organization_id AND l.agent_id = p.agent_id AND l.version = p.version ORDER BY 1)
        FROM prompt_versions p WHERE p.organization_id = %s AND p.agent_id = %s ORDER BY p.version""",
        [agent.organization_id, agent.agent_id],
    ).fetchall()
    return [PromptVersion(*row) for row in rows]


def add_prompt(
    connection: Connection, agent: AgentRef, former: PromptVersion, messages: Sequence[dict[str, Any]], serving: dict[str, Any], content_hash: bytes,
    dataset_id: UUID | None,
) -> int:  # fmt: skip
    """The version that takes the place of a former one: of origin erasure, with what was measured of it. Under the agent's lock."""
    row = connection.execute(
        """INSERT INTO prompt_versions (organization_id, agent_id, version, parent_version, origin, strategy, messages, serving, model, dataset_id,
            training_run_id, scores, content_hash)
        SELECT %(organization)s, %(agent)s, max(version) + 1, %(former)s, 'erasure', %(strategy)s, %(messages)s, %(serving)s, %(model)s, %(dataset)s,
            %(run)s, %(scores)s, %(hash)s FROM prompt_versions WHERE organization_id = %(organization)s AND agent_id = %(agent)s RETURNING version""",
        {
            "organization": agent.organization_id, "agent": agent.agent_id, "former": former.number, "strategy": former.strategy,
            "messages": Jsonb(list(messages)), "serving": Jsonb(serving), "model": former.model, "dataset": dataset_id,
            "run": former.training_run_id, "scores": Jsonb(former.scores), "hash": content_hash,
        },
    ).fetchone()  # fmt: skip
    assert row is not None
    return int(row[0])


def bury_prompt(connection: Connection, agent: AgentRef, number: int, successor: int | None) -> None:
    """Makes a version a tombstone: its words are gone, its hash and scores stay, and its labels point at the successor."""
    values = {"organization": agent.organization_id, "agent": agent.agent_id, "old": number, "new": successor}
    connection.execute(
        """UPDATE prompt_versions SET messages = '[]', serving = '{}', erased_at = now(), successor = %(new)s
        WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND version = %(old)s""",
        values,
    )
    connection.execute(
        """UPDATE prompt_labels SET version = %(new)s, moved_by = NULL, moved_at = now()
        WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND version = %(old)s""",
        values,
    )


def shared_texts(connection: Connection, agent: AgentRef, texts: Collection[str]) -> set[str]:
    """Of these texts (folded as feedback/erasure/words.py does) those that an example says that stays: they are not one person's alone."""
    if not texts:
        return set()
    rows = connection.execute(
        r"""SELECT DISTINCT said.text FROM learning_examples e,
            LATERAL (SELECT lower(btrim(regexp_replace(t.text, '\s+', ' ', 'g'))) AS text
                FROM unnest(ARRAY[e.input_text, e.expected_output, e.original_output, e.output_a, e.output_b]) AS t (text) WHERE t.text IS NOT NULL) AS said
        WHERE e.organization_id = %s AND e.agent_id = %s AND said.text = ANY(%s)
            AND NOT EXISTS (SELECT FROM erased_examples x WHERE x.example_id = e.id)""",
        [agent.organization_id, agent.agent_id, list(texts)],
    ).fetchall()
    return {str(text) for (text,) in rows}


def cut_system_prompt(connection: Connection, agent: AgentRef, text: str) -> None:
    """Writes the agent's imported prompt anew."""
    connection.execute("UPDATE agents SET system_prompt = %s WHERE organization_id = %s AND id = %s", [text, agent.organization_id, agent.agent_id])


def system_prompt(connection: Connection, agent: AgentRef) -> str:
    row = connection.execute("SELECT system_prompt FROM agents WHERE organization_id = %s AND id = %s", [agent.organization_id, agent.agent_id]).fetchone()
    return "" if row is None or row[0] is None else str(row[0])


def candidates(connection: Connection, agent: AgentRef) -> list[tuple[UUID, str, Any, Any, list[str], str | None]]:
    """(training run, name, messages, serving, shown, note) of what searches tried and kept the words of."""
    return connection.execute(
        """SELECT training_run_id, name, messages, serving, shown, note FROM prompt_candidates
        WHERE organization_id = %s AND agent_id = %s AND (messages IS NOT NULL OR shown <> '{}' OR note <> '')""",
        [agent.organization_id, agent.agent_id],
    ).fetchall()


def empty_candidate(connection: Connection, agent: AgentRef, run_id: UUID, name: str, shown: Sequence[str], note: str | None) -> None:
    """A candidate loses its words; its scores stay."""
    connection.execute(
        """UPDATE prompt_candidates SET messages = NULL, serving = NULL, shown = %s, note = %s
        WHERE organization_id = %s AND training_run_id = %s AND name = %s""",
        [list(shown), note, agent.organization_id, run_id, name],
    )
