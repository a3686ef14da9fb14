"""What a judging model is asked about and what it said: verdicts on reviewed examples, scores of sampled executions.

Belongs here: SQL of judge_verdicts and execution_scores. Not here: asking the judge (prompts/judging.py), comparing it with others (agreement.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from learning_pipelines.storage import outbox
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

SAMPLES_READER = "execution_scores"
NEW_AT_MOST = 100_000
"""Entries of the outbox that one look takes in."""
_JUDGED = "sha256(convert_to(jsonb_build_array(e.input_text, e.expected_output)::text, 'UTF8'))"
# By primary key: as a join, a planner without statistics reads the whole table.
_EXAMPLE = "SELECT * FROM learning_examples WHERE organization_id = %(organization)s AND id = v.example_id OFFSET 0"
_PLACE = "('x' || left(md5('judged/' || {}), 8))::bit(32)::bigint / 4294967296.0"
"""Where an execution stands between 0 and 1: the same for ever and on every server."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A reviewed example: its scrubbed texts, and a hash of what is judged."""

    id: str
    input_text: str
    expected_output: str
    judged_hash: bytes


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a judge said about one example or execution: `approved` and `score`, or `fault`."""

    id: str
    approved: bool | None
    score: float | None
    scores: Mapping[str, float]
    fault: str | None
    judged_hash: bytes = b""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an agent says about how it is scored. `sample`: the share of live executions that it wants judged."""

    system_prompt: str
    metric: Mapping[str, Any] | None
    labels: tuple[str, ...]
    sample: float


@dataclass(frozen=True, slots=True)
class Sampled:
    """An execution that is to be judged, with its texts as they came in."""

    id: str
    input: str
    output: str
    prompt_version: str | None
    created_at: dt.datetime


@dataclass(frozen=True, slots=True)
class NewSample:
    """`new`: executions since the last look; `drawn`: those of them in the sample without a score. `more`: there are further new ones."""

    executions: list[Sampled]
    new: int
    drawn: int
    more: bool
    position: outbox.Position


@dataclass(frozen=True, slots=True)
class AutomatedScores:
    """Scores of one judge over a stretch of time: how many, their mean (None: none), the mean by goal, and how often there was no verdict."""

    judge: str
    n: int
    mean: float | None
    faults: int
    goals: Mapping[str, float] = field(default_factory=dict)


def asked(connection: Connection, agent: AgentRef) -> Asked:
    """What the agent says about how it is scored."""
    row = connection.execute(
        "SELECT coalesce(system_prompt, ''), metric, labels, context -> 'judge_sample' FROM agents WHERE organization_id = %s AND id = %s",
        [agent.organization_id, agent.agent_id],
    ).fetchone()
    assert row is not None
    prompt, metric, labels, sample = row
    share = float(sample) if isinstance(sample, int | float) and not isinstance(sample, bool) and 0 <= sample <= 1 else 0.0
    return Asked(prompt, metric, tuple(labels or ()), share)


def asks_for_judge(connection: Connection, agent: AgentRef) -> bool:
    """Whether the agent wants to be judged at all: by its metric, or a sample of what it does."""
    wanted = asked(connection, agent)
    return wanted.sample > 0 or (wanted.metric or {}).get("type") == "judge"


def agents_that_ask(connection: Connection) -> list[str]:
    """Partition keys of the agents with a judge_sample, or with the metric judge."""
    rows = connection.execute(
        """SELECT o.slug || '/' || a.slug FROM agents a JOIN organizations o USING (organization_id)
        WHERE a.metric ->> 'type' = 'judge' OR (jsonb_typeof(a.context -> 'judge_sample') = 'number' AND (a.context ->> 'judge_sample')::numeric > 0)
        ORDER BY 1"""
    ).fetchall()
    return [str(row[0]) for row in rows]


def to_judge(connection: Connection, agent: AgentRef, judge: str, most: int) -> list[Subject]:
    """Examples with a verdict of an expert in force of which this judge has not judged the present text, the latest reviewed first. Examples of what
    not to do, and of which of two is better, hold no answer that a judge could approve."""
    with connection.cursor(row_factory=class_row(Subject)) as cursor:
        return cursor.execute(
            f"""SELECT e.id, e.input_text, e.expected_output, {_JUDGED} AS judged_hash
            FROM (SELECT example_id, max(created_at) AS at FROM expert_verdicts WHERE organization_id = %(organization)s GROUP BY 1) v
            CROSS JOIN LATERAL ({_EXAMPLE}) e
            LEFT JOIN judge_verdicts j ON j.organization_id = e.organization_id AND j.example_id = e.id AND j.judge = %(judge)s
            WHERE e.agent_id = %(agent)s AND e.is_active AND e.example_type NOT IN ('negative', 'failure', 'preference')
                AND e.expected_output ~ '\\S' AND j.judged_hash IS DISTINCT FROM {_JUDGED}
            ORDER BY v.at DESC, e.id LIMIT %(most)s""",
            {"organization": agent.organization_id, "agent": agent.agent_id, "judge": judge, "most": most},
        ).fetchall()


def store_verdicts(connection: Connection, agent: AgentRef, judge: str, spoken: Sequence[Spoken]) -> int:
    """Keeps what the judge said about examples; a later verdict on a changed text replaces the earlier one. One that was deleted meanwhile is skipped."""
    return connection.execute(
        """INSERT INTO judge_verdicts AS j (organization_id, example_id, judge, approved, score, scores, fault, judged_hash)
        SELECT %s, s.id, %s, s.approved, s.score, s.scores, s.fault, s.judged_hash
        FROM unnest(%s::text[], %s::boolean[], %s::double precision[], %s::jsonb[], %s::text[], %s::bytea[])
            AS s (id, approved, score, scores, fault, judged_hash)
        WHERE EXISTS (SELECT FROM learning_examples e WHERE e.organization_id = %s AND e.id = s.id)
        ON CONFLICT (organization_id, example_id, judge) DO UPDATE SET approved = excluded.approved, score = excluded.score, scores = excluded.scores,
            fault = excluded.fault, judged_hash = excluded.judged_hash, created_at = now()""",
        [
            agent.organization_id, judge, [one.id for one in spoken], [one.approved for one in spoken], [one.score for one in spoken],
            [Jsonb(dict(one.scores)) for one in spoken], [one.fault for one in spoken], [one.judged_hash for one in spoken], agent.organization_id,
        ],
    ).rowcount  # fmt: skip


def verdict_table(connection: Connection, agent: AgentRef, judge: str, typical: float) -> list[list[int]]:
    """Examples by [experts rejected, approved] × [judge rejected, approved]; experts by reliability (`typical` where it is not known), where the
    judge's verdict is about the present text. Where experts are undecided nothing is compared."""
    rows = connection.execute(
        f"""SELECT v.side > 0, j.approved, count(*) FROM (
            SELECT v.example_id, sum((v.verdict - 1) * coalesce(r.reliability, %(typical)s)) AS side FROM expert_verdicts v
            LEFT JOIN expert_reliability r ON r.organization_id = v.organization_id AND r.expert_id = v.expert_id
            WHERE v.organization_id = %(organization)s GROUP BY 1) v
        JOIN judge_verdicts j ON j.organization_id = %(organization)s AND j.example_id = v.example_id AND j.judge = %(judge)s
        CROSS JOIN LATERAL ({_EXAMPLE}) e
        WHERE e.agent_id = %(agent)s AND v.side <> 0 AND j.approved IS NOT NULL AND j.judged_hash = {_JUDGED} GROUP BY 1, 2""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "judge": judge, "typical": typical},
    ).fetchall()
    table = [[0, 0], [0, 0]]
    for experts, said, count in rows:
        table[experts][said] = count
    return table


def new_sample(connection: Connection, agent: AgentRef, judge: str, share: float, most: int) -> NewSample:
    """The sampled executions among what came since the last look, at most `most`: those that stand lowest, which is a sample as well."""
    start = outbox.position(connection, SAMPLES_READER, agent)
    values = {
        "organization": agent.organization_id, "agent": agent.agent_id, "xid": str(start.xid), "id": start.id, "limit": NEW_AT_MOST, "share": share,
        "judge": judge, "most": most,
    }  # fmt: skip
    row = connection.execute(
        f"""WITH entries AS MATERIALIZED (
            SELECT xid, id, kind, execution_id FROM outbox WHERE organization_id = %(organization)s AND agent_id = %(agent)s
                AND (xid, id) > (%(xid)s::xid8, %(id)s) AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid, id LIMIT %(limit)s
        ), new AS MATERIALIZED (SELECT DISTINCT execution_id FROM entries WHERE kind = 'executions'),
        drawn AS MATERIALIZED (
            SELECT execution_id, {_PLACE.format("execution_id")} AS place FROM new n WHERE {_PLACE.format("execution_id")} < %(share)s
                AND NOT EXISTS (SELECT FROM execution_scores s WHERE s.organization_id = %(organization)s AND s.execution_id = n.execution_id
                    AND s.judge = %(judge)s)
        )
        SELECT (SELECT count(*) FROM new), (SELECT count(*) FROM drawn), (SELECT count(*) FROM entries),
            (SELECT ARRAY[xid::text, id::text] FROM entries ORDER BY xid DESC, id DESC LIMIT 1),
            ARRAY(SELECT execution_id FROM drawn ORDER BY place, execution_id LIMIT %(most)s)""",
        values,
    ).fetchone()
    assert row is not None
    new, drawn, entries, last, chosen = row
    with connection.cursor(row_factory=class_row(Sampled)) as cursor:
        executions = cursor.execute(
            """SELECT x.id, x.input, x.output, x.prompt_version, x.created_at FROM unnest(%s::text[]) WITH ORDINALITY AS c (id, place)
            CROSS JOIN LATERAL (SELECT * FROM agent_executions WHERE organization_id = %s AND id = c.id OFFSET 0) x ORDER BY c.place""",
            [chosen, agent.organization_id],
        ).fetchall()
    position = outbox.Position(start.cluster, int(last[0]), int(last[1])) if last else start
    return NewSample(executions, new, drawn, entries == NEW_AT_MOST, position)


def store_scores(connection: Connection, agent: AgentRef, judge: str, about: Sequence[Sampled], spoken: Sequence[Spoken]) -> int:
    """Keeps what the judge said about executions; what is there stays."""
    return connection.execute(
        """INSERT INTO execution_scores (organization_id, execution_id, judge, agent_id, score, scores, fault, prompt_version, execution_at)
        SELECT %s, s.id, %s, %s, s.score, s.scores, s.fault, s.prompt_version, s.execution_at
        FROM unnest(%s::text[], %s::double precision[], %s::jsonb[], %s::text[], %s::text[], %s::timestamptz[])
            AS s (id, score, scores, fault, prompt_version, execution_at)
        ON CONFLICT DO NOTHING""",
        [
            agent.organization_id, judge, agent.agent_id, [one.id for one in spoken], [one.score for one in spoken],
            [Jsonb(dict(one.scores)) for one in spoken], [one.fault for one in spoken], [one.prompt_version for one in about],
            [one.created_at for one in about],
        ],
    ).rowcount  # fmt: skip


def automated_scores(connection: Connection, agent: AgentRef, since: dt.datetime) -> list[AutomatedScores]:
    """By judge, the scores of executions that happened at or after `since`; the judge with the most first."""
    with connection.cursor(row_factory=class_row(AutomatedScores)) as cursor:
        return cursor.execute(
            """SELECT s.judge, count(score)::integer AS n, avg(score) AS mean, count(fault)::integer AS faults,
                coalesce((SELECT jsonb_object_agg(goal, mean) FROM (
                    SELECT g.key AS goal, avg(g.value::double precision) AS mean
                    FROM execution_scores o CROSS JOIN LATERAL jsonb_each_text(o.scores) g
                    WHERE o.organization_id = %(organization)s AND o.agent_id = %(agent)s AND o.execution_at >= %(since)s AND o.judge = s.judge
                    GROUP BY 1) AS each), '{}') AS goals
            FROM execution_scores s WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND execution_at >= %(since)s
            GROUP BY s.judge ORDER BY 2 DESC, 1""",
            {"organization": agent.organization_id, "agent": agent.agent_id, "since": since},
        ).fetchall()
