"""Bringing an agent's learning examples up to date with what the outbox says is new.

Belongs here: the loop from outbox to examples, one transaction per portion. Not here: the rules (candidates.py), SQL (storage/).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from learning_pipelines.examples.candidates import Candidate, Demonstrated, Facet, Opinion, curate, demonstrated_example, example_id
from learning_pipelines.examples.rescrub import Rescrubbed, rescrub_examples
from learning_pipelines.storage import examples as storage
from learning_pipelines.storage import outbox
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.tenants import AgentRef

PORTION = 5_000
"""Outbox entries per transaction: bounds memory and the work that a crash loses."""


@dataclass
class Refreshed:
    """What one refresh of an agent did."""

    entries: int = 0
    executions: int = 0
    created: int = 0
    supported: int = 0
    withdrawn: int = 0
    scrubbed: dict[str, int] = field(default_factory=dict)
    again: Rescrubbed = field(default_factory=Rescrubbed)


def refresh_examples(connection: Connection, agent: AgentRef, *, portion: int = PORTION) -> Refreshed:
    """Scrubs again what older rules scrubbed, then takes up every safely committed outbox entry of the agent.

    Running it again, or twice at once, changes nothing more.
    """
    done = Refreshed()
    with database_errors(f"deriving examples of {agent.partition}"):
        done.again = rescrub_examples(connection, agent)
        outbox.adopt_foreign_entries(connection)  # before the first transaction: what is adopted within one is safe to read after it
        while _take_up(connection, agent, portion, done):
            pass
    return done


def _take_up(connection: Connection, agent: AgentRef, portion: int, done: Refreshed) -> bool:
    """One portion: examples, support and position change together or not at all. True if there is more."""
    with connection.transaction():
        outbox.lock_reader(connection, outbox.EXAMPLES_READER, agent)
        new = outbox.touched(connection, outbox.EXAMPLES_READER, agent, portion)
        if new.entries == 0:
            return False
        if new.executions:
            storage.join_pending(connection, agent, new.executions)
        executions = storage.stored_executions(connection, new.executions, agent)
        candidates = curate(_opinion(row) for row in storage.opinions(connection, agent, executions))
        shown = [Demonstrated(**row) for row in storage.demonstrations(connection, agent, new.demonstrations)] if new.demonstrations else []
        rows = [_derived_row(agent, candidate) for candidate in candidates] + [_demonstrated_row(agent, one) for one in shown]
        stored = storage.store_derived(connection, agent, executions, rows)
        outdated = storage.withdraw_demonstrated(connection, agent, new.demonstrations) if new.demonstrations else 0
        outbox.advance(connection, outbox.EXAMPLES_READER, agent, new.position)
    done.entries += new.entries
    done.executions += len(new.executions)
    done.created += stored.created
    done.supported += stored.supported
    done.withdrawn += stored.withdrawn + outdated
    for candidate in candidates:
        for entity, count in candidate.example.scrubbed_entities.items():
            done.scrubbed[entity] = done.scrubbed.get(entity, 0) + count
    return new.more


def _opinion(row: dict[str, Any]) -> Opinion:
    return Opinion(**{**row, "facets": Facet(row["facets"]), "dimensions": tuple(row["dimensions"])})


def _derived_row(agent: AgentRef, candidate: Candidate) -> tuple[Any, ...]:
    example, source = candidate.example, candidate.source
    return (
        example_id(agent.agent_id, example.content_hash), example.example_type, "user_feedback", source.feedback_id,
        source.input_user_id or source.user_id, _json(example.input_context), example.input_text, example.original_output, example.expected_output,
        example.task_type, list(example.tags), example.content_hash, example.scrub_rules, _json(example.scrubbed_entities), source.created_at,
        source.execution_id, source.user_id, source.input_user_id,
    )  # fmt: skip


def _demonstrated_row(agent: AgentRef, shown: Demonstrated) -> tuple[Any, ...]:
    example = demonstrated_example(shown)
    return (
        demonstration_example_id(agent, shown.demonstration_id), example.example_type, "expert_review", shown.demonstration_id, shown.user_id,
        _json(example.input_context), example.input_text, example.original_output, example.expected_output, example.task_type, [], example.content_hash,
        example.scrub_rules, _json(example.scrubbed_entities), shown.created_at, None, None, None,
    )  # fmt: skip


def demonstration_example_id(agent: AgentRef, demonstration_id: str) -> str:
    """The id of the example a demonstration makes."""
    return example_id(agent.agent_id, b"demonstration/" + demonstration_id.encode())


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
