"""One append-only file of the queue: lines go in at the end, settled lines are marked off at the front.

Belongs here: bytes, offsets, the file lock that says who owns it. Not here: several files, limits (queue.py), what lines mean (records.py).
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SUFFIX = ".queue"
DONE = ".done"
_CHUNK = 1 << 18


class Entry(NamedTuple):
    segment: Segment
    offset: int
    end: int
    line: bytes


class Segment:
    """A file that this process owns as long as it holds its lock. `path` is None for the emergency segment in memory.

    The lock ends with the process, however it ends: that is how others know that they may adopt what is left.
    The mark lies in a file of its own, written only after the service has answered; where a crash loses it, lines are sent again under the same ids.
    """

    def __init__(self, path: Path | None, fd: int, size: int = 0, start: int = 0) -> None:
        self.path = path
        self.size = size
        self.start = start
        self._fd = fd
        self._mark = -1
        self._synced = -1
        self._settled: dict[int, int] = {}

    @classmethod
    def create(cls, folder: Path) -> Segment:
        path = folder / f"{time.time_ns():020d}-{os.getpid()}-{uuid.uuid4().hex[:8]}{SUFFIX}"
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        if not _lock(fd, path):  # a neighbour looked at the empty file first and is about to remove it
            os.close(fd)
            return cls.create(folder)
        return cls(path, fd)

    @classmethod
    def in_memory(cls) -> Segment:
        if hasattr(os, "memfd_create"):
            return cls(None, os.memfd_create("learning_pipelines_queue"))
        with tempfile.TemporaryFile() as file:
            return cls(None, os.dup(file.fileno()))

    @classmethod
    def adopt(cls, path: Path) -> Segment | None:
        """What a process left behind; None if its owner lives."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND)
        except OSError:
            return None
        if not _lock(fd, path):
            os.close(fd)
            return None
        size = os.fstat(fd).st_size
        try:
            start = int(path.with_suffix(DONE).read_text("ascii"))
        except (OSError, ValueError):
            start = 0
        return cls(path, fd, size, start if 0 <= start <= size else 0)

    @property
    def empty(self) -> bool:
        return self.start >= self.size

    def append(self, line: bytes) -> None:
        written = 0
        try:
            while written < len(line):
                written += os.write(self._fd, line[written:])
        except OSError:
            if written:
                os.ftruncate(self._fd, self.size)  # half a line must not stand before the next one
            raise
        self.size += written

    def entries(self) -> Iterator[Entry]:
        """Lines that are not settled, oldest first."""
        position, rest, size = self.start, b"", self.size
        read = position
        while read < size:
            chunk = os.pread(self._fd, min(_CHUNK, size - read), read)
            if not chunk:
                break
            read += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                end = position + len(line) + 1
                if position not in self._settled:
                    yield Entry(self, position, end, line)
                position = end
        if rest and position not in self._settled:  # the last line of a process that died while writing it
            yield Entry(self, position, size, rest)

    def settle(self, entry: Entry) -> int:
        """Takes a line off; returns its length, 0 if it was off already."""
        if entry.offset < self.start or entry.offset in self._settled:
            return 0
        self._settled[entry.offset] = entry.end
        while (end := self._settled.pop(self.start, None)) is not None:
            self.start = end
        return entry.end - entry.offset

    def mark(self) -> None:
        """Remembers on disk how far lines are settled."""
        if self.path is None:
            return
        if self._mark < 0:
            self._mark = os.open(self.path.with_suffix(DONE), os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(self._mark, b"%020d" % self.start, 0)

    def sync(self) -> None:
        """Brings the lines safely to disk, and the file's name with the first of them."""
        size = self.size
        if self.path is None or size == self._synced:
            return
        os.fsync(self._fd)
        if self._synced < 0:
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self._synced = size

    def remove(self) -> None:
        """Deletes the file, the mark last: a mark without a file is harmless, a file that lost its mark would be sent again."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path.with_suffix(DONE).unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Closes, and so unlocks, the file. In a forked child the parent's lock stays: it belongs to the open file that both share."""
        for fd in (self._fd, self._mark):
            if fd >= 0:
                os.close(fd)
        self._fd = self._mark = -1


def _lock(fd: int, path: Path) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(fd).st_ino == path.stat().st_ino  # the former owner may have removed it in this very moment
    except OSError:
        return False
