"""The annotation queue as one expert sees it: what is open to them, most valuable first; and the leases that keep experts apart.

Belongs here: SQL that finds, leases, releases and skips items. Not here: verdicts (reviews.py), the formula (examples/review_value.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, dict_row

from learning_pipelines.storage.database import Connection

REVIEWERS, LEASE_SECONDS = 1, 900
"""Where neither the agent nor the organization has a row in review_settings."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose queue, and filters; None means any. `status` needs_revision also shows items on which this expert asked for the revision.
    `exclude`: items not to be among them, at hand elsewhere."""

    organization_id: UUID
    expert_id: UUID
    agent_id: UUID | None = None
    domain: str | None = None
    example_type: str | None = None
    status: str | None = None
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seat:
    """What an expert did last with an item. `live`: a lease that has not run out."""

    expert_id: UUID
    round: int
    seat: int
    state: str
    live: bool


_OPEN = "e.is_active AND e.review_status IN ('pending', 'in_review', 'needs_revision')"
_PRIORITY = "learning.review_priority(e.example_type, e.confidence_score, e.support, e.distrusted, e.created_at)"
_FILTERS = """(%(domain)s::text IS NULL OR e.domain = %(domain)s) AND (%(example_type)s::text IS NULL OR e.example_type = %(example_type)s)
    AND (%(status)s::text IS NULL OR e.review_status = %(status)s) AND e.id <> ALL(%(exclude)s::text[])"""
_TAKEN = "(s.state = 'reviewed' OR (s.state = 'leased' AND s.leased_until > now())) AND s.expert_id <> %(me)s"
# Not made of the expert's own words; not judged or skipped by them; a seat is free. Whoever leases, judges or skips sets reviews_needed, so
# that untouched items, most of a long queue, need no look at seats. Counts and NOT IN instead of NOT EXISTS: whatever the statistics of the
# tables say (nothing, in a young database), each is a probe by its key, never a join of everything with everything.
_FOR_ME = f"""e.user_id IS DISTINCT FROM %(me)s AND e.id NOT IN (SELECT o.example_id FROM own_words o)
    AND ((e.reviews_needed IS NULL AND e.review_round = 1) OR (
        (SELECT count(*) FROM review_seats m WHERE m.organization_id = e.organization_id AND m.example_id = e.id AND m.expert_id = %(me)s
            AND m.state IN ('reviewed', 'skipped')
            AND NOT (m.round < e.review_round AND %(status)s::text IS NOT DISTINCT FROM 'needs_revision')) = 0
        AND (SELECT count(*) FROM review_seats s WHERE s.organization_id = e.organization_id AND s.example_id = e.id
            AND s.round = e.review_round AND {_TAKEN}) < coalesce(e.reviews_needed, w.reviewers)))"""
_AGENTS = f"""
own_words AS MATERIALIZED (
    SELECT example_id FROM example_sources WHERE organization_id = %(organization)s AND user_id = %(me)s
    UNION SELECT example_id FROM example_sources WHERE organization_id = %(organization)s AND input_user_id = %(me)s
),
agents_wanted AS (
    SELECT a.organization_id, a.id, a.slug, coalesce(own.reviewers, shared.reviewers, {REVIEWERS}) AS reviewers,
        coalesce(own.lease_seconds, shared.lease_seconds, {LEASE_SECONDS}) AS lease_seconds
    FROM agents a
    LEFT JOIN review_settings own ON own.organization_id = a.organization_id AND own.agent_id = a.id
    LEFT JOIN review_settings shared ON shared.organization_id = a.organization_id AND shared.agent_id = '00000000-0000-0000-0000-000000000000'
    WHERE a.organization_id = %(organization)s AND (%(agent_id)s::uuid IS NULL OR a.id = %(agent_id)s)
)"""

# Each agent gives its best by the index on priority; what is contested is looked at whole, since its factor lies outside the index.
_BEST_OF_EACH = f"""
candidates AS (
    SELECT c.id FROM agents_wanted w CROSS JOIN LATERAL (
        SELECT e.id FROM learning_examples e WHERE e.organization_id = w.organization_id AND e.agent_id = w.id AND {_OPEN} AND {_FILTERS} AND {_FOR_ME}
        ORDER BY {_PRIORITY} DESC LIMIT %(limit)s) c
    UNION
    SELECT c.id FROM agents_wanted w CROSS JOIN LATERAL (
        SELECT e.id FROM learning_examples e WHERE e.organization_id = w.organization_id AND e.agent_id = w.id AND e.adjudicating AND {_OPEN}
            AND {_FILTERS} AND {_FOR_ME}
        ORDER BY {_PRIORITY} DESC LIMIT %(limit)s) c
    UNION
    SELECT c.id FROM agents_wanted w CROSS JOIN LATERAL (
        SELECT e.id FROM learning_examples e WHERE e.organization_id = w.organization_id AND e.agent_id = w.id AND {_OPEN} AND {_FILTERS} AND {_FOR_ME}
            AND e.id = ANY(ARRAY(
                SELECT first_id FROM example_conflicts k WHERE k.organization_id = w.organization_id AND k.agent_id = w.id AND k.status = 'open'
                UNION SELECT second_id FROM example_conflicts k WHERE k.organization_id = w.organization_id AND k.agent_id = w.id AND k.status = 'open'))
        ORDER BY {_PRIORITY} DESC LIMIT %(limit)s) c
)"""
_NAMED = "candidates AS (SELECT id FROM unnest(%(ids)s::text[]) AS named (id))"
_VALUED = f"""
traffic AS (
    SELECT agent_id, sum(executions) AS executions FROM feedback_metrics
    WHERE organization_id = %(organization)s AND day > (now() - interval '30 days')::date GROUP BY 1
),
valued AS (
    SELECT e.*, w.slug, w.reviewers, {_PRIORITY} AS priority,
        coalesce((SELECT t.executions FROM traffic t WHERE t.agent_id = e.agent_id), 0)::bigint AS executions,
        (SELECT count(*) FROM example_conflicts k WHERE k.organization_id = e.organization_id AND k.status = 'open' AND k.first_id = e.id)
        + (SELECT count(*) FROM example_conflicts k WHERE k.organization_id = e.organization_id AND k.status = 'open' AND k.second_id = e.id) > 0
        AS conflicting
    FROM learning_examples e JOIN agents_wanted w ON w.id = e.agent_id
    WHERE e.organization_id = %(organization)s AND e.id = ANY(ARRAY(SELECT id FROM candidates))
)"""
_BY_VALUE = """ORDER BY e.priority + ln(1 + log(1 + e.executions) / 3) + CASE WHEN e.adjudicating THEN ln(4.0) ELSE 0 END
    + CASE WHEN e.conflicting THEN ln(2.0) ELSE 0 END DESC, e.id LIMIT %(limit)s"""
_SHOWN = f"""
SELECT e.id AS example_id, e.slug AS agent, e.example_type, e.source_type, e.input_text, e.input_context, e.original_output, e.expected_output,
    e.output_a, e.output_b, e.preferred_output, e.preference_strength, e.domain, e.task_type, e.complexity, e.jurisdictions, e.tags,
    e.confidence_score, e.support, e.distrusted, e.review_status, e.review_round AS round, coalesce(e.reviews_needed, e.reviewers) AS reviews_needed,
    e.adjudicating, e.created_at, e.priority, e.executions, e.conflicting,
    (SELECT s.leased_until FROM review_seats s WHERE s.organization_id = e.organization_id AND s.example_id = e.id AND s.expert_id = %(me)s
        AND s.round = e.review_round AND s.state = 'leased' AND s.leased_until > now()) AS lease_until
FROM valued e {_BY_VALUE}"""
_PAGE = f"WITH {_AGENTS}, {_BEST_OF_EACH}, {_VALUED}{_SHOWN}"
_PAGE_OF = f"WITH {_AGENTS}, {_NAMED}, {_VALUED}{_SHOWN}"
_BEST = f"WITH {_AGENTS}, {_BEST_OF_EACH}, {_VALUED} SELECT e.id FROM valued e {_BY_VALUE}"
_TOTAL = f"""WITH {_AGENTS}
SELECT count(*) FROM agents_wanted w JOIN learning_examples e ON e.organization_id = %(organization)s AND e.agent_id = w.id
WHERE {_OPEN} AND {_FILTERS} AND {_FOR_ME}"""


def page(connection: Connection, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
    """The most valuable open items, best first, with texts."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_PAGE, {**_values(wanted), "limit": limit}).fetchall()


def page_of(connection: Connection, wanted: Wanted, ids: Sequence[str]) -> list[dict[str, Any]]:
    """These items as they are in a page, best first; filters but that of the agent do not matter."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_PAGE_OF, {**_values(wanted), "limit": len(ids), "ids": list(ids)}).fetchall()


def candidates(connection: Connection, organization_id: UUID, ids: Sequence[str]) -> dict[str, list[str]]:
    """Of those items that wait for an adjudicator, the different texts that experts approved; the order tells nothing of them."""
    rows = connection.execute(
        "SELECT example_id, candidates FROM adjudications WHERE organization_id = %s AND example_id = ANY(%s) AND resolved_at IS NULL",
        [organization_id, list(ids)],
    ).fetchall()
    return {str(name): list(texts) for name, texts in rows}


def total(connection: Connection, wanted: Wanted) -> int:
    """How many items are open to the expert."""
    row = connection.execute(_TOTAL, _values(wanted)).fetchone()
    assert row is not None
    return int(row[0])


def best(connection: Connection, wanted: Wanted, limit: int) -> list[str]:
    """Ids of the most valuable open items, best first."""
    return [str(row[0]) for row in connection.execute(_BEST, {**_values(wanted), "limit": limit}).fetchall()]


def lock_free(connection: Connection, organization_id: UUID, ids: Sequence[str], limit: int) -> list[str]:
    """Locks the first `limit` of the items that no other transaction is working on, and says which, in the given order."""
    rows = connection.execute(
        """SELECT e.id FROM unnest(%s::text[]) WITH ORDINALITY AS wanted (id, place)
        JOIN learning_examples e ON e.organization_id = %s AND e.id = wanted.id ORDER BY wanted.place LIMIT %s FOR UPDATE OF e SKIP LOCKED""",
        [list(ids), organization_id, limit],
    ).fetchall()
    return [str(row[0]) for row in rows]


def seats(connection: Connection, organization_id: UUID, ids: Sequence[str]) -> dict[str, list[Seat]]:
    """Every expert's last doing with these items."""
    found: dict[str, list[Seat]] = {identity: [] for identity in ids}
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            """SELECT example_id, expert_id, round, seat, state, coalesce(leased_until > clock_timestamp(), false) AS live FROM review_seats
            WHERE organization_id = %s AND example_id = ANY(%s)""",
            [organization_id, list(ids)],
        ).fetchall()
    for row in rows:
        found[row.pop("example_id")].append(Seat(**row))
    return found


def put_seat(
    connection: Connection, organization_id: UUID, example_id: str, expert_id: UUID, round_: int, seat: int, state: str, seconds: int | None = None
) -> dt.datetime | None:
    """Sets what the expert did with the item last; a lease that ran out on the same seat ends first. Returns until when it is leased."""
    if seat:
        connection.execute(
            """UPDATE review_seats SET state = 'expired', updated_at = now() WHERE organization_id = %s AND example_id = %s AND round = %s AND seat = %s
            AND state = 'leased' AND expert_id <> %s AND leased_until <= clock_timestamp()""",
            [organization_id, example_id, round_, seat, expert_id],
        )
    row = connection.execute(
        """INSERT INTO review_seats (organization_id, example_id, expert_id, round, seat, state, leased_until)
        VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))
        ON CONFLICT (organization_id, example_id, expert_id) DO UPDATE
            SET round = excluded.round, seat = excluded.seat, state = excluded.state, leased_until = excluded.leased_until, updated_at = now()
        RETURNING leased_until""",
        [organization_id, example_id, expert_id, round_, seat, state, seconds],
    ).fetchone()
    return None if row is None else row[0]


@dataclass(frozen=True, slots=True)
class ReviewSettings:
    """What review of an agent's examples takes."""

    reviewers: int
    lease_seconds: int


def review_settings(connection: Connection, organization_id: UUID, agent_id: UUID | None) -> ReviewSettings:
    """The settings in force for an agent, or for the organization."""
    with connection.cursor(row_factory=class_row(ReviewSettings)) as cursor:
        found = cursor.execute(
            """SELECT reviewers, lease_seconds FROM review_settings WHERE organization_id = %s AND agent_id IN (%s, %s)
            ORDER BY agent_id = '00000000-0000-0000-0000-000000000000' LIMIT 1""",
            [organization_id, agent_id or UUID(int=0), UUID(int=0)],
        ).fetchone()
    return found or ReviewSettings(REVIEWERS, LEASE_SECONDS)


def keep_review_settings(connection: Connection, organization_id: UUID, agent_id: UUID | None, chosen: ReviewSettings) -> None:
    """Sets them for an agent, or for every agent of the organization without settings of its own."""
    connection.execute(
        """INSERT INTO review_settings (organization_id, agent_id, reviewers, lease_seconds) VALUES (%s, %s, %s, %s)
        ON CONFLICT (organization_id, agent_id) DO UPDATE SET reviewers = excluded.reviewers, lease_seconds = excluded.lease_seconds, updated_at = now()""",
        [organization_id, agent_id or UUID(int=0), chosen.reviewers, chosen.lease_seconds],
    )


def _values(wanted: Wanted) -> dict[str, Any]:
    return {
        "organization": wanted.organization_id, "me": wanted.expert_id, "agent_id": wanted.agent_id, "domain": wanted.domain,
        "example_type": wanted.example_type, "status": wanted.status, "exclude": list(wanted.exclude),
    }  # fmt: skip
