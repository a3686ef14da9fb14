"""What one person said about one execution, as they see it again, and what became of it.

Belongs here: from the newest feedback of each facet to one opinion; from lineage to what a person is told. Not here: SQL (storage/), the route.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from learning_pipelines.examples.candidates import Facet
from learning_pipelines.storage.execution_details import FACETS

NOTHING: dict[str, Any] = {
    "thumb": None, "rating": None, "dimensions": {}, "issue_categories": [], "correction_text": None, "comments": 0, "used": []
}  # fmt: skip
"""Of somebody who said nothing, and of whoever is nobody in particular."""


def opinion(rows: Sequence[Mapping[str, Any]], comments: int) -> dict[str, Any]:
    """One opinion out of storage.own_feedback.newest; what was taken back is as if it was never said."""
    said = {Facet(row["facet"]): row for row in rows if not row["withdrawn"]}
    found = {**NOTHING, "comments": comments}
    if (row := said.get(Facet.THUMB)) is not None:
        found["thumb"] = "up" if row["feedback_type"] == "thumbs_up" else "down"
    if (row := said.get(Facet.RATING)) is not None:
        found["rating"] = row["rating"]
    if (row := said.get(Facet.DIMENSIONS)) is not None:
        found["dimensions"] = {name: stars for name, stars in row["dimensions"].items() if stars is not None}
    if (row := said.get(Facet.ISSUES)) is not None:
        found["issue_categories"] = row["issue_categories"]
    if (row := said.get(Facet.CORRECTION)) is not None:
        found["correction_text"] = row["correction_text"]
    return found


def facets(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """By feedback id the names of the facets it is in force for."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if not row["withdrawn"]:
            found.setdefault(row["feedback_id"], []).append(FACETS[row["facet"]])
    return found


def use(feedback_id: str, of: list[str], lineage: Mapping[str, Any], served: int | None) -> dict[str, Any] | None:
    """What became of a feedback, out of reports.lineage.of_feedback; None if no example of it is approved. `served`: the prompt version that answers."""
    approved = [one for one in lineage["examples"] if one["review_status"] == "approved" and one["is_active"]]
    if not approved:
        return None
    versions = [data["version"] for one in approved for data in one["datasets"]]
    learnt = {one["version"] for one in lineage["prompts"]["items"] if one["agent"] == lineage["agent"]}
    return {
        "feedback_id": feedback_id, "facets": of, "dataset_version": max(versions, default=None), "prompt_version": served if served in learnt else None
    }  # fmt: skip
