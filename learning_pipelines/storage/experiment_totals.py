"""Values of units and sequential states, moved by what the events of a portion add.

Belongs here: portion_events (experiment_events.py) → experiment_units → experiment_metrics, set by set, in the transaction of the portion. Not here: which
events count, what states mean (experiments/unit_sums.py, experiments/exact.py), which metrics there are (experiments/metrics.py).

Cost follows the events and the units that they are about, never a unit's history: totals and sums are moved by differences. Sums of ratio metrics are
linear, so that SQL moves them as UnitSums.replace would.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_events import HIGHEST, OPENING, SKEW
from learning_pipelines.storage.experiment_rows import Ranges, ranges_from_json

ISSUES = ("incorrect", "incomplete", "unclear", "hallucination", "outdated", "formatting", "tone", "other")
"""Categories of issues, as agent_feedback has them."""
HISTORY = dt.timedelta(days=28)
"""How far back a user's values before exposure reach."""

# Key of the totals → what an event adds, and what an execution from before the exposure adds.
_ADDED = {
    "executions": "p.is_new::integer",
    "latency_ms": "CASE WHEN p.is_new THEN p.latency_ms END",
    "latency_count": "(p.is_new AND p.latency_ms IS NOT NULL)::integer",
    "cost_usd": "CASE WHEN p.is_new THEN p.cost_usd END",
    "cost_count": "(p.is_new AND p.cost_usd IS NOT NULL)::integer",
    "refusals": "(p.is_new AND p.refusal)::integer",
    "with_feedback": "p.with_feedback::integer - p.old_with_feedback::integer",
    "corrections": "p.corrected::integer - p.old_corrected::integer",
    **{f"issue:{name}": f"('{name}' = ANY(p.issues))::integer - ('{name}' = ANY(p.old_issues))::integer" for name in ISSUES},
}
_BEFORE = {
    "executions": "1",
    "latency_ms": "CASE WHEN x.latency_ms < %(highest)s THEN x.latency_ms END",
    "latency_count": "(x.latency_ms < %(highest)s)::integer",
    "cost_usd": "CASE WHEN x.cost_usd < %(highest)s THEN x.cost_usd END",
    "cost_count": "(x.cost_usd < %(highest)s)::integer",
    "refusals": "(left(x.output, %(opening)s) ~ %(refusal)s)::integer",
    "with_feedback": "f.with_feedback::integer",
    "corrections": "f.corrected::integer",
    **{f"issue:{name}": f"('{name}' = ANY(f.categories))::integer" for name in ISSUES},
}
KEYS = tuple(_ADDED)


def move_units(connection: Connection, refusal: str) -> int:
    """Brings experiment_units up to date with portion_events and notes the units that moved in portion_units, with totals before and after. A unit that is
    new gets the values of its 28 days before exposure, if units are users. Returns how many moved."""
    connection.execute(f"CREATE TEMP TABLE portion_units ON COMMIT DROP AS {_MOVED}")
    connection.execute("ANALYZE portion_units")
    values = {"refusal": refusal, "skew": SKEW, "history": HISTORY, "opening": OPENING, "highest": HIGHEST}
    new = connection.execute(_NEW_UNITS, values).rowcount
    return new + connection.execute(_STORE_UNITS).rowcount


def _object(values: dict[str, str]) -> str:
    """Totals as JSON; what is nothing is left out."""
    pairs = ", ".join(f"'{key}', nullif({value}, 0)" for key, value in values.items())
    return f"jsonb_strip_nulls(jsonb_build_object({pairs}))"


_SUMS_OF_EVENTS = ", ".join(f'coalesce(sum({value}), 0)::double precision AS "{key}"' for key, value in _ADDED.items())
_NEW_TOTALS = _object({key: f"coalesce((u.totals ->> '{key}')::double precision, 0) + d.\"{key}\"" for key in KEYS})
_ANY_MOVED = " OR ".join(f'd."{key}" <> 0' for key in KEYS)
_MOVED = f"""
WITH added AS (
    SELECT p.organization_id, p.experiment_id, p.unit, (array_agg(p.user_id ORDER BY p.created_at) FILTER (WHERE p.user_id IS NOT NULL))[1] AS user_id,
        {_SUMS_OF_EVENTS}
    FROM portion_events p GROUP BY 1, 2, 3
)
SELECT d.organization_id, d.experiment_id, d.unit, d.user_id, a.variant, a.epoch, a.exposed_at, u.unit IS NULL AS is_new, coalesce(u.totals, '{{}}') AS old,
    {_NEW_TOTALS} AS new
FROM added d
JOIN experiment_assignments a ON a.organization_id = d.organization_id AND a.experiment_id = d.experiment_id AND a.unit = d.unit
LEFT JOIN experiment_units u ON u.organization_id = d.organization_id AND u.experiment_id = d.experiment_id AND u.unit = d.unit
WHERE {_ANY_MOVED}"""

_TOTALS_BEFORE = _object({key: f"sum({value})" for key, value in _BEFORE.items()})
# Clocks that are off must not carry an effect into the covariate: the days before end where events after exposure may begin.
_NEW_UNITS = f"""
INSERT INTO experiment_units (organization_id, experiment_id, unit, variant, epoch, exposed_at, totals, before)
SELECT p.organization_id, p.experiment_id, p.unit, p.variant, p.epoch, p.exposed_at, p.new, coalesce(b.totals, '{{}}')
FROM portion_units p
JOIN learning_experiments e ON e.organization_id = p.organization_id AND e.id = p.experiment_id
LEFT JOIN LATERAL (
    SELECT {_TOTALS_BEFORE} AS totals
    FROM agent_executions x
    CROSS JOIN LATERAL (
        SELECT count(*) > 0 AS with_feedback, coalesce(bool_or(g.facets_in_force & 16 > 0), false) AS corrected,
            string_to_array(string_agg(array_to_string(g.issue_categories, ','), ',') FILTER (WHERE g.facets_in_force & 8 > 0), ',') AS categories
        FROM feedback_in_force g WHERE g.organization_id = x.organization_id AND g.execution_id = x.id AND g.created_at < p.exposed_at - %(skew)s
    ) f
    WHERE x.organization_id = p.organization_id AND x.agent_id = e.agent_id AND x.created_at >= p.exposed_at - %(skew)s - %(history)s
        AND x.created_at < p.exposed_at - %(skew)s
        AND x.user_id = coalesce((SELECT w.id FROM users w WHERE w.organization_id = p.organization_id AND w.external_id = p.unit), p.user_id)
) b ON e.unit = 'user'
WHERE p.is_new"""
_STORE_UNITS = """
UPDATE experiment_units u SET totals = p.new, updated_at = now() FROM portion_units p
WHERE NOT p.is_new AND u.organization_id = p.organization_id AND u.experiment_id = p.experiment_id AND u.unit = p.unit"""


def move_ratios(connection: Connection, ratios: Sequence[tuple[str, str, str]]) -> int:
    """Puts the new totals of the units that moved in place of the old ones, in the states of ratio metrics: (name, numerator, denominator), keys of totals.
    Returns how many states changed."""
    names, numerators, denominators = ([one[place] for one in ratios] for place in range(3))
    return connection.execute(_MOVE_RATIOS, {"names": names, "numerators": numerators, "denominators": denominators}).rowcount


_PRODUCTS = {a + b: f"s.{a} * s.{b}" for a, b in combinations_with_replacement("xycd", 2)}
_SUMS = {"n": "1"} | {name: f"s.{name}" for name in "xycd"} | _PRODUCTS
"""Fields of UnitSums and what a unit adds to each."""
_SIGNED = ", ".join(f'sum(s.sign * {value}) AS "{name}"' for name, value in _SUMS.items())
_AS_JSON = ", ".join(f"'{name}', \"{name}\"" for name in _SUMS)
_BOTH = ", ".join(f"'{name}', (m.state ->> '{name}')::double precision + (excluded.state ->> '{name}')::double precision" for name in _SUMS)
# A unit's totals of one metric, taken out as they were (-1) and put in as they are (1); units without a denominator are in no sum.
_MOVE_RATIOS = f"""
WITH values AS (
    SELECT p.organization_id, p.experiment_id, m.name, p.epoch, p.variant,
        coalesce((p.old ->> m.numerator)::double precision, 0) AS old_x, coalesce((p.old ->> m.denominator)::double precision, 0) AS old_y,
        coalesce((p.new ->> m.numerator)::double precision, 0) AS new_x, coalesce((p.new ->> m.denominator)::double precision, 0) AS new_y,
        coalesce((u.before ->> m.numerator)::double precision, 0) AS c, coalesce((u.before ->> m.denominator)::double precision, 0) AS d
    FROM portion_units p JOIN experiment_units u USING (organization_id, experiment_id, unit)
    CROSS JOIN unnest(%(names)s::text[], %(numerators)s::text[], %(denominators)s::text[]) AS m (name, numerator, denominator)
),
sums AS (
    SELECT v.organization_id, v.experiment_id, v.name, v.epoch, v.variant, {_SIGNED}
    FROM values v CROSS JOIN LATERAL (VALUES (1, new_x, new_y, c, d), (-1, old_x, old_y, c, d)) AS s (sign, x, y, c, d)
    WHERE (new_x, new_y) IS DISTINCT FROM (old_x, old_y) AND s.y > 0
    GROUP BY 1, 2, 3, 4, 5
)
INSERT INTO experiment_metrics AS m (organization_id, experiment_id, metric, epoch, variant, state)
SELECT organization_id, experiment_id, name, epoch, variant, jsonb_build_object({_AS_JSON}) FROM sums
ON CONFLICT (organization_id, experiment_id, metric, epoch, variant) DO UPDATE SET updated_at = now(), state = jsonb_build_object({_BOTH})"""


@dataclass(frozen=True, slots=True)
class FirstValues:
    """First values of a facet that units of an epoch gave in a portion, in the order of their arrival; which arm is the control, and the epoch's ranges."""

    organization_id: UUID
    experiment_id: UUID
    facet: str
    epoch: int
    ranges: Ranges
    control: str
    variants: list[str]
    values: list[float]


@dataclass(frozen=True, slots=True)
class State:
    """A row of experiment_metrics."""

    organization_id: UUID
    experiment_id: UUID
    metric: str
    epoch: int
    variant: str
    state: dict[str, Any]


def new_first_values(connection: Connection) -> list[FirstValues]:
    """Takes the first thumb and the first rating of units that had given none, and remembers that they have. What a unit says later changes nothing."""
    connection.execute(f"CREATE TEMP TABLE portion_firsts ON COMMIT DROP AS {_FIRSTS}", {"skew": SKEW})
    connection.execute("ANALYZE portion_firsts")
    connection.execute(_STORE_FIRSTS)
    rows = connection.execute(_FIRSTS_BY_EPOCH).fetchall()
    return [
        FirstValues(organization, experiment, facet, epoch, ranges_from_json(ranges), control, variants, values)
        for organization, experiment, facet, epoch, ranges, control, variants, values in rows
    ]


_FIRSTS = """
SELECT DISTINCT ON (p.organization_id, p.experiment_id, p.unit, v.facet) p.organization_id, p.experiment_id, p.unit, v.facet, v.value, f.arrival
FROM portion_events p
JOIN experiment_units u ON u.organization_id = p.organization_id AND u.experiment_id = p.experiment_id AND u.unit = p.unit
JOIN agent_feedback f ON f.organization_id = p.organization_id AND f.execution_id = p.execution_id AND NOT f.pending_execution AND NOT f.withdrawn
    AND f.created_at >= p.exposed_at - %(skew)s AND f.created_at <= f.received_at + %(skew)s AND (p.ended_at IS NULL OR f.created_at <= p.ended_at)
CROSS JOIN LATERAL (VALUES
    ('thumb', CASE f.feedback_type WHEN 'thumbs_up' THEN 1.0 WHEN 'thumbs_down' THEN 0.0 END::double precision),
    ('thumb_down', CASE f.feedback_type WHEN 'thumbs_up' THEN 0.0 WHEN 'thumbs_down' THEN 1.0 END),
    ('rating', f.rating::double precision)) AS v (facet, value)
WHERE p.with_feedback AND v.value IS NOT NULL AND NOT u.first_values ? v.facet
ORDER BY p.organization_id, p.experiment_id, p.unit, v.facet, f.arrival"""
_STORE_FIRSTS = """
UPDATE experiment_units u SET first_values = u.first_values || f.said, updated_at = now()
FROM (SELECT organization_id, experiment_id, unit, jsonb_object_agg(facet, value) AS said FROM portion_firsts GROUP BY 1, 2, 3) f
WHERE u.organization_id = f.organization_id AND u.experiment_id = f.experiment_id AND u.unit = f.unit"""
_FIRSTS_BY_EPOCH = """
SELECT f.organization_id, f.experiment_id, f.facet, u.epoch, p.ranges, e.arms -> 0 ->> 'variant', array_agg(u.variant ORDER BY f.arrival, f.unit),
    array_agg(f.value ORDER BY f.arrival, f.unit)
FROM portion_firsts f
JOIN experiment_units u USING (organization_id, experiment_id, unit)
JOIN learning_experiments e ON e.organization_id = f.organization_id AND e.id = f.experiment_id
JOIN experiment_epochs p ON p.organization_id = f.organization_id AND p.experiment_id = f.experiment_id AND p.epoch = u.epoch
GROUP BY f.organization_id, f.experiment_id, f.facet, u.epoch, p.ranges, e.arms ORDER BY 1, 2, 3, 4"""


def states_of_firsts(connection: Connection, metrics: Sequence[str]) -> list[State]:
    """The stored states of these metrics of every experiment that got first values in the portion."""
    rows = connection.execute(
        """SELECT m.organization_id, m.experiment_id, m.metric, m.epoch, m.variant, m.state FROM experiment_metrics m
        WHERE m.metric = ANY(%s) AND (m.organization_id, m.experiment_id) IN (SELECT organization_id, experiment_id FROM portion_firsts)""",
        [list(metrics)],
    ).fetchall()
    return [State(*row) for row in rows]


def store_states(connection: Connection, states: Iterable[State]) -> None:
    """Writes states whole, in one statement."""
    rows = list(states)
    if not rows:
        return
    columns: list[list[Any]] = [list(column) for column in zip(*((*_key(row), Jsonb(row.state)) for row in rows), strict=True)]
    connection.execute(
        """INSERT INTO experiment_metrics AS m (organization_id, experiment_id, metric, epoch, variant, state)
        SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::integer[], %s::text[], %s::jsonb[])
        ON CONFLICT (organization_id, experiment_id, metric, epoch, variant) DO UPDATE SET state = excluded.state, updated_at = now()""",
        columns,
    )


def _key(row: State) -> tuple[UUID, UUID, str, int, str]:
    return row.organization_id, row.experiment_id, row.metric, row.epoch, row.variant
