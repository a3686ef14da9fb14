"""Examples that prompts and guidance pick for each input: their vectors, and the ones nearest to a vector.

Belongs here: SQL of demonstration_vectors. Not here: fixed demonstrations (they are messages of a version), the Nearest of a prompt (prompts/serving.py).

A version of an agent's dataset is pinned by the prompts that pick from it; only its train split is ever picked from. Vectors are kept once per
text, so that a new version costs its new texts. Few vectors are compared one by one, here or by whoever reads them all (prompts/nearest.py); many are
searched by HNSW, whose scan goes on until enough rows of this organization, agent and version are found (pgvector's iterative scan): without that, a
tenant with 5 % of the rows gets a fraction of its k.
Guidance asks for examples of one type; few of a type are compared exactly, however many others there are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from learning_pipelines.encoder_protocol import Encoder
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.prompt_runs import TEACHES
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.vectors import received_halves, register_vectors, set_for_search, to_half

EXACT_UP_TO = 3_000
"""Vectors of an agent up to which all are compared here (3.5 ms of a core); with more the index is faster."""
INDEXED_DIMENSIONS = (384, 512, 768, 1024)
SETTINGS = {
    "hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": "64", "hnsw.max_scan_tuples": "40000", "enable_sort": "off", "enable_seqscan": "off",
}  # fmt: skip
TYPES = ("correction", "demonstration")
"""Types of example that can be asked for; each has an index of its own."""
_PORTION = 2_000
_SPARE = 4
"""The index gives so many more than k in about their order, of which the nearest are taken."""
_MEMBER = """(SELECT d.split = 'train' FROM dataset_examples d WHERE d.organization_id = v.organization_id AND d.dataset_id = %(dataset)s
    AND d.example_id = v.example_id AND d.content_hash = v.content_hash)"""
TURN_MARKS = (
    r"<\|[\w ]{1,40}\|>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|<\|?(?:im_start|im_end|eot_id|begin_of_text)\|?>|\[/?(?:SYSTEM|AVAILABLE)_\w+\]"
)
"""What models take for the beginning of another turn: a pattern for Python and PostgreSQL alike, whatever the case."""
_USABLE = f"""coalesce(d.content ->> 'expected_output', '') <> '' AND {TEACHES.format("d.content")} AND NOT EXISTS (
    SELECT FROM (VALUES (d.content ->> 'input_text'), (d.content ->> 'expected_output')) AS said (text)
    WHERE btrim(text, E' \\t\\r\\n') = '' OR position('{{{{' IN text) > 0 OR position('{{%%' IN text) > 0 OR text ~* '{TURN_MARKS}')"""
"""As hygiene lets examples be shown: what has no vector is never picked, neither while a prompt is scored nor while it serves."""
_IN_LABELS = """(SELECT c.content ->> 'expected_output' = ANY(%(labels)s) FROM example_contents c
    WHERE c.organization_id = v.organization_id AND c.content_hash = v.content_hash)"""
_STANDS = """(SELECT e.review_status = 'approved' AND e.is_active AND (e.example_type <> 'demonstration' OR NOT EXISTS (SELECT FROM users u
            WHERE u.organization_id = e.organization_id AND u.id = e.user_id AND u.expertise_withdrawn_at IS NOT NULL)
        AND NOT EXISTS (SELECT FROM demonstrations d WHERE d.organization_id = e.organization_id AND d.id = e.source_id AND NOT d.is_active))
    FROM learning_examples e WHERE e.organization_id = v.organization_id AND e.id = v.example_id)"""
"""Still approved; of a demonstration: no newer one replaces it, and nobody withdrew its expert's right since the version was made."""
_WITH_TEXTS = """FROM demonstration_vectors v
    JOIN dataset_examples d ON d.organization_id = v.organization_id AND d.dataset_id = %(dataset)s AND d.example_id = v.example_id
        AND d.content_hash = v.content_hash AND d.split = 'train'
    JOIN example_contents c ON c.organization_id = v.organization_id AND c.content_hash = v.content_hash
    WHERE v.organization_id = %(organization)s AND v.agent_id = %(agent)s AND v.encoder = %(encoder)s"""
_TEXTS = """SELECT found.example_id, c.content ->> 'input_text', c.content ->> 'expected_output', -(found.distance + 0), c.content #> '{input_context,actions}'
    FROM found
    JOIN example_contents c ON c.organization_id = %(organization)s AND c.content_hash = found.content_hash
    ORDER BY found.distance + 0, found.example_id COLLATE "C" LIMIT %(k)s"""
"""`+ 0`: the planner would take the index's order, which is relaxed, for sorted."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An example as it is shown: what it was asked, what was approved as the answer. `similarity`: inner product with what was asked for, -1 … 1;
    `actions`: the steps of a demonstration."""

    example_id: str
    input: str
    output: str
    similarity: float = 0.0
    actions: Any = None


def index_demonstrations(connection: Connection, agent: AgentRef, dataset_id: UUID, encoder: Encoder) -> int:
    """Vectors for every example of the version's train split that may be shown and has none; how many were new. Repeating it costs one question.

    Vectors that the search for duplicates made of the same text are taken over. The connection is in autocommit: what a portion
    encoded stays if the next one fails.
    """
    values: dict[str, Any] = {"organization": agent.organization_id, "agent": agent.agent_id, "dataset": dataset_id, "encoder": encoder.name}
    with connection.transaction():
        # A version that was written a moment ago has no statistics yet: the planner takes it for a few rows, and loops over all pairs of them.
        connection.execute("SET LOCAL enable_nestloop = off")
        made = _taken_over(connection, values)
        query = _wanting("d.example_id, d.content_hash") + ' ORDER BY d.example_id COLLATE "C"'
        wanted = [(str(name), bytes(content)) for name, content in connection.execute(query, values).fetchall()]
    for at in range(0, len(wanted), _PORTION):
        texts = _asked(connection, agent, [content for _, content in wanted[at : at + _PORTION]])
        portion = [one for one in wanted[at : at + _PORTION] if one[1] in texts]  # what was erased meanwhile is gone
        vectors = encoder.encode([texts[content] for _, content in portion])
        made += _store(connection, values, [(*one, vector) for one, vector in zip(portion, vectors, strict=True)])
    return made


def _taken_over(connection: Connection, values: dict[str, Any]) -> int:
    """Vectors of the search for duplicates, where they are of the very text; how many."""
    return connection.execute(
        f"""INSERT INTO demonstration_vectors (organization_id, encoder, example_id, content_hash, agent_id, embedding, example_type)
        SELECT w.organization_id, %(encoder)s, w.example_id, w.content_hash, %(agent)s, e.embedding, w.example_type
        FROM ({_wanting(f"d.organization_id, d.example_id, d.content_hash, d.content ->> 'input_text' AS asked, {_TYPE} AS example_type")}) w
        JOIN example_embeddings e ON e.organization_id = w.organization_id AND e.encoder = %(encoder)s AND e.example_id = w.example_id
        JOIN example_sketches s ON s.organization_id = w.organization_id AND s.example_id = w.example_id AND s.encoder = %(encoder)s
            AND s.input_hash = sha256(convert_to(w.asked, 'UTF8'))
        ON CONFLICT DO NOTHING""",
        values,
    ).rowcount


_TYPE = "coalesce(d.content ->> 'example_type', '')"


def _asked(connection: Connection, agent: AgentRef, contents: list[bytes]) -> dict[bytes, str]:
    rows = connection.execute(
        "SELECT content_hash, content ->> 'input_text' FROM example_contents WHERE organization_id = %s AND content_hash = ANY(%s)",
        [agent.organization_id, contents],
    ).fetchall()
    return {bytes(content): str(text) for content, text in rows}


def unindexed(connection: Connection, agent: AgentRef, dataset_id: UUID, encoder: str) -> int:
    """How many examples of the version's train split that may be shown have no vector of this encoder."""
    values = {"organization": agent.organization_id, "dataset": dataset_id, "encoder": encoder}
    row = connection.execute(_wanting("count(*)"), values).fetchone()
    assert row is not None
    return int(row[0])


def servable(connection: Connection, agent: AgentRef, dataset_id: UUID) -> bool:
    """Whether there is an encoder of which every example of the version's train split has a vector."""
    rows = connection.execute(
        "SELECT DISTINCT encoder FROM demonstration_vectors WHERE organization_id = %s AND agent_id = %s", [agent.organization_id, agent.agent_id]
    ).fetchall()
    return any(unindexed(connection, agent, dataset_id, str(encoder)) == 0 for (encoder,) in rows)


def few(connection: Connection, agent: AgentRef, encoder: str, example_type: str | None = None) -> bool:
    """Whether the agent's vectors (of one type of example) are few enough to be compared one by one."""
    row = connection.execute(
        f"""SELECT count(*) FROM (SELECT FROM demonstration_vectors WHERE organization_id = %s AND agent_id = %s AND encoder = %s
        {"" if example_type is None else "AND example_type = %s"} LIMIT {EXACT_UP_TO + 1}) AS them""",
        [agent.organization_id, agent.agent_id, encoder, *([] if example_type is None else [example_type])],
    ).fetchone()
    return row is not None and int(row[0]) <= EXACT_UP_TO


def emptied_at(connection: Connection, agent: AgentRef, dataset_id: UUID) -> dt.datetime | None:
    """When a person was last taken out of the version. Nothing else ever changes which examples it has."""
    row = connection.execute("SELECT erased_at FROM training_datasets WHERE organization_id = %s AND id = %s", [agent.organization_id, dataset_id]).fetchone()
    return None if row is None else row[0]


def size(connection: Connection, agent: AgentRef, dataset_id: UUID, encoder: str) -> int:
    """About how many bytes `all_shown` would hand over."""
    values = {"organization": agent.organization_id, "agent": agent.agent_id, "dataset": dataset_id, "encoder": encoder}
    said = "octet_length(c.content ->> 'input_text') + octet_length(c.content ->> 'expected_output')"
    row = connection.execute(f"SELECT coalesce(sum(4 * vector_dims(v.embedding) + {said}), 0) {_WITH_TEXTS}", values).fetchone()
    assert row is not None
    return int(row[0])


def all_shown(
    connection: Connection, agent: AgentRef, dataset_id: UUID, encoder: str, dimensions: int, labels: Collection[str] = ()
) -> tuple[list[Shown], npt.NDArray[np.float32]]:
    """Every example that `nearest` may find for a prompt, in the order of the ids, and their vectors as they are stored (a row each)."""
    values = {
        "organization": agent.organization_id, "agent": agent.agent_id, "dataset": dataset_id, "encoder": encoder, "labels": list(labels),
        "dimensions": dimensions,
    }  # fmt: skip
    in_labels = "AND c.content ->> 'expected_output' = ANY(%(labels)s)" if labels else ""
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(
            f"""SELECT v.example_id, c.content ->> 'input_text', c.content ->> 'expected_output', halfvec_send(v.embedding) {_WITH_TEXTS}
            AND vector_dims(v.embedding) = %(dimensions)s {in_labels} ORDER BY v.example_id COLLATE "C\"""",
            values,
        ).fetchall()
    shown = [Shown(str(name), str(asked), str(answer)) for name, asked, answer, _ in rows]
    return shown, received_halves([raw for *_, raw in rows], dimensions)


def nearest(
    connection: Connection, agent: AgentRef, dataset_id: UUID, encoder: str, vector: npt.NDArray[np.float32], k: int, *,
    exact: bool, without: Collection[str] = (), labels: Collection[str] = (), example_type: str | None = None,
) -> list[Shown]:  # fmt: skip
    """The k examples of the version's train split whose inputs are nearest to `vector` (length 1) by inner product, nearest first; ties by id.

    `exact`: compare with every vector of the agent (see `few`), else by the index where there is one for this length. `without`: ids left out;
    `labels`: only examples with one of these answers (none: all). `example_type`: only examples of this type that still stand (they are approved, their
    expert's right was not withdrawn). Fewer than k only where the version has fewer.
    """
    if k < 1:
        return []
    values: dict[str, Any] = {
        "organization": agent.organization_id, "agent": agent.agent_id, "dataset": dataset_id, "encoder": encoder, "k": k, "spare": k + _SPARE,
        "vector": _literal(vector), "without": list(without), "labels": list(labels), "type": example_type,
    }  # fmt: skip
    length = len(vector)
    if not exact and length in INDEXED_DIMENSIONS:
        with connection.transaction():
            set_for_search(connection, SETTINGS)
            found = _shown(connection, _by_index(length, values), values)
            set_for_search(connection, dict.fromkeys(SETTINGS))  # the transaction may be the caller's
        if len(found) == k:
            return found
    return _shown(connection, _exactly(length, values), values)


def _by_index(length: int, values: dict[str, Any]) -> str:
    """The filters are subplans and no joins: they are asked of one candidate after the other, and the scan goes on until enough have passed."""
    return f"""WITH found AS MATERIALIZED (
        SELECT v.example_id, v.content_hash, v.embedding::halfvec({length}) <#> %(vector)s::halfvec({length}) AS distance
        FROM demonstration_vectors v WHERE {_mine(length, values)} AND {_MEMBER}{_narrowed(values)}
        ORDER BY v.embedding::halfvec({length}) <#> %(vector)s::halfvec({length}) LIMIT %(spare)s)
        {_TEXTS}"""


def _exactly(length: int, values: dict[str, Any]) -> str:
    """All distances in order; the filters are asked of as many as it takes. `+ 0`: no index can give this order."""
    return f"""WITH found AS MATERIALIZED (
        SELECT v.example_id, v.content_hash, v.distance FROM (
            SELECT v.organization_id, v.example_id, v.content_hash, (v.embedding::halfvec({length}) <#> %(vector)s::halfvec({length})) + 0 AS distance
            FROM demonstration_vectors v WHERE {_mine(length, values)}
            ORDER BY distance, v.example_id COLLATE "C" OFFSET 0) AS v
        WHERE {_MEMBER}{_narrowed(values)} LIMIT %(k)s)
        {_TEXTS}"""


def _mine(length: int, values: dict[str, Any]) -> str:
    """`length` and the type are no parameters: the indexes are partial."""
    left_out = " AND v.example_id <> ALL(%(without)s)" if values["without"] else ""
    assert values["type"] in (None, *TYPES)
    of_type = f" AND v.example_type = '{values['type']}'" if values["type"] is not None else ""
    return f"""v.organization_id = %(organization)s AND v.agent_id = %(agent)s AND v.encoder = %(encoder)s{of_type}
        AND vector_dims(v.embedding) = {length}{left_out}"""


def _narrowed(values: dict[str, Any]) -> str:
    return (f" AND {_IN_LABELS}" if values["labels"] else "") + (f" AND {_STANDS}" if values["type"] is not None else "")


def _shown(connection: Connection, query: str, values: dict[str, Any]) -> list[Shown]:
    rows = connection.execute(query, values).fetchall()
    return [Shown(str(name), str(asked), str(answer), float(similarity), actions) for name, asked, answer, similarity, actions in rows]


def _wanting(columns: str) -> str:
    """Examples of the version's train split that may be shown and have no vector. OFFSET 0: texts are looked at last, those of few."""
    return f"""SELECT {columns} FROM (
            SELECT d.organization_id, d.example_id, d.content_hash, c.content FROM dataset_examples d
            JOIN example_contents c ON c.organization_id = d.organization_id AND c.content_hash = d.content_hash
            WHERE d.organization_id = %(organization)s AND d.dataset_id = %(dataset)s AND d.split = 'train'
            AND NOT EXISTS (SELECT FROM demonstration_vectors v WHERE v.organization_id = d.organization_id AND v.encoder = %(encoder)s
                AND v.example_id = d.example_id AND v.content_hash = d.content_hash) OFFSET 0) AS d
        WHERE {_USABLE}"""


def _store(connection: Connection, values: dict[str, Any], rows: list[tuple[str, bytes, npt.NDArray[np.float32]]]) -> int:
    register_vectors(connection)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE staged_demonstrations (example_id text, content_hash bytea, embedding halfvec) ON COMMIT DROP")
        with cursor.copy("COPY staged_demonstrations FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["text", "bytea", "halfvec"])
            for name, content, vector in rows:
                copy.write_row((name, content, to_half(vector)))
        return cursor.execute(
            f"""INSERT INTO demonstration_vectors (organization_id, encoder, example_id, content_hash, agent_id, embedding, example_type)
            SELECT %(organization)s, %(encoder)s, s.example_id, s.content_hash, %(agent)s, s.embedding, {_TYPE} FROM staged_demonstrations s
            JOIN example_contents d ON d.organization_id = %(organization)s AND d.content_hash = s.content_hash ON CONFLICT DO NOTHING""",
            values,
        ).rowcount


def _literal(vector: npt.NDArray[np.float32]) -> str:
    """As text: whoever looks up need not teach its connection pgvector's types."""
    return "[" + ",".join(f"{number:.6g}" for number in vector.tolist()) + "]"
