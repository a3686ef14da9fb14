"""Markdown or plain text into blocks: headings, paragraphs, lists, tables; each with the headings above it.

Belongs here: where blocks begin and end, which headings they stand under. Not here: how many blocks make a chunk (chunking.py), HTML (html_text.py).

markdown-it-py finds the blocks (CommonMark with tables); plain text is Markdown whose blocks are paragraphs. Every line belongs to a block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

LONGEST_HEADING = 300
"""A longer "heading" is a paragraph with a line of dashes below it."""
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n(?:---|\.\.\.)(?:\n|\Z)", re.S)
_RULE = re.compile(r"\s*\|?[\s:|-]+\|?\s*\Z")


@dataclass(frozen=True, slots=True)
class Block:
    """`text` as it stands. `path`: the headings it stands under, outermost first (a heading's own is the last). `level` 1..6 of a heading, else 0.

    `inner`: a row or an item that continues the block before it; `head` is what a row needs to be understood: its table's head.
    """

    text: str
    path: tuple[str, ...]
    level: int = 0
    kind: str = "paragraph"
    inner: bool = False
    head: str = ""


def blocks_of(text: str) -> list[Block]:
    """The blocks of a text whose lines end in \\n. Nothing but blank lines between blocks is left out."""
    front = _FRONT_MATTER.match(text)
    found = [Block(front[1].strip(), ())] if front and front[1].strip() else []
    text = text[front.end() :] if front else text
    lines = text.split("\n")
    tops = [(token.map[0], token, content) for token, content in _tops(text)]
    headings: list[tuple[int, str]] = []
    for number, (start, token, content) in enumerate(tops):
        end = tops[number + 1][0] if number + 1 < len(tops) else len(lines)
        own = "\n".join(lines[0 if number == 0 else start : end]).strip("\n").rstrip()
        level = int(token.tag[1]) if token.type == "heading_open" and 0 < len(content) <= LONGEST_HEADING and "\n" not in content else 0
        if level:
            headings = [*(one for one in headings if one[0] < level), (level, content)]
        if own.strip():
            found.append(Block(own, tuple(name for _, name in headings), level, token.type.removesuffix("_open")))
    return found


def parts_of(block: Block) -> list[Block]:
    """A long table as rows, a long list as items; [] where the block has no such parts."""
    if block.kind == "table":
        return list(_rows(block))
    if block.kind in ("bullet_list", "ordered_list"):
        return list(_items(block))
    return []


def _rows(block: Block) -> Iterator[Block]:
    lines = block.text.split("\n")
    if len(lines) < 3 or not _RULE.match(lines[1]):
        return
    head = "\n".join(lines[:2])
    for number, line in enumerate(lines[2:]):
        yield Block(line, block.path, kind="row", inner=number > 0, head=head)


def _items(block: Block) -> Iterator[Block]:
    lines = block.text.split("\n")
    starts = [token.map[0] for token in _parser().parse(block.text) if token.type == "list_item_open" and token.level == 1 and token.map]
    if len(starts) < 2:
        return
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else len(lines)
        yield Block("\n".join(lines[start:end]).rstrip(), block.path, kind="item", inner=number > 0)


def _tops(text: str) -> Iterator[tuple[Any, str]]:
    """Outermost blocks in order, with the text of headings."""
    tokens: Sequence[Any] = _parser().parse(text)
    for position, token in enumerate(tokens):
        if token.level == 0 and token.nesting >= 0 and token.map:
            yield token, " ".join(plain(tokens[position + 1].content).split(" ")).strip() if token.type == "heading_open" else ""


_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\((?:[^()\n]|\([^()\n]*\))*\)")
_NOT_TEXT = re.compile(
    r"<!--(?:(?!<!--|-->).)*-->|\[!INCLUDE\s*\[?|</?[A-Za-z][^<>\n]{0,200}>"
    r"|[*`~]{1,3}|(?<!\w)_{1,3}|_{1,3}(?!\w)|^[ \t]*#{1,6}[ \t]|^[ \t:|-]{3,}$", re.S | re.M
)


def plain(text: str) -> str:
    """Markdown without what only marks it up: targets of links, emphasis, tags. Words and numbers stay."""
    return _NOT_TEXT.sub(" ", _LINK.sub(r"\1", text))


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table").disable("reference")  # a line "[note]: …" is text here
    parser.core.ruler.enableOnly(["normalize", "block"])  # nothing within blocks is looked at
    return parser
