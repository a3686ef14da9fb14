"""Many senders at once over the real database: executions and feedback about them, by persons whom nobody has seen before.

Belongs here: what two commits side by side could do to each other. Not here: the queue's rules by themselves (test_writer.py).
"""

from __future__ import annotations

import random
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx

from learning_pipelines_tests.api.serving import BASE, Api

SENDERS, EACH = 16, 25


def test_mixed_kinds_by_new_persons_at_once_are_all_stored_once(api: Api) -> None:
    key, run = api.key(), uuid.uuid4().hex[:8]

    def send(sender: int) -> list[int]:
        rng = random.Random(sender)
        statuses = []
        with httpx.Client(base_url=f"{api.url}{BASE}", headers={"Authorization": f"Bearer {key}"}, timeout=60, verify=False) as client:
            for number in range(EACH):
                persons = [f"{run}-person-{number}-{one}" for one in range(8)]  # all senders meet the same new ones at about the same time
                name = f"{run}-{sender}-{number}"
                execution = {"execution_id": name, "agent": "desk", "input": "q", "output": "a", "user": rng.choice(persons)}
                # About executions of all senders: some are there already, some come later, some at this very moment.
                about = f"{run}-{rng.randrange(SENDERS)}-{rng.randrange(EACH)}"
                feedback = {"feedback_id": name, "execution_id": about, "agent": "desk", "feedback_type": "thumbs_up", "user": rng.choice(persons)}
                statuses += [client.post(path, json=body).status_code for path, body in (("/executions", execution), ("/feedback", feedback))]
        return statuses

    with ThreadPoolExecutor(SENDERS) as threads:
        assert {status for statuses in threads.map(send, range(SENDERS)) for status in statuses} == {201}
    with api.database.connect("owner") as connection:
        for table, column, expected in (
            ("agent_executions", "id", SENDERS * EACH), ("agent_feedback", "id", SENDERS * EACH), ("users", "external_id", None)
        ):  # fmt: skip
            query = f"SELECT count(*), count(DISTINCT {column}) FROM {table} WHERE {column} LIKE %s"
            row = connection.execute(query, [f"{run}-%"]).fetchone()  # type: ignore[arg-type]
            assert row is not None and row[0] == row[1] == (expected or row[1]), table
