"""Scrubbing existing examples again when the rules have improved: from their own, already scrubbed content, a batch at a time.

Belongs here: the loop, and who stays when two examples become the same. Not here: the rules (feedback/privacy*.py), SQL (storage/rescrub.py).

An example keeps its id, its review and its split. Where its content becomes that of another derived example of the agent, one stays and
takes over the other's support; the other is withdrawn with its review on record. Sealed dataset versions keep what they were made of: the
next version is made of the new content.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from learning_pipelines.examples.scrubbing import Content, content_hash, scrubbed
from learning_pipelines.feedback.privacy import RULES_VERSION
from learning_pipelines.storage import outbox
from learning_pipelines.storage import rescrub as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.rescrub import Holder
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.trust_weights import lock_weights

BATCH = 500
"""Examples per transaction: a few seconds of work that a crash can lose."""

CANDIDATES = 1_000
"""Examples that the search for raw account numbers takes apart."""


@dataclass
class Rescrubbed:
    """What it did: examples looked at, changed, withdrawn because another one has the same content now, and values replaced by entity."""

    examples: int = 0
    changed: int = 0
    merged: int = 0
    replaced: Counter[str] = field(default_factory=Counter)


def rescrub_examples(connection: Connection, agent: AgentRef, *, batch: int = BATCH) -> Rescrubbed:
    """Scrubs every example of the agent that older rules scrubbed. Costs one index probe where there is none; a broken run goes on where it was."""
    done = Rescrubbed()
    while _one_batch(connection, agent, batch, RULES_VERSION, done):
        pass
    return done


def _one_batch(connection: Connection, agent: AgentRef, batch: int, version: str, done: Rescrubbed) -> bool:
    if not storage.is_any_older(connection, agent, version):
        return False
    with connection.transaction():
        outbox.lock_reader(connection, outbox.EXAMPLES_READER, agent)  # what is derived meanwhile must not meet a half-changed content
        lock_weights(connection, agent.organization_id, shared=True)
        rows = storage.older(connection, agent, version, batch)
        changes = [_change(row, version) for row in rows]
        hashes = {bytes(change["content_hash"]) for change in changes if change["source_type"] == "user_feedback"}
        staying, losing = settle([*storage.holders(connection, agent, sorted(hashes), [row["id"] for row in rows]), *_holders(changes)])
        storage.withdraw_losers(connection, agent, {loser: content for loser, (_, content) in losing.items()})
        storage.store(connection, agent, [{**change, "content_hash": None if change["id"] in losing else change["content_hash"]} for change in changes])
        storage.move_support(connection, agent, [(loser, keeper) for loser, (keeper, _) in losing.items()])
        storage.revive(connection, agent, sorted(staying))
    done.examples += len(rows)
    done.changed += sum(change["changed"] for change in changes)
    done.merged += len(losing)
    for change in changes:
        done.replaced.update(change["counts"])
    return len(rows) == batch


def raw_account_numbers(connection: Connection, agent: AgentRef, limit: int = CANDIDATES) -> int:
    """Raw numbers of bank accounts and cards in the agent's examples. The database looks for what is long enough, the rules decide."""
    rows = storage.holding_long_numbers(connection, agent, limit)
    found = (scrubbed(_content(row))[1] for row in rows)
    return sum(counts.get(entity, 0) for counts in found for entity in ("IBAN", "CREDIT_CARD"))


def settle(holders: Iterable[Holder]) -> tuple[set[str], dict[str, tuple[str, bytes]]]:
    """Who stays of those with equal content, where there are several: ids that stay and must be active, and loser → (who stays, content).

    A decision of a reviewer stands before none, the newest first; else who is active, then the oldest.
    """
    groups: defaultdict[bytes, list[Holder]] = defaultdict(list)
    for holder in holders:
        groups[holder.content_hash].append(holder)
    staying: set[str] = set()
    losing: dict[str, tuple[str, bytes]] = {}
    for content, group in groups.items():
        if len(group) < 2:
            continue
        keeper, *others = sorted(group, key=_rank)
        losing.update((other.id, (keeper.id, content)) for other in others)
        if any(holder.is_active for holder in group) and not keeper.is_reviewed:
            staying.add(keeper.id)
    return staying, losing


def _rank(holder: Holder) -> tuple[bool, float, bool, Any, str]:
    reviewed = holder.reviewed_at.timestamp() if holder.is_reviewed and holder.reviewed_at else 0.0
    return (not holder.is_reviewed, -reviewed, not holder.is_active, holder.created_at, holder.id)


def _change(row: dict[str, Any], version: str) -> dict[str, Any]:
    """The row's new content, its hash, and what was replaced."""
    before = _content(row)
    after, counts = scrubbed(before)
    # A derived edge case was derived as positive and marked as rare since (curation.py): feedback makes it under that hash, again and again.
    kind = "positive" if (row["example_type"], row["source_type"]) == ("edge_case", "user_feedback") else row["example_type"]
    content = content_hash(kind, after) if after != before else row["content_hash"]
    entities = Counter(row["scrubbed_entities"]) + Counter(counts)
    return {
        **{name: getattr(after, name) for name in storage.CONTENT}, "input_context": orjson.dumps(after.input_context).decode(),
        "id": row["id"], "source_type": row["source_type"], "content_hash": content, "scrub_rules": version,
        "scrubbed_entities": orjson.dumps(dict(entities)).decode(), "changed": after != before, "counts": counts,
        "holder": Holder(row["id"], b"", row["review_status"], row["reviewed_at"], row["is_active"], row["created_at"]),
    }  # fmt: skip


def _content(row: Mapping[str, Any]) -> Content:
    values: list[Any] = [tuple(row[name]) if isinstance(row[name], list) else row[name] for name in storage.CONTENT]
    return Content(*values)


def _holders(changes: Sequence[dict[str, Any]]) -> list[Holder]:
    """The derived ones among them under their new content: only those may not repeat one another."""
    return [change["holder"].at(bytes(change["content_hash"])) for change in changes if change["source_type"] == "user_feedback"]
