"""Corrections as judged and clustered: what is new, findings, clusters, who said the same when.

Belongs here: SQL of correction_findings and correction_clusters. Not here: the judgement and the clustering (behavior/corrections/), rules' texts,
what became of a cluster after it was learnt (learnt_corrections.py).

A correction counts while its example is an active correction that no review turned down, approved or not. A voice is a person (all of whom nobody
knows the name of are one); whoever says the same ten times is one voice, and once a week one occurrence.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from learning_pipelines.storage.correction_rows import ClusterRow, Finding, Member, NewCorrection, StoredCluster
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.rater_weights import weight_of
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.vectors import register_vectors, to_array

_COUNTS = """e.example_type = 'correction' AND e.is_active AND e.review_status NOT IN ('rejected', 'needs_revision')
    AND e.original_output IS NOT NULL AND e.expected_output IS NOT NULL"""
MEMBERS = f"""SELECT f.organization_id, f.cluster_id, f.example_id, f.significance, f.kinds, f.wrong_text, f.right_text, e.review_status, e.created_at,
        e.user_id, e.input_text, e.original_output, e.expected_output
    FROM correction_findings f JOIN learning_examples e ON e.organization_id = f.organization_id AND e.id = f.example_id
    WHERE f.organization_id = %(organization)s AND f.agent_id = %(agent)s AND e.content_hash = f.content_hash AND {_COUNTS}"""
# Who gave a correction and when it happened: the feedback that an example came of; without any, whoever the example names.
SAID = """SELECT m.cluster_id, m.example_id, s.user_id, coalesce(b.created_at, s.created_at) AS at
    FROM members m JOIN example_sources s ON s.organization_id = m.organization_id AND s.example_id = m.example_id
    LEFT JOIN agent_feedback b ON b.organization_id = s.organization_id AND b.execution_id = s.execution_id AND b.id = s.feedback_id
    UNION ALL
    SELECT m.cluster_id, m.example_id, m.user_id, m.created_at FROM members m
    WHERE NOT EXISTS (SELECT FROM example_sources s WHERE s.organization_id = m.organization_id AND s.example_id = m.example_id)"""
# Experts who corrected the answer in review, or approved the correction, speak for it too; that is no occurrence.
_BACKED = """SELECT m.cluster_id, m.example_id, n.expert_id AS user_id FROM members m
    JOIN expert_annotations n ON n.organization_id = m.organization_id AND n.example_id = m.example_id
    WHERE n.withdrawn_at IS NULL AND (n.corrected_output IS NOT NULL OR n.approved)"""
VOICE = "coalesce(user_id::text, 'unknown')"


def lock(connection: Connection, agent: AgentRef) -> None:
    """One refresh of an agent's corrections at a time; released with the transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"corrections/{agent.organization_id}/{agent.agent_id}"])


def forget_changed(connection: Connection, agent: AgentRef) -> list[str]:
    """Forgets findings of examples that were edited or scrubbed again since; the clusters they were in."""
    rows = connection.execute(
        """DELETE FROM correction_findings f USING learning_examples e
        WHERE f.organization_id = %s AND f.agent_id = %s AND e.organization_id = f.organization_id AND e.id = f.example_id
            AND (e.content_hash <> f.content_hash OR e.example_type <> 'correction') RETURNING f.cluster_id""",
        [agent.organization_id, agent.agent_id],
    ).fetchall()
    return sorted({str(cluster) for (cluster,) in rows})


def unjudged(connection: Connection, agent: AgentRef, limit: int) -> list[NewCorrection]:
    """Corrections without a finding, oldest first."""
    rows = connection.execute(
        f"""SELECT e.id, e.content_hash, e.input_text, e.original_output, e.expected_output FROM learning_examples e
        WHERE e.organization_id = %s AND e.agent_id = %s AND {_COUNTS}
            AND NOT EXISTS (SELECT FROM correction_findings f WHERE f.organization_id = e.organization_id AND f.example_id = e.id)
        ORDER BY e.created_at, e.id COLLATE "C" LIMIT %s""",
        [agent.organization_id, agent.agent_id, limit],
    ).fetchall()
    return [NewCorrection(str(name), bytes(content), *texts) for name, content, *texts in rows]


def clusters(connection: Connection, agent: AgentRef, most: int) -> list[StoredCluster]:
    """The clusters of labels, and the `most` clusters with vectors that were joined last; the one joined last at the end."""
    register_vectors(connection)
    rows = connection.execute(
        """SELECT id, is_confusion, wrong_text, right_text, total, anchors FROM (
            (SELECT * FROM correction_clusters WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND total IS NOT NULL
                ORDER BY joined DESC LIMIT %(most)s)
            UNION ALL SELECT * FROM correction_clusters WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND total IS NULL) c
        ORDER BY joined, id""",
        values(agent) | {"most": most},
    ).fetchall()
    return [
        StoredCluster(str(name), (wrong, right) if confusion else None, None if total is None else to_array(total), tuple(anchors))
        for name, confusion, wrong, right, total, anchors in rows
    ]


def confusions(connection: Connection, agent: AgentRef) -> dict[str, tuple[str, str]]:
    """The clusters that are pairs of labels: id → (wrong, right)."""
    rows = connection.execute(
        "SELECT id, wrong_text, right_text FROM correction_clusters WHERE organization_id = %s AND agent_id = %s AND is_confusion", mine(agent)
    ).fetchall()
    return {str(name): (wrong, right) for name, wrong, right in rows}


def encoder_used(connection: Connection, agent: AgentRef) -> str | None:
    """Whose vectors the clusters hold that were joined last; None if none holds any."""
    row = connection.execute(
        "SELECT encoder FROM correction_clusters WHERE organization_id = %s AND agent_id = %s AND total IS NOT NULL ORDER BY joined DESC LIMIT 1",
        [agent.organization_id, agent.agent_id],
    ).fetchone()
    return None if row is None else str(row[0])


def store(connection: Connection, agent: AgentRef, encoder: str, touched: Sequence[StoredCluster], findings: Sequence[Finding]) -> None:
    """Stores clusters in the order in which they were joined, and findings. Part of the caller's transaction."""
    register_vectors(connection)
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(joined), 0) FROM correction_clusters WHERE organization_id = %s AND agent_id = %s", mine(agent))
        row = cursor.fetchone()
        assert row is not None
        cursor.executemany(
            """INSERT INTO correction_clusters (organization_id, agent_id, id, is_confusion, wrong_text, right_text, encoder, total, anchors, joined)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (organization_id, agent_id, id) DO UPDATE
            SET total = excluded.total, encoder = excluded.encoder, anchors = excluded.anchors, joined = excluded.joined""",
            [
                [
                    *mine(agent), one.id, one.confusion is not None, *(one.confusion or ("", "")), encoder if one.total is not None else "", one.total,
                    sorted(one.anchors), row[0] + number,
                ]
                for number, one in enumerate(touched, 1)
            ],
        )  # fmt: skip
        cursor.executemany(
            """INSERT INTO correction_findings (organization_id, agent_id, example_id, content_hash, significance, kinds, wrong_text, right_text, cluster_id)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
            [
                [*mine(agent), one.example_id, one.content_hash, one.significance, list(one.kinds), one.wrong, one.right, one.cluster_id]
                for one in findings
            ],
        )


def texts(connection: Connection, agent: AgentRef, cluster_ids: Sequence[str], most: int) -> list[tuple[str, str, str, str]]:
    """(cluster, input, wrong, right) of up to `most` of the newest corrections of each cluster."""
    rows = connection.execute(
        f"""WITH members AS ({MEMBERS} AND f.cluster_id = ANY(%(clusters)s)),
        ranked AS (SELECT *, row_number() OVER (PARTITION BY cluster_id ORDER BY created_at DESC, example_id) AS place FROM members)
        SELECT cluster_id, input_text, wrong_text, right_text FROM ranked WHERE place <= %(most)s ORDER BY cluster_id, place""",
        values(agent) | {"clusters": list(cluster_ids), "most": most},
    ).fetchall()
    return [(str(cluster), asked, wrong, right) for cluster, asked, wrong, right in rows]


def answers(connection: Connection, agent: AgentRef, cluster_ids: Sequence[str], most: int) -> list[tuple[str, str, str]]:
    """(cluster, input, right answer) of up to `most` of the newest corrections of each cluster."""
    rows = connection.execute(
        f"""WITH members AS ({MEMBERS} AND f.cluster_id = ANY(%(clusters)s)),
        ranked AS (SELECT *, row_number() OVER (PARTITION BY cluster_id ORDER BY created_at DESC, example_id) AS place FROM members)
        SELECT cluster_id, input_text, expected_output FROM ranked WHERE place <= %(most)s ORDER BY cluster_id, place""",
        values(agent) | {"clusters": list(cluster_ids), "most": most},
    ).fetchall()
    return [(str(cluster), asked, right) for cluster, asked, right in rows]


def newest_inputs(connection: Connection, agent: AgentRef, most: int) -> list[str]:
    """Inputs of the newest corrections: against them a cluster's words stand out."""
    rows = connection.execute(
        f"WITH members AS ({MEMBERS}) SELECT input_text FROM members ORDER BY created_at DESC LIMIT %(most)s", values(agent) | {"most": most}
    ).fetchall()
    return [str(text) for (text,) in rows]


def rename(connection: Connection, agent: AgentRef, names: dict[str, tuple[str, str, str]]) -> None:
    """Gives clusters (id → name, wrong, right). Those of labels keep their labels."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """UPDATE correction_clusters SET name = %s, wrong_text = CASE WHEN is_confusion THEN wrong_text ELSE %s END,
                right_text = CASE WHEN is_confusion THEN right_text ELSE %s END
            WHERE organization_id = %s AND agent_id = %s AND id = %s""",
            [[*named, *mine(agent), cluster] for cluster, named in names.items()],
        )


def set_totals(connection: Connection, agent: AgentRef, encoder: str, totals: dict[str, npt.NDArray[np.float32]]) -> None:
    """Vectors of clusters by another encoder."""
    register_vectors(connection)
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE correction_clusters SET total = %s, encoder = %s WHERE organization_id = %s AND agent_id = %s AND id = %s",
            [[total, encoder, *mine(agent), cluster] for cluster, total in totals.items()],
        )


def drop_empty(connection: Connection, agent: AgentRef) -> int:
    """Drops clusters without any finding that were never learnt; how many."""
    return connection.execute(
        """DELETE FROM correction_clusters c WHERE c.organization_id = %s AND c.agent_id = %s AND c.learnt_at IS NULL AND NOT EXISTS (
            SELECT FROM correction_findings f WHERE f.organization_id = c.organization_id AND f.agent_id = c.agent_id AND f.cluster_id = c.id)""",
        mine(agent),
    ).rowcount


def listed(connection: Connection, agent: AgentRef, *, timezone: str = "UTC", cluster: str | None = None) -> list[ClusterRow]:
    """The agent's clusters with corrections that count, largest first (people, then corrections). Weeks begin on Mondays of `timezone`."""
    weight = weight_of("v")
    rows = hashed(
        connection,
        f"""WITH members AS ({MEMBERS} AND (%(cluster)s::text IS NULL OR f.cluster_id = %(cluster)s)),
        said AS MATERIALIZED ({SAID}),
        voices AS (
            SELECT DISTINCT %(organization)s::uuid AS organization_id, cluster_id, user_id
            FROM (SELECT cluster_id, user_id FROM said UNION ALL SELECT cluster_id, user_id FROM ({_BACKED}) b) a),
        people AS (SELECT v.cluster_id, count(*) AS people, sum({weight.weight}) AS weight FROM voices v {weight.join} GROUP BY 1),
        weekly AS (
            SELECT cluster_id, week, count(DISTINCT {VOICE}) AS count
            FROM (SELECT cluster_id, user_id, date_trunc('week', at AT TIME ZONE %(timezone)s)::date AS week FROM said) w GROUP BY 1, 2),
        weeks AS (SELECT cluster_id, array_agg(week ORDER BY week) AS weeks, array_agg(count ORDER BY week) AS counts FROM weekly GROUP BY 1),
        times AS (SELECT cluster_id, min(at) AS first_at, max(at) AS last_at FROM said GROUP BY 1),
        kinds AS (SELECT cluster_id, jsonb_object_agg(kind, count) AS kinds
            FROM (SELECT cluster_id, unnest(kinds) AS kind, count(*) AS count FROM members GROUP BY 1, 2) k GROUP BY 1),
        sizes AS (SELECT cluster_id, count(*) AS corrections, count(*) FILTER (WHERE review_status = 'approved') AS approved,
            avg(significance) AS significance FROM members GROUP BY 1)
        SELECT c.id, c.name, c.is_confusion, c.wrong_text, c.right_text, c.state, s.corrections, s.approved, p.people, p.weight, s.significance,
            coalesce(k.kinds, '{{}}'), t.first_at, t.last_at, w.weeks, w.counts, c.learnt_at, c.learnt_by, c.recurrences, c.last_look
        FROM correction_clusters c JOIN sizes s ON s.cluster_id = c.id JOIN people p ON p.cluster_id = c.id JOIN times t ON t.cluster_id = c.id
        JOIN weeks w ON w.cluster_id = c.id LEFT JOIN kinds k ON k.cluster_id = c.id
        WHERE c.organization_id = %(organization)s AND c.agent_id = %(agent)s
        ORDER BY p.people DESC, s.corrections DESC, c.id""",
        values(agent) | {"cluster": cluster, "timezone": timezone},
    )
    return [_row(*row) for row in rows]


def members(connection: Connection, agent: AgentRef, cluster: str | None, most: int | None = None) -> list[Member]:
    """The corrections of a cluster (None: of all) that count, oldest first; of more than `most` the newest."""
    rows = hashed(
        connection,
        f"""WITH members AS ({MEMBERS} AND (%(cluster)s::text IS NULL OR f.cluster_id = %(cluster)s)
            ORDER BY e.created_at DESC, f.example_id COLLATE "C" LIMIT %(most)s),
        voices AS (SELECT example_id, array_agg(DISTINCT {VOICE} ORDER BY {VOICE}) AS voices
            FROM (SELECT example_id, user_id FROM ({SAID}) s UNION ALL SELECT example_id, user_id FROM ({_BACKED}) b) a GROUP BY 1)
        SELECT m.cluster_id, m.example_id, m.input_text, m.original_output, m.expected_output, m.wrong_text, m.right_text, m.review_status = 'approved',
            v.voices, p.split
        FROM members m JOIN voices v USING (example_id)
        LEFT JOIN example_splits p ON p.organization_id = m.organization_id AND p.example_id = m.example_id
        ORDER BY m.created_at, m.example_id COLLATE "C" """,
        values(agent) | {"cluster": cluster, "most": most},
    )
    return [Member(*row) for row in rows]


def others(connection: Connection, agent: AgentRef, cluster: str, wrong: str, most: int) -> list[tuple[str, str, str]]:
    """(id, input, right answer) of approved examples that are no corrections of the cluster: first those that its wrong answer is right for, the others in
    a fixed order that says nothing."""
    rows = connection.execute(
        """SELECT e.id, e.input_text, e.expected_output FROM learning_examples e
        WHERE e.organization_id = %(organization)s AND e.agent_id = %(agent)s AND e.is_active AND e.review_status = 'approved'
            AND e.example_type IN ('positive', 'correction', 'demonstration', 'edge_case') AND coalesce(e.expected_output, '') <> ''
            AND NOT EXISTS (SELECT FROM correction_findings f WHERE f.organization_id = e.organization_id AND f.example_id = e.id
                AND f.cluster_id = %(cluster)s)
        ORDER BY e.expected_output = %(wrong)s DESC, sha256(convert_to(e.id, 'UTF8')) LIMIT %(most)s""",
        values(agent) | {"cluster": cluster, "wrong": wrong, "most": most},
    ).fetchall()
    return [(str(name), asked, right) for name, asked, right in rows]


def hashed(connection: Connection, query: str, given: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a query whose parts have no statistics: the planner takes each for a few rows, and loops over all pairs of them."""
    with connection.transaction():
        connection.execute("SET LOCAL enable_nestloop = off")
        rows = connection.execute(query, given).fetchall()
        connection.execute("SET LOCAL enable_nestloop = on")
    return rows


def _row(
    name: str, called: str, is_confusion: bool, wrong: str, right: str, state: str, corrections: int, approved: int, people: int, weight: float,
    significance: float, kinds: dict[str, int], first_at: dt.datetime, last_at: dt.datetime, weeks: list[dt.date], counts: list[int], *rest: Any,
) -> ClusterRow:  # fmt: skip
    return ClusterRow(
        name, called, is_confusion, wrong, right, state, corrections, approved, people, float(weight), float(significance), kinds, first_at, last_at,
        list(zip(weeks, counts, strict=True)), *rest,
    )  # fmt: skip


def mine(agent: AgentRef) -> list[Any]:
    return [agent.organization_id, agent.agent_id]


def values(agent: AgentRef) -> dict[str, Any]:
    return {"organization": agent.organization_id, "agent": agent.agent_id}
