"""What an experiment has seen, as rows: units met, first thumbs, time that went by.

Belongs here: what tests of looks share. Not here: assertions.
"""

from __future__ import annotations

from uuid import UUID

import numpy as np
from psycopg.types.json import Jsonb

from learning_pipelines.experiments.exact import ExactState
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


def exposed(connection: Connection, agent: AgentRef, experiment: UUID, **units: int) -> None:
    """So many more units of each variant are met in the epoch that lasts."""
    for variant, count in units.items():
        connection.execute(
            """INSERT INTO experiment_assignments (organization_id, experiment_id, unit, variant, epoch)
            SELECT %s, %s, gen_random_uuid()::text, %s, (SELECT max(epoch) FROM experiment_epochs WHERE experiment_id = %s) FROM generate_series(1, %s)""",
            [agent.organization_id, experiment, variant, experiment, count],
        )


def thumbs(connection: Connection, agent: AgentRef, experiment: UUID, *, control: tuple[int, int], seed: int = 7, **treatments: tuple[int, int]) -> None:
    """So many more first thumbs of each arm in the epoch that lasts, so many of them up, in a random order."""
    random = np.random.default_rng(seed)
    epoch = connection.execute("SELECT max(epoch) FROM experiment_epochs WHERE experiment_id = %s", [experiment]).fetchone()
    assert epoch is not None
    for variant, given in treatments.items():
        for metric, wanted in (("thumbs", 1.0), ("thumbs_down_rate", 0.0)):
            key = [agent.organization_id, experiment, metric, epoch[0], variant]
            row = connection.execute(
                """SELECT state FROM experiment_metrics WHERE (organization_id, experiment_id, metric, epoch, variant) = (%s, %s, %s, %s, %s)""", key
            ).fetchone()
            state = ExactState() if row is None else ExactState.from_json(row[0])
            values = np.concatenate([np.where(np.arange(n) < up, wanted, 1 - wanted) for n, up in (control, given)])
            order = random.permutation(len(values))
            state.add((np.arange(len(values)) >= control[0])[order], values[order])
            connection.execute(
                """INSERT INTO experiment_metrics (organization_id, experiment_id, metric, epoch, variant, state) VALUES (%s, %s, %s, %s, %s, %s)
                ON CONFLICT (organization_id, experiment_id, metric, epoch, variant) DO UPDATE SET state = excluded.state""",
                [*key, Jsonb(state.as_json())],
            )


def aged(connection: Connection, agent: AgentRef, experiment: UUID, hours: float) -> None:
    """All that happened so far happened so many hours earlier."""
    for table, columns in (("learning_experiments", ("started_at",)), ("experiment_epochs", ("started_at", "ended_at"))):
        key = "id" if table == "learning_experiments" else "experiment_id"
        moved = ", ".join(f"{column} = {column} - make_interval(hours => %(hours)s)" for column in columns)
        connection.execute(f"UPDATE {table} SET {moved} WHERE {key} = %(id)s", {"hours": int(hours), "id": experiment})
