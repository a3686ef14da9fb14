"""Proofs over judged questions and training pairs, and numbers about them.

Belongs here: SQL that counts what is wrong, and what metadata shows. Not here: writing any of it (retrieval_queries.py, training_pairs.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.retrieval_queries import mine
from learning_pipelines.storage.tenants import AgentRef

_MINE = "organization_id = %(organization)s AND agent_id = %(agent)s"


@dataclass(frozen=True, slots=True)
class Faults:
    """straddling: people, helpful documents and groups of nearly the same questions with questions in two splits. untaught: pairs of questions that
    are not in train. held_out: pairs whose text is that of a question of validation or test. false_negatives: negatives of a document that helped
    with the same question or nearly the same one. raw_emails: pairs whose question holds an e-mail address."""

    straddling: int
    untaught: int
    held_out: int
    false_negatives: int
    raw_emails: int


def faults(connection: Connection, agent: AgentRef, email: str) -> Faults:
    """Counts over everything stored of an agent. `email`: what an e-mail address looks like, as a regular expression."""
    with connection.transaction():
        connection.execute("SET LOCAL enable_nestloop = off")  # see lock_pairs
        row = connection.execute(_FAULTS, mine(agent) | {"email": email}).fetchone()
    assert row is not None
    return Faults(*map(int, row))


_FAULTS = f"""
WITH questions AS MATERIALIZED (SELECT id, text, split, near, people, documents FROM retrieval_queries WHERE {_MINE}),
pairs AS MATERIALIZED (SELECT query_id, query, document_id, label FROM embedding_training_pairs WHERE {_MINE} AND query_id IS NOT NULL),
helped AS MATERIALIZED (
    SELECT q.near, q.split, gain.key AS document_id FROM questions q, jsonb_each_text(q.documents) AS gain WHERE gain.value::float8 > 0),
hubs AS (
    SELECT 'person/' || person AS hub, split FROM questions, unnest(people) AS person WHERE split IS NOT NULL
    UNION SELECT 'document/' || document_id, split FROM helped WHERE split IS NOT NULL
    UNION SELECT 'near/' || near, split FROM questions WHERE split IS NOT NULL AND near IS NOT NULL
)
SELECT (SELECT count(*) FROM (SELECT FROM hubs GROUP BY hub HAVING count(*) > 1) AS two),
    (SELECT count(*) FROM pairs p WHERE NOT EXISTS (SELECT FROM questions q WHERE q.id = p.query_id AND q.split = 'train')),
    (SELECT count(*) FROM pairs p WHERE learning.question_id(p.query) IN (
        SELECT learning.question_id(text) FROM questions WHERE split IN ('validation', 'test'))),
    (SELECT count(*) FROM pairs p JOIN questions q ON q.id = p.query_id WHERE p.label <> 'positive' AND EXISTS (
        SELECT FROM helped h WHERE h.near = q.near AND h.document_id = p.document_id)),
    (SELECT count(*) FROM pairs WHERE query ~ %(email)s)"""


def numbers(connection: Connection, agent: AgentRef) -> dict[str, Any]:
    """Questions of an agent: how many, by split, left out by reason, passages named that are gone, contradictions, judged answers behind them."""
    row = connection.execute(
        f"""SELECT count(*), count(*) FILTER (WHERE split = 'train'), count(*) FILTER (WHERE split = 'validation'), count(*) FILTER (WHERE split = 'test'),
            count(DISTINCT cluster) FILTER (WHERE cluster <> ''), count(*) FILTER (WHERE jsonb_path_exists(documents, '$.* ? (@ > 0)')),
            coalesce(sum((SELECT count(*) FROM jsonb_object_keys(unknown))), 0), coalesce(sum(contradictions), 0), coalesce(sum(answers), 0),
            coalesce(sum(events), 0) FROM retrieval_queries WHERE {_MINE}""",
        mine(agent),
    ).fetchone()
    assert row is not None
    names = (
        "questions", "train", "validation", "test", "clusters", "questions_answered", "passages_gone", "contradictions", "judged_answers", "events",
    )  # fmt: skip
    reasons = connection.execute(f"SELECT left_out, count(*) FROM retrieval_queries WHERE {_MINE} AND left_out <> '' GROUP BY 1", mine(agent)).fetchall()
    return dict(zip(names, map(int, row), strict=True)) | {f"left_out: {reason}": int(count) for reason, count in reasons}
