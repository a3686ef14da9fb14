"""Items of the annotation queue as an expert sees them: the example, why it stands there, and whose words it is made of.

Belongs here: putting together what the queue shows before a verdict, and nothing that would influence it. Not here: SQL, HTTP.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from learning_pipelines.examples.review_value import uncertainty, value
from learning_pipelines.storage import review_queue
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.provenance import provenance
from learning_pipelines.storage.review_queue import Wanted


def shown(connection: Connection, wanted: Wanted, limit: int, ids: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The most valuable open items, best first, or the items with these ids. Neither verdicts nor scores of others are in them.

    An item in adjudication comes with the texts that stand against each other (`candidates`), without who approved which.
    """
    rows = review_queue.page(connection, wanted, limit) if ids is None else review_queue.page_of(connection, wanted, ids)
    sources: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for source in provenance(connection, [row["example_id"] for row in rows], wanted.organization_id):
        sources[source.example_id].append(asdict(source))
    contested = [row["example_id"] for row in rows if row["adjudicating"]]
    candidates = review_queue.candidates(connection, wanted.organization_id, contested) if contested else {}
    now = dt.datetime.now(dt.UTC)
    return [
        {**row, "worth": _worth(row, now), "provenance": sources[row["example_id"]], "candidates": candidates.get(row["example_id"], [])}
        for row in rows
    ]


def _worth(row: dict[str, Any], now: dt.datetime) -> dict[str, Any]:
    flags = {"adjudicating": row["adjudicating"], "conflicting": row["conflicting"]}
    return {
        "value": value(row["priority"], row["executions"], now=now, **flags), "uncertainty": uncertainty(row["confidence_score"]),
        "support": row["support"], "executions": row["executions"], **flags,
    }  # fmt: skip
