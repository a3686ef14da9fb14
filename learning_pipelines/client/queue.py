"""The offline queue of one process: a folder of append-only files that outlives crashes and is shared without being shared.

Belongs here: which files, limits, adoption of what dead processes left. Not here: HTTP, retries (transport.py, worker.py).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from learning_pipelines.client.errors import QueueFull, QueueUnavailable, Reporter
from learning_pipelines.client.segment import DONE, SUFFIX, Entry, Segment

# Append-only files rather than SQLite. Each process writes files of its own, so the caller's thread pays one write() (microseconds) and
# never waits for another process's transaction; a lock that the kernel frees on kill -9 says whose lines are whose, so nothing is
# sent twice and no lease can run out; and nothing inherited by fork() has to be repaired, which SQLite's locks cannot promise.
# A write() survives the death of the process; fsync, which survives the loss of power, is done by the worker, before anything is sent.

DEAD_LETTERS = "dead-letters.jsonl"
_MEMORY_LIMIT = 16 << 20
_ADOPT_AT_ONCE = 16  # each holds a file open


class Queue:
    """Lines in, entries out, entries settled. `append` may be called by any thread, the rest by the worker only (`close` by whoever stops it)."""

    def __init__(self, folder: Path, reporter: Reporter, *, max_bytes: int, segment_bytes: int, fsync_each: bool) -> None:
        self.folder = folder
        self._reporter = reporter
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._fsync_each = fsync_each
        self.forked()

    def forked(self) -> None:
        """Starts afresh, as after a fork: the parent keeps its files and its counts."""
        for segment in getattr(self, "_segments", []):
            segment.close()
        self.lock = threading.Lock()
        self._segments: list[Segment] = []
        self._active: Segment | None = None
        self._memory: Segment | None = None
        self._others_bytes = 0
        self.own_bytes = 0
        self.accepted = 0
        self.settled = 0

    @property
    def pending(self) -> int:
        return self.accepted - self.settled

    @property
    def durable(self) -> bool:
        return self._memory is None

    def append(self, line: bytes) -> int:
        """Keeps the line; returns how many now wait. Raises QueueFull or QueueUnavailable."""
        with self.lock:
            if self.own_bytes + self._others_bytes + len(line) > self._max_bytes:
                raise QueueFull(f"{self.folder} holds {self.pending} records of this process; with others' its limit is {self._max_bytes} bytes.")
            try:
                self._append_to_disk(line)
            except OSError as error:
                trouble = QueueUnavailable(f"{self.folder} cannot be written ({error}). Give the client a local folder with space that it may write.")
                if self._reporter.raise_errors:
                    raise trouble from error  # the host is told and may act: what it was told is not accepted must not be sent
                self._reporter.note(trouble)
                self._append_to_memory(line)
            self.own_bytes += len(line)
            self.accepted += 1
            return self.pending

    def _append_to_disk(self, line: bytes) -> None:
        if self._active is None or self._active.size >= self._segment_bytes:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # it holds what people wrote
            self._active = Segment.create(self.folder)
            self._segments.append(self._active)
        self._active.append(line)
        if self._fsync_each:
            self._active.sync()

    def _append_to_memory(self, line: bytes) -> None:
        try:
            if self._memory is None:
                self._memory = Segment.in_memory()
                self._segments.append(self._memory)
            if self._memory.size + len(line) > _MEMORY_LIMIT:
                raise QueueFull(f"{self.folder} cannot be written, and {_MEMORY_LIMIT} bytes already wait in memory.")
            self._memory.append(line)
        except OSError as error:
            raise QueueUnavailable(f"{self.folder} cannot be written, and memory for the queue is not to be had ({error}).") from error

    def peek(self, limit: int, max_bytes: int) -> list[Entry]:
        """The oldest entries that are not settled: at least one if there is any, however large."""
        with self.lock:
            segments = list(self._segments)
        found: list[Entry] = []
        size = 0
        for segment in segments:
            for entry in segment.entries():
                size += len(entry.line)
                if len(found) >= limit or (found and size > max_bytes):
                    return found
                found.append(entry)
        return found

    def settle(self, entries: Iterable[Entry]) -> None:
        """The service has these for good, or refused them for good."""
        touched: dict[int, Segment] = {}
        freed = count = 0
        for entry in entries:
            length = entry.segment.settle(entry)
            touched[id(entry.segment)] = entry.segment
            freed += length
            count += length > 0
        for segment in touched.values():
            try:
                segment.mark()
            except OSError as error:  # at worst the lines are sent again after a crash, under the same ids
                self._reporter.note(QueueUnavailable(f"{self.folder}: {error}"))
        with self.lock:
            self.own_bytes -= freed
            self.settled += count
            finished = [segment for segment in self._segments if segment.empty and (segment is not self._active or segment.size >= self._segment_bytes)]
            self._forget(finished)
        for segment in finished:
            segment.remove()

    def _forget(self, finished: list[Segment]) -> None:
        self._segments = [segment for segment in self._segments if segment not in finished]
        if self._active in finished:
            self._active = None
        if self._memory in finished:
            self._memory = None

    def sync(self) -> None:
        """Everything accepted so far is safe from a loss of power, too."""
        with self.lock:
            segments = list(self._segments)
        for segment in segments:
            try:
                segment.sync()
            except OSError as error:
                self._reporter.note(QueueUnavailable(f"{self.folder}: {error}"))

    def adopt(self) -> None:
        """Takes over the files of processes that are gone, and looks how much the living ones hold."""
        with self.lock:
            own = {segment.path for segment in self._segments}
        others: dict[Path, int] = {}
        adopted: list[tuple[Segment, int]] = []
        try:
            files = {entry.name: entry for entry in os.scandir(self.folder)}
        except OSError:
            return  # no folder yet, or none that can be read: append says so
        for name, file in sorted(files.items()):
            path = self.folder / name
            if name.endswith(DONE) and f"{name.removesuffix(DONE)}{SUFFIX}" not in files:
                self._remove_orphan(path)
            if not name.endswith(SUFFIX) or path in own:
                continue
            segment = Segment.adopt(path) if len(adopted) < _ADOPT_AT_ONCE and _size(file) else None
            if segment is None:
                others[path] = _size(file)
            elif segment.empty:
                segment.remove()
            else:
                adopted.append((segment, sum(1 for _ in segment.entries())))
        with self.lock:
            self._segments[:0] = [segment for segment, _ in adopted]
            self.accepted += sum(count for _, count in adopted)
            self.own_bytes += sum(segment.size - segment.start for segment, _ in adopted)
            # Without the files that this process has begun meanwhile: counted twice they would make the queue look full.
            self._others_bytes = sum(others[path] for path in others.keys() - {segment.path for segment in self._segments})

    def _remove_orphan(self, mark: Path) -> None:
        try:
            if time.time() - mark.stat().st_mtime > 60:  # its file may just be coming or going
                mark.unlink(missing_ok=True)
        except OSError:
            return

    def bury(self, line: bytes) -> None:
        """Appends to the dead-letter file. Raises QueueUnavailable or QueueFull; then the record stays in the queue."""
        path = self.folder / DEAD_LETTERS
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                if os.fstat(fd).st_size + len(line) > self._max_bytes:
                    raise QueueFull(f"{path} has reached {self._max_bytes} bytes. Read it, mend the cause and move it away.")
                os.write(fd, line)  # one write: several processes may append at once
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise QueueUnavailable(f"{path} cannot be written ({error}).") from error

    def close(self) -> None:
        """Lets go of all files: what is not settled is there for the next process."""
        with self.lock:
            for segment in self._segments:
                if segment.empty:
                    segment.remove()
                else:
                    segment.close()
            self._segments, self._active, self._memory = [], None, None


def _size(file: os.DirEntry[str]) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
