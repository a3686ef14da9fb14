"""How two texts differ, word by word.

Belongs here: the diff as data. Not here: how it is shown (web/).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

_TOKEN = re.compile(r"\s+|\w+|[^\w\s]")
MOST_TOKENS = 4_000
"""Beyond this many words and marks in one of the texts they are compared by lines: the comparison is quadratic."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text that both have (equal), only the former (delete) or only the latter (insert)."""

    op: Literal["equal", "delete", "insert"]
    text: str


def word_diff(former: str, latter: str) -> list[Piece]:
    """The pieces in order; equal and delete joined give `former`, equal and insert joined give `latter`."""
    before, after = _TOKEN.findall(former), _TOKEN.findall(latter)
    if max(len(before), len(after)) > MOST_TOKENS:
        before, after = former.splitlines(keepends=True), latter.splitlines(keepends=True)
    pieces: list[Piece] = []
    for op, i, j, k, m in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if op == "equal":
            pieces.append(Piece("equal", "".join(before[i:j])))
            continue
        if i < j:
            pieces.append(Piece("delete", "".join(before[i:j])))
        if k < m:
            pieces.append(Piece("insert", "".join(after[k:m])))
    return pieces
