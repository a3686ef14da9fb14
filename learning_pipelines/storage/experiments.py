"""Experiments, their epochs and decisions as rows.

Belongs here: SQL of learning_experiments and experiment_epochs, storing decisions. Not here: reading decisions (experiment_decisions.py), assignments
(experiment_assignments.py), values of units (experiment_units.py), what follows from a decision (experiments/).

Whoever changes an experiment holds the lock of its row (`find` with lock).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import (
    Arm,
    Decision,
    Epoch,
    Experiment,
    Kind,
    Ranges,
    Status,
    Subject,
    Unit,
    arms_from_json,
    ranges_from_json,
)  # fmt: skip
from learning_pipelines.storage.tenants import AgentRef

_SELECT = """SELECT e.id, e.agent_id, a.slug, e.name, e.kind, e.subject, e.status, e.unit, e.salt, e.arms, e.exclusion_group, e.primary_metric,
    e.guardrails, e.min_duration_hours, e.min_sample_size, e.config, e.steps, e.step, e.proposal_id, e.decision, e.winner, e.started_at, e.ended_at,
    e.created_at,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('number', p.epoch, 'ranges', p.ranges) ORDER BY p.epoch), '[]') FROM experiment_epochs p
        WHERE p.organization_id = e.organization_id AND p.experiment_id = e.id),
    (SELECT array_agg(p.started_at ORDER BY p.epoch) FROM experiment_epochs p WHERE p.organization_id = e.organization_id AND p.experiment_id = e.id),
    (SELECT array_agg(p.ended_at ORDER BY p.epoch) FROM experiment_epochs p WHERE p.organization_id = e.organization_id AND p.experiment_id = e.id)
    FROM learning_experiments e JOIN agents a ON a.organization_id = e.organization_id AND a.id = e.agent_id"""


def add(
    connection: Connection, agent: AgentRef, *, name: str, kind: Kind = "experiment", subject: Subject = "prompt", unit: Unit = "user",
    arms: Sequence[Arm], exclusion_group: str | None = None, primary_metric: str = "thumbs", guardrails: Sequence[str] = (),
    min_duration_hours: int = 168, min_sample_size: int = 1000, config: Mapping[str, Any] | None = None, steps: Sequence[float] = (),
    proposal_id: UUID | None = None, created_by: UUID | None = None, description: str | None = None,
) -> UUID:  # fmt: skip
    """A draft. The original's columns of two arms are filled beside `arms`. `created_by` is kept where it is a known user."""
    control, treatment = arms[0], arms[1]
    row = connection.execute(
        """INSERT INTO learning_experiments (organization_id, agent_id, name, description, kind, subject, unit, arms, exclusion_group, primary_metric,
            guardrails, min_duration_hours, min_sample_size, config, steps, proposal_id, created_by, control_config, treatment_config,
            control_percentage, treatment_percentage)
        VALUES (%(organization)s, %(agent)s, %(name)s, %(description)s, %(kind)s, %(subject)s, %(unit)s, %(arms)s, %(group)s, %(metric)s,
            %(guardrails)s, %(hours)s, %(size)s, %(config)s, %(steps)s, %(proposal)s,
            (SELECT id FROM users WHERE organization_id = %(organization)s AND id = %(by)s), %(control)s, %(treatment)s, %(control_share)s,
            %(treatment_share)s) RETURNING id""",
        {
            "organization": agent.organization_id, "agent": agent.agent_id, "name": name, "description": description, "kind": kind, "subject": subject,
            "unit": unit, "arms": Jsonb([arm.as_json() for arm in arms]), "group": exclusion_group, "metric": primary_metric,
            "guardrails": list(guardrails), "hours": min_duration_hours, "size": min_sample_size, "config": Jsonb(dict(config or {})),
            "steps": list(steps), "proposal": proposal_id, "by": created_by, "control": Jsonb({"version": control.version}),
            "treatment": Jsonb({"version": treatment.version}), "control_share": 100 * control.weight, "treatment_share": 100 * treatment.weight,
        },
    ).fetchone()  # fmt: skip
    assert row is not None
    return UUID(str(row[0]))


def find(connection: Connection, organization_id: UUID, experiment_id: UUID, *, lock: bool = False) -> Experiment | None:
    """An experiment by its id, locked for the transaction if `lock` says so: for whoever changes it, not for those who write exposures and values of it."""
    if lock:
        connection.execute("SELECT FROM learning_experiments WHERE organization_id = %s AND id = %s FOR NO KEY UPDATE", [organization_id, experiment_id])
    row = connection.execute(f"{_SELECT} WHERE e.organization_id = %s AND e.id = %s", [organization_id, experiment_id]).fetchone()
    return None if row is None else _experiment(row)


def listed(
    connection: Connection, organization_id: UUID, *, agent_id: UUID | None = None, statuses: Sequence[Status] = (), limit: int = 1000
) -> list[Experiment]:
    """Experiments of an organization, newest first; `statuses` empty: of every status."""
    rows = connection.execute(
        f"""{_SELECT} WHERE e.organization_id = %(organization)s AND (%(agent)s::uuid IS NULL OR e.agent_id = %(agent)s)
        AND (%(statuses)s::text[] = '{{}}' OR e.status = ANY(%(statuses)s)) ORDER BY e.created_at DESC, e.id LIMIT %(limit)s""",
        {"organization": organization_id, "agent": agent_id, "statuses": list(statuses), "limit": limit},
    ).fetchall()
    return [_experiment(row) for row in rows]


def running(connection: Connection, agent: AgentRef, subject: Subject | None = None) -> list[Experiment]:
    """The agent's running experiments, oldest first, where the agent may learn at all (`disable` stops them)."""
    rows = connection.execute(
        f"""{_SELECT} WHERE e.organization_id = %(organization)s AND e.agent_id = %(agent)s AND e.status = 'running' AND a.learning_enabled
        AND (%(subject)s::text IS NULL OR e.subject = %(subject)s) ORDER BY e.started_at, e.id""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "subject": subject},
    ).fetchall()
    return [_experiment(row) for row in rows]


def set_status(connection: Connection, organization_id: UUID, experiment_id: UUID, status: Status) -> None:
    """Also says when it was started for the first time, and when it ended."""
    connection.execute(
        """UPDATE learning_experiments SET status = %(status)s,
            started_at = CASE WHEN %(status)s = 'running' THEN coalesce(started_at, now()) ELSE started_at END,
            ended_at = CASE WHEN %(status)s IN ('completed', 'cancelled') THEN now() END
        WHERE organization_id = %(organization)s AND id = %(id)s""",
        {"status": status, "organization": organization_id, "id": experiment_id},
    )


def begin_epoch(connection: Connection, organization_id: UUID, experiment_id: UUID, ranges: Ranges) -> int:
    """Ends the epoch that lasts and begins the next; returns its number."""
    values = {"organization": organization_id, "id": experiment_id, "ranges": Jsonb({name: [list(span) for span in spans] for name, spans in ranges.items()})}
    connection.execute(
        "UPDATE experiment_epochs SET ended_at = now() WHERE organization_id = %(organization)s AND experiment_id = %(id)s AND ended_at IS NULL", values
    )
    row = connection.execute(
        """INSERT INTO experiment_epochs (organization_id, experiment_id, epoch, ranges)
        SELECT %(organization)s, %(id)s, coalesce(max(epoch), 0) + 1, %(ranges)s FROM experiment_epochs
        WHERE organization_id = %(organization)s AND experiment_id = %(id)s RETURNING epoch""",
        values,
    ).fetchone()
    assert row is not None
    return int(row[0])


def set_arms(connection: Connection, organization_id: UUID, experiment_id: UUID, arms: Sequence[Arm], step: int) -> None:
    """Arms with other weights, and the step of a rollout."""
    connection.execute(
        """UPDATE learning_experiments SET arms = %(arms)s, step = %(step)s, control_percentage = %(control)s, treatment_percentage = %(treatment)s
        WHERE organization_id = %(organization)s AND id = %(id)s""",
        {
            "arms": Jsonb([arm.as_json() for arm in arms]), "step": step, "control": 100 * arms[0].weight, "treatment": 100 * arms[1].weight,
            "organization": organization_id, "id": experiment_id,
        },
    )  # fmt: skip


def end_epoch(connection: Connection, organization_id: UUID, experiment_id: UUID) -> None:
    """Ends the epoch that lasts: nobody is assigned from now on."""
    connection.execute(
        "UPDATE experiment_epochs SET ended_at = now() WHERE organization_id = %s AND experiment_id = %s AND ended_at IS NULL", [organization_id, experiment_id]
    )


def set_config(connection: Connection, organization_id: UUID, experiment_id: UUID, changed: Mapping[str, Any]) -> None:
    """Changes options by their names; the others stay."""
    connection.execute(
        "UPDATE learning_experiments SET config = config || %s WHERE organization_id = %s AND id = %s", [Jsonb(dict(changed)), organization_id, experiment_id]
    )


def note(connection: Connection, organization_id: UUID, experiment_id: UUID, notes: str | None) -> None:
    """Why it ended as it did, where no decision says so."""
    connection.execute("UPDATE learning_experiments SET decision_notes = %s WHERE organization_id = %s AND id = %s", [notes, organization_id, experiment_id])


def unfinished(connection: Connection, agent: AgentRef, subject: Subject) -> list[Experiment]:
    """The agent's experiments about a subject that run or are paused, oldest first, whether the agent may learn or not."""
    rows = connection.execute(
        f"""{_SELECT} WHERE e.organization_id = %s AND e.agent_id = %s AND e.subject = %s AND e.status IN ('running', 'paused')
        ORDER BY e.started_at, e.id""",
        [agent.organization_id, agent.agent_id, subject],
    ).fetchall()
    return [_experiment(row) for row in rows]


def to_analyze(connection: Connection, organization: str | None = None) -> list[tuple[AgentRef, UUID]]:
    """Agent and id of every running experiment of an organization (its slug; None: of all) whose agent may learn, oldest first."""
    rows = connection.execute(
        """SELECT o.organization_id, o.slug, a.id, a.slug, e.id FROM learning_experiments e
        JOIN agents a ON a.organization_id = e.organization_id AND a.id = e.agent_id JOIN organizations o ON o.organization_id = e.organization_id
        WHERE e.status = 'running' AND a.learning_enabled AND (%(organization)s::text IS NULL OR o.slug = %(organization)s)
        ORDER BY e.started_at, e.id""",
        {"organization": organization},
    ).fetchall()
    return [(AgentRef(*row[:4]), row[4]) for row in rows]


def ended_by_rollback(connection: Connection, agent: AgentRef, subject: Subject, seconds: float) -> Experiment | None:
    """The rollout about a subject that a rollback ended within the last seconds; None if there is none."""
    row = connection.execute(
        f"""{_SELECT} WHERE e.organization_id = %s AND e.agent_id = %s AND e.subject = %s AND e.kind = 'rollout' AND e.decision = 'rollback'
        AND e.ended_at > now() - make_interval(secs => %s) ORDER BY e.ended_at DESC LIMIT 1""",
        [agent.organization_id, agent.agent_id, subject, seconds],
    ).fetchone()
    return None if row is None else _experiment(row)


def add_decision(
    connection: Connection, organization_id: UUID, experiment_id: UUID, decision: Decision, *, final: bool, reason: str, evidence: Mapping[str, Any],
    decided_by: str,
) -> int:  # fmt: skip
    """Stores a decision with what it was made from; returns its id. The experiment's own columns are `conclude`'s."""
    row = connection.execute(
        """INSERT INTO experiment_decisions (organization_id, experiment_id, decision, final, reason, evidence, decided_by)
        VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id""",
        [organization_id, experiment_id, decision, final, reason, Jsonb(dict(evidence)), decided_by],
    ).fetchone()
    assert row is not None
    return int(row[0])


def conclude(
    connection: Connection, organization_id: UUID, experiment_id: UUID, decision: Decision, winner: str | None, notes: str,
    control_metrics: Mapping[str, Any], treatment_metrics: Mapping[str, Any], significance: float | None,
) -> None:  # fmt: skip
    """Writes how it ended into the original's columns. `winner`: control, treatment or None; `significance`: p value that holds at any time, 0 to 1."""
    connection.execute(
        """UPDATE learning_experiments SET decision = %s, winner = %s, decision_notes = %s, control_metrics = %s, treatment_metrics = %s,
            statistical_significance = %s WHERE organization_id = %s AND id = %s""",
        [decision, winner, notes, Jsonb(dict(control_metrics)), Jsonb(dict(treatment_metrics)), significance, organization_id, experiment_id],
    )


def _experiment(row: Sequence[Any]) -> Experiment:
    """From the columns of _SELECT, which are the fields of an Experiment in their order, its epochs in three columns."""
    *columns, stored, started, ended = row
    each = zip(stored, started or (), ended or (), strict=True)
    epochs = tuple(Epoch(int(one["number"]), ranges_from_json(one["ranges"]), begun, over) for one, begun, over in each)
    found = Experiment(*[*columns, epochs])
    return replace(found, arms=arms_from_json(columns[9]), guardrails=tuple(found.guardrails), steps=tuple(found.steps))
