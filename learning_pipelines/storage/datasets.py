"""The approved examples a dataset is made of, staged under one snapshot; the permanent splits of examples.

Belongs here: SQL of example_splits and of the temporary table of approved examples. Not here: who goes to which split (examples/splits.py), versions.

A million examples are read as arrays, not as rows: their `place` (1, 2, …, oldest first) stands for them, and what is decided about them
goes back as one byte each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

Ints = npt.NDArray[np.int64]

SPLITS = ("train", "validation", "test")
UNSAID = 255
"""In an array of decisions: nothing is decided here."""

_ROWS = 20_000
"""Examples of one answer."""


@dataclass(frozen=True)
class Approved:
    """Some staged examples in the order of their places: ids as bytes; stratum: the number of the type in order of name; side: number of the split
    (-1: none); whether left out before; scores (NaN: unknown).
    """

    ids: list[bytes]
    strata: Ints
    sides: Ints
    left_out: npt.NDArray[np.bool_]
    quality: npt.NDArray[np.float64]
    confidence: npt.NDArray[np.float64]


def lock_datasets(connection: Connection, agent: AgentRef) -> None:
    """One dataset refresh of an agent at a time; released with the transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"training_datasets/{agent.organization_id}/{agent.agent_id}"])


def stage_approved(connection: Connection, agent: AgentRef) -> tuple[int, int]:
    """Stages every approved, active example whose near-duplicates are known: (how many, how many others came in since the search)."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS pg_temp.staged_approved")
        cursor.execute(
            """CREATE TEMP TABLE staged_approved (place integer, id text, example_type text, stratum smallint, content_hash bytea, user_id uuid,
            quality_score double precision, confidence_score double precision, split text, decided boolean) ON COMMIT DROP"""
        )
        # One statement for both: an example that the search reaches meanwhile is in one of the two numbers.
        count = cursor.execute(
            """INSERT INTO staged_approved SELECT
                CASE WHEN k.example_id IS NOT NULL THEN row_number() OVER (PARTITION BY k.example_id IS NULL ORDER BY e.created_at, e.id) END, e.id,
                e.example_type, (dense_rank() OVER (PARTITION BY k.example_id IS NULL ORDER BY e.example_type COLLATE "C"))::smallint - 1,
                e.content_hash, e.user_id, e.quality_score, e.confidence_score, p.split, p.example_id IS NOT NULL
            FROM learning_examples e
            LEFT JOIN example_sketches k ON k.organization_id = e.organization_id AND k.example_id = e.id
            LEFT JOIN example_splits p ON p.organization_id = e.organization_id AND p.example_id = e.id
            WHERE e.organization_id = %s AND e.agent_id = %s AND e.review_status = 'approved' AND e.is_active""",
            [agent.organization_id, agent.agent_id],
        ).rowcount
        late = cursor.execute("DELETE FROM staged_approved WHERE place IS NULL").rowcount
        cursor.execute("CREATE INDEX ON staged_approved (place)")
        cursor.execute("CREATE INDEX ON staged_approved (id)")
        cursor.execute("ANALYZE staged_approved")
    return count - late, late


def approved(connection: Connection, count: int) -> Iterator[Approved]:
    """What is staged, a portion at a time."""
    kind = np.dtype([("stratum", ">i2"), ("side", ">i2"), ("left_out", ">i2"), ("quality", ">f8"), ("confidence", ">f8")])
    with connection.cursor(binary=True) as cursor:
        for first in range(1, count + 1, _ROWS):
            row = cursor.execute(
                """SELECT string_agg(convert_to(id, 'UTF8'), '\\x00'::bytea ORDER BY place), string_agg(int2send(stratum)
                    || int2send((CASE split WHEN 'train' THEN 0 WHEN 'validation' THEN 1 WHEN 'test' THEN 2 ELSE -1 END)::smallint)
                    || int2send((decided AND split IS NULL)::integer::smallint)
                    || float8send(coalesce(quality_score, 'NaN')) || float8send(coalesce(confidence_score, 'NaN')), ''::bytea ORDER BY place)
                FROM staged_approved WHERE place >= %s AND place < %s""",
                [first, first + _ROWS],
            ).fetchone()
            assert row is not None
            table = np.frombuffer(row[1], dtype=kind)
            yield Approved(
                bytes(row[0]).split(b"\0"), table["stratum"].astype(np.int64), table["side"].astype(np.int64), table["left_out"] == 1,
                table["quality"].astype(np.float64), table["confidence"].astype(np.float64),
            )  # fmt: skip


def approved_people(connection: Connection, agent: AgentRef) -> tuple[Ints, Ints]:
    """(index of an example, number of a person) of everybody behind two staged examples or more: whoever wrote the input or gave the feedback.

    People are numbered in the order of their ids.
    """
    return _two_columns(
        connection,
        """WITH behind AS (
            SELECT place, user_id AS person FROM staged_approved WHERE user_id IS NOT NULL
            UNION SELECT a.place, s.user_id FROM example_sources s JOIN staged_approved a ON a.id = s.example_id
                WHERE s.organization_id = %(organization)s AND s.user_id IS NOT NULL
            UNION SELECT a.place, s.input_user_id FROM example_sources s JOIN staged_approved a ON a.id = s.example_id
                WHERE s.organization_id = %(organization)s AND s.input_user_id IS NOT NULL
        ), people AS (SELECT person, row_number() OVER (ORDER BY person) - 1 AS number FROM behind GROUP BY 1 HAVING count(*) > 1)
        SELECT place - 1, number FROM behind JOIN people USING (person)""",
        agent,
    )


def approved_links(connection: Connection, agent: AgentRef) -> tuple[Ints, Ints]:
    """Links between two staged examples, by index."""
    return _two_columns(
        connection,
        """SELECT a.place - 1, b.place - 1 FROM duplicate_links l JOIN staged_approved a ON a.id = l.first_id JOIN staged_approved b ON b.id = l.second_id
        WHERE l.organization_id = %(organization)s AND l.agent_id = %(agent)s""",
        agent,
    )


def large_clusters(connection: Connection, agent: AgentRef) -> list[tuple[int, list[tuple[int, str, str]]]]:
    """Clusters whose pairs are not all listed: how many inputs they have, and (index, id, input) of those that are staged."""
    rows = connection.execute(
        """SELECT count(*), array_agg(a.place - 1 ORDER BY s.number) FILTER (WHERE a.place IS NOT NULL),
            array_agg(a.id ORDER BY s.number) FILTER (WHERE a.place IS NOT NULL),
            array_agg(e.input_text ORDER BY s.number) FILTER (WHERE a.place IS NOT NULL)
        FROM example_sketches s JOIN learning_examples e ON e.organization_id = s.organization_id AND e.id = s.example_id
        LEFT JOIN staged_approved a ON a.id = s.example_id
        WHERE s.organization_id = %(organization)s AND s.agent_id = %(agent)s AND s.cluster = ANY(ARRAY(
            SELECT DISTINCT cluster FROM example_sketches WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND NOT is_listed))
        GROUP BY s.cluster ORDER BY s.cluster""",
        {"organization": agent.organization_id, "agent": agent.agent_id},
    ).fetchall()
    return [(int(count), list(zip(places or [], names or [], texts or [], strict=True))) for count, places, names, texts in rows]


def store_splits(connection: Connection, agent: AgentRef, decided: bytes, reasons: tuple[str, ...]) -> None:
    """Writes what was decided: for each staged example a byte, 0 to 2 a split, 3 and more left out for that reason, or UNSAID.

    A stored split never changes to another one: it can only be given up. The staged examples have their split from now on.
    """
    values = {
        "organization": agent.organization_id, "agent": agent.agent_id, "decided": decided, "unsaid": UNSAID,
        "splits": [*SPLITS, *(None for _ in reasons)], "reasons": [*("" for _ in SPLITS), *reasons],
    }  # fmt: skip
    said = """(SELECT id, (%(splits)s::text[])[1 + code] AS split, (%(reasons)s::text[])[1 + code] AS reason
        FROM (SELECT id, get_byte(%(decided)s::bytea, place - 1) AS code FROM staged_approved) AS coded WHERE code <> %(unsaid)s) AS said"""
    if decided.count(UNSAID) == len(decided):
        return
    connection.execute(
        f"""INSERT INTO example_splits AS p (organization_id, agent_id, example_id, split, reason)
        SELECT %(organization)s, %(agent)s, id, split, reason FROM {said}
        ON CONFLICT (organization_id, example_id) DO UPDATE SET split = NULL, reason = excluded.reason WHERE excluded.split IS NULL""",
        values,
    )
    connection.execute(f"UPDATE staged_approved a SET split = said.split, decided = true FROM {said} WHERE a.id = said.id", values)


def left_out(connection: Connection, agent: AgentRef) -> dict[str, int]:
    """Approved examples without a split, by reason."""
    rows = connection.execute(
        """SELECT p.reason, count(*) FROM example_splits p
        JOIN learning_examples e ON e.organization_id = p.organization_id AND e.id = p.example_id
        WHERE p.organization_id = %s AND p.agent_id = %s AND p.split IS NULL AND e.review_status = 'approved' AND e.is_active
        GROUP BY 1 ORDER BY 1""",
        [agent.organization_id, agent.agent_id],
    ).fetchall()
    return {str(reason): int(count) for reason, count in rows}


def _two_columns(connection: Connection, query: str, agent: AgentRef) -> tuple[Ints, Ints]:
    """A query of two columns of integers as arrays: one long value, since a million Python objects cost more than what is done with them."""
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute(
            f"SELECT string_agg(int4send(one::integer) || int4send(two::integer), ''::bytea) FROM ({query}) AS found (one, two)",
            {"organization": agent.organization_id, "agent": agent.agent_id},
        ).fetchone()
    table = np.frombuffer(row[0] if row is not None and row[0] is not None else b"", dtype=">i4").astype(np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
