"""Vectors on their way into and out of the database: pgvector's types for connections that carry them.

Belongs here: registering the types, turning values into arrays and back, settings of a search. Not here: tables of vectors, searching them (their own modules).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pgvector import HalfVector
from pgvector.psycopg.halfvec import register_halfvec_info
from pgvector.psycopg.vector import register_vector_info
from psycopg.rows import tuple_row
from psycopg.types import TypeInfo

from learning_pipelines.errors import LearningError
from learning_pipelines.storage.database import Connection

# One question for both types; pgvector's own register_vector asks four times, once per type. The operator's schema may be any on the search path.
_TYPES = """
SELECT typname, oid::int8, typarray::int8 FROM pg_catalog.pg_type
WHERE oid IN (to_regtype('vector'), to_regtype('halfvec'))
"""


def register_vectors(connection: Connection) -> Connection:
    """The same connection, now able to carry vectors (also by COPY). Only the few that do need it: it costs a round trip, so connecting does not do it."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(_TYPES).fetchall()
    types = {name: TypeInfo(name, int(oid), int(array)) for name, oid, array in rows}
    if len(types) < 2:
        raise LearningError("The database has no pgvector ≥ 0.8.", "Run `learning-pipelines verify`: it says how to install it.")
    register_vector_info(connection, types["vector"])
    register_halfvec_info(connection, types["halfvec"])
    return connection


def set_for_search(connection: Connection, wanted: Mapping[str, str | None]) -> None:
    """Settings of PostgreSQL and pgvector for the rest of the transaction, also where it is the caller's and goes on; None: as the session began."""
    connection.execute("SELECT " + ", ".join("set_config(%s, %s, true)" for _ in wanted), [part for item in wanted.items() for part in item])


def to_half(vector: npt.NDArray[np.float32]) -> HalfVector:
    """A value for a halfvec column or a comparison with one; passed as an array it would be a vector, and no index on halfvec would serve it."""
    return HalfVector(vector)


def to_array(value: Any) -> npt.NDArray[np.float32]:
    """A vector or halfvec that was read, as an array."""
    return np.asarray(value if isinstance(value, np.ndarray) else value.to_numpy(), dtype=np.float32)


def as_half(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A vector as a halfvec holds it."""
    return vector.astype(np.float16).astype(np.float32)


def received_halves(sent: Sequence[bytes], dimensions: int) -> npt.NDArray[np.float32]:
    """What halfvec_send made of vectors of one length, a row each: two numbers (length, unused), then the halves, all in network order."""
    if not sent:
        return np.zeros((0, dimensions), dtype=np.float32)
    return np.stack([np.frombuffer(one, dtype=">f2", offset=4) for one in sent]).astype(np.float32)
