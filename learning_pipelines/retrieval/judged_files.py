"""Judged queries out of two files: queries as JSON Lines {_id, text}, judgements as TSV with the header query-id, corpus-id, score (BEIR's layout).

Belongs here: lines in, queries and gains out, bad lines by number. Not here: searching or scoring them (evaluation.py). Nothing is stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from learning_pipelines.errors import BadInput
from learning_pipelines.feedback.importing import ERRORS_LISTED
from learning_pipelines.feedback.lines import Line, open_lines

HEADER = ("query-id", "corpus-id", "score")
TEXT_LIMIT = 100_000
"""Characters of a query; what is longer is no question."""


@dataclass
class JudgedFiles:
    """`queries`: id → text, and `gains`: id → document id → gain, of the queries that have both a text and a judgement, in the order of their file.
    `unjudged`: queries without judgement (a file of all splits has many). `rejected` lines of both files; the first are listed in `errors`."""

    queries: dict[str, str] = field(default_factory=dict)
    gains: dict[str, dict[str, float]] = field(default_factory=dict)
    unjudged: int = 0
    rejected: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)

    def reject(self, file: str, line: int, name: str | None, reason: str) -> None:
        self.rejected += 1
        if len(self.errors) < ERRORS_LISTED:
            self.errors.append({"file": file, "line": line, "field": name, "reason": reason})


def read_judged(queries: Path, qrels: Path) -> JudgedFiles:
    """Both files (each may be .gz). Raises BadInput where one cannot be read, the header is another, or no query has a judgement."""
    found = JudgedFiles()
    texts = _texts(queries, found)
    gains = _gains(qrels, texts, found)
    found.queries = {query: text for query, text in texts.items() if query in gains}
    found.gains = {query: gains[query] for query in found.queries}
    found.unjudged = len(texts) - len(found.queries)
    if not found.queries:
        first = found.errors[0] if found.errors else None
        said = f": the first of {found.rejected} bad lines is {first['file']} line {first['line']}, {first['reason']}" if first else ""
        raise BadInput(
            f"No query of {queries} has a judgement in {qrels}{said}.", "Queries are JSON Lines {_id, text}; judgements name them as query-id, tab-separated."
        )
    return found


def _texts(path: Path, found: JudgedFiles) -> dict[str, str]:
    texts: dict[str, str] = {}
    for line in open_lines(path):
        try:
            row = None if line.data is None else orjson.loads(line.data)
        except orjson.JSONDecodeError as error:
            found.reject("queries", line.number, None, f"is no JSON: {error}")
            continue
        if not isinstance(row, dict):
            found.reject("queries", line.number, None, "is longer than 32 MiB" if line.data is None else "is no JSON object")
            continue
        name, text = row.get("_id"), row.get("text")
        if not isinstance(name, str) or not name:
            found.reject("queries", line.number, "_id", "must be text and not empty")
        elif not isinstance(text, str) or not text.strip():
            found.reject("queries", line.number, "text", "must be text and not empty")
        elif len(text) > TEXT_LIMIT:
            found.reject("queries", line.number, "text", f"is longer than {TEXT_LIMIT} characters")
        elif texts.setdefault(name, text) != text:
            found.reject("queries", line.number, "_id", f"{name!r} stands in this file with another text")
    return texts


def _gains(path: Path, texts: dict[str, str], found: JudgedFiles) -> dict[str, dict[str, float]]:
    gains: dict[str, dict[str, float]] = {}
    for line, cells in _rows(path, found):
        if len(cells) < len(HEADER):
            found.reject("qrels", line.number, None, f"has {len(cells)} columns of {len(HEADER)}, separated by tabs")
            continue
        query, document, score = (cell.strip() for cell in cells[:3])
        gain = _number(score)
        if gain is None:
            found.reject("qrels", line.number, "score", f"{score!r} is no number")
        elif not document:
            found.reject("qrels", line.number, "corpus-id", "must not be empty")
        elif query not in texts:
            found.reject("qrels", line.number, "query-id", f"{query!r} is no query of the queries file")
        elif gains.setdefault(query, {}).setdefault(document, gain) != gain:
            found.reject("qrels", line.number, "score", f"{document!r} has another score for {query!r} above")
    return gains


def _rows(path: Path, found: JudgedFiles) -> Iterator[tuple[Line, list[str]]]:
    """Lines after the header. Raises BadInput for another header: a file without one would lose its first judgement unnoticed."""
    headed = False
    for line in open_lines(path):
        try:
            cells = (line.data or b"").decode().rstrip("\r\n").split("\t")
        except UnicodeDecodeError:
            found.reject("qrels", line.number, None, "is no UTF-8")
            continue
        if not headed:
            if tuple(cell.strip() for cell in cells[:3]) != HEADER:
                raise BadInput(f"{path} does not begin with the header query-id, corpus-id, score.", "It is one line before the judgements, separated by tabs.")
            headed = True
            continue
        yield line, cells


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
