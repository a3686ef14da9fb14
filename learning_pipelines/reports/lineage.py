"""Where learnt things come from and what people's feedback led to, as it is answered: counts, ids, times, and what cannot be told from them.

Belongs here: the shape that the service and the command line share, notes, lines for people. Not here: SQL (storage/lineage.py), routes and verbs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from learning_pipelines.storage import lineage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

SHOWN, MOST = 100, 10_000
"""Entries of each list, if nobody says otherwise, and at most over HTTP."""
TRAINED = (
    "A run learns from the train split of its dataset and chooses on validation: that one example changed what came out cannot be told, only that it was there."
)
RETRIEVAL = "Training of retrieval reads all judged questions of an agent: listed are the runs that began since, and the index versions they made."
POLICY = "A policy learns from all demonstrations of an agent that teach: listed are the versions made since."
AGGREGATES = "Weights of raters, quality scores, metrics and reports count feedback without keeping which: they are not followed."
LATER = "{count} feedback events speak for these examples since their dataset was made: this version cannot have learnt from them."
WHOLE = "{count} of the examples came in whole (imported, demonstrated, or their feedback was taken back): no feedback leads to them."
HIDDEN = "Of feedback and examples only the ids of your own are listed; the counts are of everybody's."
NOTHING = "Nothing was learnt for it: no run, no dataset."
DELETED = "Old prompt versions that were never used and led to no other were deleted: what was learnt for them is listed, they are not."
ARCHIVED = "The feedback was archived or erased: its key and what it led to are still there."


def of_prompt(connection: Connection, agent: AgentRef, version: int, *, limit: int = SHOWN, own: UUID | None = None) -> dict[str, Any] | None:
    """What a version was learnt from; None if there is none of this number. Lists are {count, items, more}. `own`: storage.lineage.of_prompt."""
    found = lineage.of_prompt(connection, agent, version, limit=limit, own=own)
    if found is None:
        return None
    feedback, examples = found["feedback"], found["examples"]
    notes = [
        *([HIDDEN] if own is not None else []), *([NOTHING] if not found["datasets"]["count"] and not found["training_runs"]["count"] else [TRAINED]),
        *([LATER.format(count=feedback["later"])] if feedback["later"] else []),
        *([WHOLE.format(count=examples["without_feedback"])] if examples["without_feedback"] else []),
    ]  # fmt: skip
    return {"agent": agent.agent, **_more(found), "notes": notes}


def of_feedback(connection: Connection, organization_id: UUID, feedback_id: str, *, limit: int = SHOWN) -> dict[str, Any] | None:
    """What a feedback led to; None if there is none of this id."""
    found = lineage.of_feedback(connection, organization_id, feedback_id, limit=limit)
    if found is None:
        return None
    used = any(example["datasets"] for example in found["examples"])
    deleted = lineage.lacks_prompts(connection, organization_id)
    return {**_more(found), "used": used, "notes": [*([ARCHIVED] if found["archived"] else []), *_notes(found, deleted), AGGREGATES]}


def of_user(connection: Connection, organization_id: UUID, user: str, *, limit: int = SHOWN) -> dict[str, Any] | None:
    """What came from a user and what it led to; None if nobody of this name was ever seen."""
    found = lineage.of_user(connection, organization_id, user, limit=limit)
    if found is None:
        return None
    return {**_more(found), "notes": [*_notes(found, lineage.lacks_prompts(connection, organization_id)), AGGREGATES]}


def lines(found: Mapping[str, Any]) -> list[str]:
    """The answer as people read it: a line for each count and each entry."""
    return [*_lines(found, ""), *(f"Note: {note}" for note in found["notes"])]


def _lines(found: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in found.items():
        words = name.replace("_", " ")
        if name == "notes" or value in (None, [], {}):
            continue
        if isinstance(value, dict) and "items" in value:
            others = [f"{key.replace('_', ' ')} {number}" for key, number in value.items() if key not in ("count", "items", "more")]
            yield f"{indent}{words}: {value['count']}" + (f" ({', '.join(others)})" if others else "")
            yield from (f"{indent}  {_entry(one)}" for one in value["items"])
            if value["more"]:
                yield f"{indent}  … {value['count'] - len(value['items'])} more (--limit)"
        elif isinstance(value, list):
            yield f"{indent}{words}:"
            yield from (f"{indent}  {_entry(one)}" for one in value)
        else:
            yield f"{indent}{words}: {_entry(value)}"


def _entry(one: Any) -> str:
    if not isinstance(one, dict):
        return str(one)
    return "  ".join(f"{name} {_entry(value) if isinstance(value, dict) else value}" for name, value in one.items() if value not in (None, [], {}))


def _more(found: Mapping[str, Any]) -> dict[str, Any]:
    """Says of every list whether there is more than it holds."""
    return {
        name: {**value, "more": value["count"] > len(value["items"])} if isinstance(value, dict) and "items" in value else value
        for name, value in found.items()
    }  # fmt: skip


def _notes(found: Mapping[str, Any], deleted: bool) -> list[str]:
    kinds = {one["kind"] for one in found["behavior"]["items"]}
    return [
        *([TRAINED] if found["datasets"]["count"] else []),
        *([RETRIEVAL] if any(run["type"] == "rag_tuning" for run in found["training_runs"]["items"]) or found["indexes"]["count"] else []),
        *([POLICY] if "policy" in kinds else []), *([DELETED] if deleted and found["training_runs"]["count"] else []),
    ]  # fmt: skip
