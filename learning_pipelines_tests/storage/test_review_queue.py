"""How the annotation queue is read: by keys and its own index, whatever the database knows about its tables.

Belongs here: plans. Not here: what is in the queue (api/test_review*.py), how long it takes (benchmarks/review_queue.py).
"""

from __future__ import annotations

from uuid import uuid4

import pytest

from learning_pipelines.storage import review_queue
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.review_queue import Wanted


def plan(connection: Connection, statement: str) -> str:
    wanted = Wanted(uuid4(), uuid4())
    values = {**review_queue._values(wanted), "limit": 50, "ids": ["a"]}
    return "\n".join(row[0] for row in connection.execute("EXPLAIN " + statement, values).fetchall())


@pytest.mark.parametrize("name", ["_PAGE", "_BEST", "_TOTAL"])
def test_seats_and_own_words_are_looked_up_and_never_joined(pipeline: Connection, name: str) -> None:
    """In a database without statistics they were joined row by row: 945 items took 8 s a page."""
    found = plan(pipeline, getattr(review_queue, name))
    assert "Anti Join" not in found
    assert "Index Cond" in found


def test_a_page_reads_the_best_from_its_index(pipeline: Connection) -> None:
    pipeline.execute("SET enable_seqscan = off")
    pipeline.execute("SET enable_sort = off")
    assert "Index Scan Backward using learning_examples_queue" in plan(pipeline, review_queue._PAGE)
