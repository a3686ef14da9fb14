"""Parquet with lineage columns, written in row groups.

Belongs here: the schema of the file. Not here: what a row holds (exports.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from learning_pipelines.examples.export_files import HashedFile

ROW_GROUP = 5_000
"""Rows held in memory before they are written."""


def schema(lineage: Mapping[str, str]) -> Any:
    """The pyarrow schema; `lineage` goes into the metadata of the file."""
    import pyarrow as pa

    text, message = pa.string(), pa.struct([("role", pa.string()), ("content", pa.string())])
    needed = [("example_id", text), ("dataset_id", text), ("dataset_version", pa.int32()), ("split", text), ("weight", pa.float64())]
    required = [pa.field(name, kind, nullable=False) for name, kind in needed]
    numbers = [("quality_score", pa.float64()), ("confidence_score", pa.float64())]
    words = [("content_hash", text), ("example_type", text), ("source_type", text), ("source_id", text)]
    shaped = [("messages", pa.list_(message)), ("prompt", text), ("chosen", text), ("rejected", text)]
    names = ("input_text", "input_context", "original_output", "expected_output", "output_a", "output_b", "preferred_output")
    rest = [("preference_strength", pa.int16()), ("domain", text), ("task_type", text), ("complexity", pa.int16())]
    lists = [("jurisdictions", pa.list_(text)), ("tags", pa.list_(text))]
    return pa.schema([*required, *words, *numbers, *shaped, *((name, text) for name in names), *rest, *lists], metadata=dict(lineage))


def write_parquet(file: HashedFile, rows: Iterable[Mapping[str, Any]], lineage: Mapping[str, str]) -> int:
    """Writes the rows and returns how many there were."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind, written, source = schema(lineage), 0, iter(rows)
    with pq.ParquetWriter(file, kind, compression="zstd") as writer:
        while group := list(islice(source, ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=kind))
            written += len(group)
    return written
