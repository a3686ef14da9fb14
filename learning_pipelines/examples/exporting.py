"""Exporting a dataset version to a file: read, shape, look for personal data, write, hash; row by row, in bounded memory.

Belongs here: the loop, refusals, the tenant's files of a version. Not here: formats (exports.py), files (export_files.py), SQL.

Only train is exported unless another split is asked for: what validates and tests must not be learnt from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import orjson

from learning_pipelines.errors import BadInput
from learning_pipelines.examples.export_files import HashedFile, require_inside, tenant_folder, whole_file
from learning_pipelines.examples.export_guard import RULES_VERSION, Guard
from learning_pipelines.examples.exports import RULES, chat_row, lineage_row, pair_row, pair_texts, user_texts
from learning_pipelines.examples.formats import FormatName
from learning_pipelines.examples.parquet_files import write_parquet
from learning_pipelines.examples.splits import SPLITS
from learning_pipelines.examples.versions import require_whole
from learning_pipelines.storage import exports as storage
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.exports import ExportRecord
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.versions import Version


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written. `held_back`: rows that still showed personal data, by kind; `left_out`: examples that make no row, by reason."""

    format: FormatName
    split: str
    path: str
    rows: int
    sha256: str
    bytes: int
    held_back: dict[str, int]
    left_out: dict[str, int]


class TooFew(BadInput):
    """The version has too few rows for a format. Nothing was written."""


def export_dataset(
    connection: Connection, agent: AgentRef, dataset: Version, name: FormatName, target: str, *, split: str = "train", make_folders: bool = False
) -> Exported:
    """Writes a sealed version to `target` in one format. The same version gives the same bytes, whatever happened to its examples since.

    `split`: train, validation, test or all. `target`: a path or fsspec URL; a file there is replaced as a whole. Bytes depend on the version,
    the format, the split and the privacy rules (RULES_VERSION; for parquet also on the release of pyarrow) and on nothing else.
    TooFew: fewer rows than the format's consumer takes. BadInput: it lost rows of an erased person. BadInput, LearningError: the target cannot be written.
    """
    require_whole(agent, dataset)
    run = _Run(connection, agent, dataset, name, split, target)
    with database_errors(f"exporting a dataset of {agent.partition}"), closing(run.rows()) as rows, whole_file(target, make_folders=make_folders) as file:
        written = _write_parquet(file, rows, agent, dataset) if name == "parquet" else _write_lines(file, rows)
        if written < RULES[name].least:
            raise run.too_few(written)
    return Exported(name, split, target, written, file.sha256, file.bytes, dict(run.guard.held_back), dict(run.left_out))


def export_to_artifacts(connection: Connection, agent: AgentRef, dataset: Version, name: FormatName, artifacts: str, split: str = "train") -> ExportRecord:
    """The same into the tenant's folder below `artifacts`, recorded in table dataset_exports."""
    target = artifact_path(artifacts, agent, dataset.version, name, split)
    done = export_dataset(connection, agent, dataset, name, target, split=split, make_folders=True)
    record = ExportRecord(name, split, target, done.sha256, done.rows, done.bytes, done.held_back, RULES_VERSION)
    storage.record_export(connection, agent, dataset.id, record)
    return record


def artifact_path(artifacts: str, agent: AgentRef, version: int, name: FormatName, split: str) -> str:
    """<artifacts>/datasets/<organization>/<agent>/v<version>/<format>.<split>.<extension>, proven to lie in the tenant's folder."""
    folder = tenant_folder(artifacts, agent)
    path = f"{folder}/v{version}/{name}.{split}.{RULES[name].extension}"
    require_inside(folder, path)
    return path


@dataclass
class _Run:
    """One export under way: what is read, and what is counted on the way."""

    connection: Connection
    agent: AgentRef
    dataset: Version
    name: FormatName
    split: str
    target: str
    guard: Guard = field(default_factory=Guard)
    left_out: Counter[str] = field(default_factory=Counter)

    def rows(self) -> Generator[dict[str, Any], None, None]:
        splits = SPLITS if self.split == "all" else (self.split,)
        system = (self.dataset.recipe.get("prompt") or {}).get("system")
        if sources := RULES[self.name].sources:
            with closing(storage.read_pairs(self.connection, self.agent, self.dataset.id, splits, sources)) as pairs:
                for pair in pairs:
                    if self.guard.lets_pass(pair_texts(pair)):
                        yield pair_row(self.name, pair, system)
            return
        with closing(storage.read_members(self.connection, self.agent, self.dataset.id, splits)) as members:
            for member in members:
                whole = self.name == "parquet"
                row = lineage_row(member, system) if whole else chat_row(member.content, system)
                if row is None:
                    self.left_out[f"{member.content['example_type']} without a better answer"] += 1
                elif self.guard.lets_pass(user_texts(member.content) if whole else (member.content["input_text"], row["messages"][-1]["content"])):
                    yield row

    def too_few(self, written: int) -> TooFew:
        least, of_pairs = RULES[self.name].least, bool(RULES[self.name].sources)
        what = "preference pairs" if of_pairs else "examples"
        why = [f"{count} × {reason}" for reason, count in sorted(self.left_out.items())]
        why += [f"{count} held back for personal data ({kind})" for kind, count in sorted(self.guard.held_back.items())]
        cause = (
            f"Version {self.dataset.version} of {self.agent.partition} has {written} {what} for {self.name} in split {self.split}, and {least} are needed"
            f"{' (OpenAI takes no fewer)' if least > 1 else ''}{'; left out: ' + ', '.join(why) if why else ''}."
        )
        missing = least - written
        choices = "corrections" if self.name == "triples" else "corrections, A/B choices"
        more = f"Approve {missing} more examples that have an answer to learn"
        if of_pairs:
            more = f"Pairs come from {choices} and ratings of answers to the same input: collect and approve {missing} more"
        other = "" if self.split == "all" else ", or take --split all where nothing is tested with it"
        return TooFew(cause, f"{more}, run `learning-pipelines run dataset_refresh` and export again{other}. Nothing was written.")


def _write_lines(file: HashedFile, rows: Iterable[dict[str, Any]]) -> int:
    written, buffer = 0, bytearray()
    for row in rows:
        buffer += orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        written += 1
        if len(buffer) >= 1 << 18:
            file.write(buffer)
            buffer.clear()
    file.write(buffer)
    return written


def _write_parquet(file: HashedFile, rows: Iterable[dict[str, Any]], agent: AgentRef, dataset: Version) -> int:
    lineage = {
        "organization": agent.organization, "agent": agent.agent, "dataset_id": str(dataset.id), "dataset_version": str(dataset.version),
        "content_hash": dataset.content_hash.hex(),
    }  # fmt: skip
    return write_parquet(file, ({**row, "dataset_id": str(dataset.id), "dataset_version": dataset.version} for row in rows), lineage)
