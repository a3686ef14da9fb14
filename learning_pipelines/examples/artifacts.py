"""The files of an agent's newest dataset version: written where they are missing or differ, checked against what was recorded.

Belongs here: keeping the artifact folder in step with a version, looking into its files. Not here: writing one file (exporting.py), paths and hashes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from learning_pipelines.errors import LearningError
from learning_pipelines.examples.export_files import file_hash, located, require_inside, tenant_folder
from learning_pipelines.examples.export_guard import RULES_VERSION, Guard
from learning_pipelines.examples.exporting import TooFew, artifact_path, export_to_artifacts
from learning_pipelines.examples.exports import RULES
from learning_pipelines.examples.formats import FORMATS
from learning_pipelines.storage import exports as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.exports import ExportRecord
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.versions import Version, find_version

SPLIT = "train"


@dataclass
class Artifacts:
    """`files`: what is there now, by format; `written`: which were written just now; `skipped`: formats the version has too few rows for."""

    dataset: Version | None
    files: dict[str, ExportRecord] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def refresh_artifacts(connection: Connection, agent: AgentRef, artifacts: str) -> Artifacts:
    """Brings the train files of the newest version up to date below `artifacts`. Again changes nothing.

    A file stays if it is where it belongs, was checked with the privacy rules in force and has the recorded hash; else it is written anew,
    to the same bytes. A format that needs more rows than there are is skipped, saying why.
    """
    dataset = find_version(connection, agent)
    found = Artifacts(dataset)
    if dataset is None:
        return found
    recorded = {record.format: record for record in storage.recorded_exports(connection, agent, dataset.id) if record.split == SPLIT}
    for name in FORMATS:
        record = recorded.get(name)
        if record is None or not _stands(record, artifact_path(artifacts, agent, dataset.version, name, SPLIT)):
            try:
                record = export_to_artifacts(connection, agent, dataset, name, artifacts, SPLIT)
            except TooFew as error:
                found.skipped[name] = error.cause
                continue
            found.written.append(name)
        found.files[name] = record
    return found


def _stands(record: ExportRecord, path: str) -> bool:
    return record.path == path and record.rules == RULES_VERSION and file_hash(path) == (record.sha256, record.bytes)


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong with the recorded files of a version: zero where all is well.

    `changed`: files that are gone, whose bytes are not those recorded, or that lie in another tenant's folder. `incomplete`: files whose rows,
    with what was held back or teaches nothing, are not those of the version. `personal`: rows in which the guard finds personal data.
    """

    changed: int = 0
    incomplete: int = 0
    personal: int = 0


def check_artifacts(connection: Connection, agent: AgentRef, dataset: Version, artifacts: str) -> Faults:
    """Looks at every recorded file of a version as it is now: reads all of it, a row at a time."""
    folder, counts = tenant_folder(artifacts, agent), _expected(connection, agent, dataset)
    faults = Counter[str]()
    for record in storage.recorded_exports(connection, agent, dataset.id):
        try:
            require_inside(folder, record.path)
        except LearningError:
            faults["changed"] += 1  # not opened: it may be another tenant's
            continue
        if file_hash(record.path) != (record.sha256, record.bytes):
            faults["changed"] += 1
            continue
        guard, rows = Guard(), 0
        for row in _read(record):
            rows += 1
            guard.lets_pass(_said(row))
        faults["personal"] += sum(guard.held_back.values())
        whole = counts[record.format]
        held = sum(record.held_back.values())
        # Of the chat file some examples teach no answer: rows cannot exceed the version's, and all of them are accounted for by type.
        faults["incomplete"] += rows != record.rows or rows + held > whole or (record.format != "openai-chat" and rows + held != whole)
    return Faults(**faults)


def _expected(connection: Connection, agent: AgentRef, dataset: Version) -> Mapping[str, int]:
    pairs = dataset.statistics.get("pairs", {})
    examples = storage.counts(connection, agent, dataset.id)["examples"].get(SPLIT, 0)
    return {
        name: sum(pairs.get(f"{source}/{SPLIT}", 0) for source in RULES[name].sources) if RULES[name].sources else examples for name in FORMATS
    }


def _read(record: ExportRecord) -> Iterator[Any]:
    system, path = located(record.path)
    with system.open(path, "rb") as file:
        if record.format != "parquet":
            for line in file:
                yield orjson.loads(line)
            return
        import pyarrow.parquet as pq

        for batch in pq.ParquetFile(file).iter_batches(batch_size=1_000):
            yield from batch.to_pylist()


def _said(row: Any) -> list[str]:
    """Every text in a row but the system message, which is the agent's own."""
    if isinstance(row, str):
        return [row]
    if isinstance(row, list):
        return [text for item in row for text in _said(item)]
    if not isinstance(row, dict) or row.get("role") == "system":
        return []
    return [text for key, value in row.items() if key not in _LINEAGE for text in _said(value)]


_LINEAGE = frozenset({"example_id", "dataset_id", "content_hash", "source_id", "split", "role"})
