"""Reading a JSON Lines file of any size, gzipped or not, with physical line numbers and bounded memory.

Belongs here: bytes to lines, and files that cannot be read, in words. Not here: what a line means.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from learning_pipelines.errors import BadInput

LINE_LIMIT = 32 * 1024 * 1024


class BrokenFile(BadInput):
    """The file ends in the middle or is damaged; the lines before that are good."""


@dataclass(frozen=True, slots=True)
class Line:
    """One physical line (1-based) without its end; `data` is None where it exceeds LINE_LIMIT. `read` counts bytes of the file so far."""

    number: int
    data: bytes | None
    read: int


def open_lines(path: Path) -> Iterator[Line]:
    """The non-blank lines of a .jsonl or .jsonl.gz file, which is opened at once.

    Raises BadInput if the file cannot be opened, BrokenFile in the middle if it is truncated or damaged.
    """
    try:
        raw = path.open("rb")
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", "Check the path and the rights.") from error
    return _closing(raw, path)


def _closing(raw: IO[bytes], path: Path) -> Iterator[Line]:
    with raw:
        zipped = path.name.endswith(".gz")
        stream: IO[bytes] = gzip.GzipFile(fileobj=raw, mode="rb") if zipped else raw  # type: ignore[assignment]
        yield from _lines(stream, raw, path)


def _lines(stream: IO[bytes], raw: IO[bytes], path: Path) -> Iterator[Line]:
    number = 0
    while True:
        try:
            data = stream.readline(LINE_LIMIT + 1)
            too_long = len(data) > LINE_LIMIT and not data.endswith(b"\n")
            if too_long:
                _skip_line(stream)
        except IsADirectoryError as error:
            raise BadInput(f"{path} is a folder.", "Name a .jsonl or .jsonl.gz file.") from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise BrokenFile(
                f"{path} is damaged after line {number}: {error}.",
                "The lines before are kept; get a whole copy of the file and import it again (known lines are left unchanged).",
            ) from error
        except OSError as error:
            raise BrokenFile(f"{path} cannot be read after line {number}: {error}.", "The lines before are kept; import it again.") from error
        if not data:
            return
        number += 1
        if number == 1:
            data = data.removeprefix(b"\xef\xbb\xbf")
        if data.strip():
            yield Line(number, None if too_long else data, raw.tell())


def _skip_line(stream: IO[bytes]) -> None:
    while (rest := stream.readline(1024 * 1024)) and not rest.endswith(b"\n"):
        pass
