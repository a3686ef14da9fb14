"""Training runs: one per attempt to learn something, resumed where a former attempt at the very same thing ended early.

Belongs here: SQL of training_runs. Not here: Dagster's own runs, what is learnt (prompt_runs.py and its sisters).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from learning_pipelines.errors import LearningError
from learning_pipelines.storage import retraining
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

TrainingType = Literal["prompt_optimization", "rag_tuning", "fine_tuning", "rlhf", "dpo", "behavior_learning"]


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """`resumed`: a former attempt at the same thing (equal fingerprint) ended early, and this goes on with it. `spent_answers` and `spent_usd`:
    what it got and paid for (requests that ended it, refused or unanswered, are not held against the next attempt)."""

    id: UUID
    resumed: bool
    spent_answers: int = 0
    spent_usd: float = 0.0


def begin(
    connection: Connection, agent: AgentRef, training_type: TrainingType, *, dataset_id: UUID | None, config: dict[str, Any], dagster_run_id: str | None
) -> TrainingRun:
    """Starts a run, or takes up the newest one that is running or failed with the same `config["fingerprint"]` (what it paid for is in the cache)."""
    values = {
        "organization": agent.organization_id, "agent": agent.agent_id, "type": training_type, "dataset": dataset_id, "config": Jsonb(config),
        "dagster": dagster_run_id, "fingerprint": config["fingerprint"],
    }  # fmt: skip
    with connection.transaction():
        found = connection.execute(
            """UPDATE training_runs SET status = 'running', dagster_run_id = %(dagster)s, error = NULL, completed_at = NULL
            WHERE organization_id = %(organization)s AND id = (SELECT id FROM training_runs WHERE organization_id = %(organization)s
                AND agent_id = %(agent)s AND training_type = %(type)s AND status IN ('running', 'failed')
                AND config ->> 'fingerprint' = %(fingerprint)s ORDER BY created_at DESC LIMIT 1 FOR UPDATE)
            RETURNING id""",
            values,
        ).fetchone()
        if found is not None:
            return _resumed(connection, agent, found[0])
        row = connection.execute(
            """INSERT INTO training_runs (organization_id, agent_id, training_type, dataset_id, config, dagster_run_id, status, started_at)
            VALUES (%(organization)s, %(agent)s, %(type)s, %(dataset)s, %(config)s, %(dagster)s, 'running', now()) RETURNING id""",
            values,
        ).fetchone()
    assert row is not None
    return TrainingRun(row[0], resumed=False)


def _resumed(connection: Connection, agent: AgentRef, run_id: UUID) -> TrainingRun:
    row = connection.execute(
        """SELECT coalesce(sum(answers), 0), coalesce(sum(cost_usd), 0) FROM llm_usage
        WHERE organization_id = %s AND run_id = %s""",
        [agent.organization_id, str(run_id)],
    ).fetchone()
    assert row is not None
    return TrainingRun(run_id, True, int(row[0]), float(row[1]))


def completed_with(connection: Connection, agent: AgentRef, training_type: TrainingType, fingerprint: str) -> UUID | None:
    """The newest completed run over the very same things: doing it again could only show the same."""
    row = connection.execute(
        """SELECT id FROM training_runs WHERE organization_id = %s AND agent_id = %s AND training_type = %s AND status = 'completed'
        AND config ->> 'fingerprint' = %s ORDER BY created_at DESC LIMIT 1""",
        [agent.organization_id, agent.agent_id, training_type, fingerprint],
    ).fetchone()
    return None if row is None else row[0]


def best_metrics(connection: Connection, agent: AgentRef, run_id: UUID) -> dict[str, Any]:
    """What a completed run kept as its result; {} of one that did not complete."""
    row = connection.execute(
        "SELECT best_metrics FROM training_runs WHERE organization_id = %s AND id = %s", [agent.organization_id, run_id]
    ).fetchone()
    return {} if row is None else dict(row[0])


def unfinished_with(connection: Connection, agent: AgentRef, training_type: TrainingType, fingerprint: str) -> bool:
    """Whether an attempt at the very same thing ended early: `begin` would take it up."""
    row = connection.execute(
        """SELECT FROM training_runs WHERE organization_id = %s AND agent_id = %s AND training_type = %s AND status IN ('running', 'failed')
        AND config ->> 'fingerprint' = %s LIMIT 1""",
        [agent.organization_id, agent.agent_id, training_type, fingerprint],
    ).fetchone()
    return row is not None


def progressed(connection: Connection, agent: AgentRef, run_id: UUID, share: float) -> None:
    """`share` 0–1; never goes back. Raises LearningError for a run that was ended from outside: what it learnt from was erased."""
    row = connection.execute(
        "UPDATE training_runs SET progress = greatest(progress, %s) WHERE organization_id = %s AND id = %s RETURNING status, error",
        [share, agent.organization_id, run_id],
    ).fetchone()
    if row is not None and row[0] == "cancelled":
        raise _ended(row[1])


def measured(connection: Connection, agent: AgentRef, run_id: UUID, metrics: dict[str, Any]) -> None:
    """Adds to what the run measured. Raises LearningError for a run that was ended from outside: what it measured, it measured of what was erased."""
    done = connection.execute(
        "UPDATE training_runs SET metrics = metrics || %s WHERE organization_id = %s AND id = %s AND status <> 'cancelled'",
        [Jsonb(metrics), agent.organization_id, run_id],
    )
    _require_one(connection, agent, run_id, done.rowcount)


def told(connection: Connection, agent: AgentRef, run_id: UUID, news: dict[str, Any]) -> None:
    """Adds what became since of a version that the run made, however the run ended."""
    connection.execute("UPDATE training_runs SET metrics = metrics || %s WHERE organization_id = %s AND id = %s", [Jsonb(news), agent.organization_id, run_id])


def completed(connection: Connection, agent: AgentRef, run_id: UUID, *, best: dict[str, Any], requires_review: bool) -> None:
    """The run came to its end; what an erasure made due of its part is done. Raises LearningError for a run that was ended from outside: as a complete one
    it would keep the next from learning without what was erased."""
    done = connection.execute(
        """UPDATE training_runs SET status = 'completed', progress = 1, best_metrics = %s, requires_review = %s, completed_at = now(),
            review_status = CASE WHEN %s THEN coalesce(review_status, 'pending') ELSE review_status END
        WHERE organization_id = %s AND id = %s AND status <> 'cancelled'""",
        [Jsonb(best), requires_review, requires_review, agent.organization_id, run_id],
    )
    _require_one(connection, agent, run_id, done.rowcount)
    retraining.done(connection, agent.organization_id, run_id)


def _require_one(connection: Connection, agent: AgentRef, run_id: UUID, changed: int) -> None:
    if changed != 1:
        row = connection.execute("SELECT error FROM training_runs WHERE organization_id = %s AND id = %s", [agent.organization_id, run_id]).fetchone()
        raise _ended(row[0] if row is not None else None)


def _ended(why: str | None) -> LearningError:
    return LearningError(f"The run was ended: {why or 'somebody ended it'}", "Run the job again: it begins anew.")


def failed(connection: Connection, agent: AgentRef, run_id: UUID, error: str) -> None:
    """What was paid for stays in the cache: `begin` with the same fingerprint goes on with this run."""
    connection.execute(
        "UPDATE training_runs SET status = 'failed', error = %s, completed_at = now() WHERE organization_id = %s AND id = %s AND status <> 'cancelled'",
        [error, agent.organization_id, run_id],
    )


def cancelled(connection: Connection, agent: AgentRef, run_id: UUID, error: str) -> None:
    """Ended on purpose: it is not gone on with."""
    connection.execute(
        "UPDATE training_runs SET status = 'cancelled', error = %s, completed_at = now() WHERE organization_id = %s AND id = %s",
        [error, agent.organization_id, run_id],
    )


def cancel_others(connection: Connection, agent: AgentRef, training_type: TrainingType, part: str, run_id: UUID) -> int:
    """Ends the agent's other runs of this part (`config["part"]`) that are running or failed, for good: what they learnt from has changed. Returns how
    many. Call it with the agent's training locked."""
    return connection.execute(
        """UPDATE training_runs SET status = 'cancelled', completed_at = now() WHERE organization_id = %s AND agent_id = %s AND training_type = %s
        AND config ->> 'part' = %s AND status IN ('running', 'failed') AND id <> %s""",
        [agent.organization_id, agent.agent_id, training_type, part, run_id],
    ).rowcount


def cancel_unfinished(connection: Connection, agent: AgentRef, training_type: TrainingType, run_id: UUID) -> list[UUID]:
    """Ends the agent's other runs of the type that are running or failed, for good; their ids. Call it with the agent's training locked."""
    rows = connection.execute(
        """UPDATE training_runs SET status = 'cancelled', completed_at = now() WHERE organization_id = %s AND agent_id = %s
        AND training_type = %s AND status IN ('running', 'failed') AND id <> %s RETURNING id""",
        [agent.organization_id, agent.agent_id, training_type, run_id],
    ).fetchall()
    return [row[0] for row in rows]


def of_dagster_run(connection: Connection, agent: AgentRef, dagster_run_id: str) -> tuple[TrainingRun, dict[str, Any]] | None:
    """The training run that a Dagster run began or took up, with what it used up so far, and its configuration."""
    row = connection.execute(
        """SELECT id, config FROM training_runs WHERE organization_id = %s AND agent_id = %s AND dagster_run_id = %s
        ORDER BY created_at DESC LIMIT 1""",
        [agent.organization_id, agent.agent_id, dagster_run_id],
    ).fetchone()
    return None if row is None else (_resumed(connection, agent, row[0]), row[1])


def lock_agent(connection: Connection, agent: AgentRef, training_type: TrainingType | Literal["guidance"]) -> bool:
    """Whether this connection may train the agent now: one at a time, until the connection ends. `guidance`: a part of its own, on the pool of the model.

    Waits a moment: the server lets go of a lock a little after the connection that held it was closed, as between two steps of one run.
    """
    try:
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '3s'")
            connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"{training_type}/{agent.organization_id}/{agent.agent_id}"])
    except psycopg.errors.LockNotAvailable:
        return False
    return True
