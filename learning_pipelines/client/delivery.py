"""One round of sending: entries in, each of them stored, refused for good, or left for the next round.

Belongs here: batches, halving around a bad record, suspects, dead letters. Not here: when rounds happen (worker.py), files (queue.py).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass

from learning_pipelines.client import records
from learning_pipelines.client.errors import ClientError, RecordRejected, Reporter
from learning_pipelines.client.queue import Queue
from learning_pipelines.client.segment import Entry
from learning_pipelines.client.transport import Reply, Transport, Verdict

_BATCHES = {"executions": "/executions/batch", "feedback": "/feedback/batch"}
_SINGLE = {"retrieval_feedback": "/retrieval-feedback"}
_STRIKES = 5
_HOPELESS = 3


class Trouble(Exception):
    """The round ends here; nothing of what is left is lost."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.reason)
        self.unclear = reply.verdict is Verdict.UNCLEAR
        self.retry_after = reply.retry_after


@dataclass
class Suspect:
    tries: int = 0
    strikes: int = 0


@dataclass(frozen=True)
class Parcel:
    entry: Entry
    kind: records.Kind
    id: str
    body: bytes


class Delivery:
    def __init__(self, queue: Queue, transport: Transport, reporter: Reporter) -> None:
        self._queue = queue
        self._transport = transport
        self._reporter = reporter
        self._suspects: dict[str, Suspect] = {}
        self._doubtful_rounds = 0
        self.stored = self.unchanged = self.rejected = self.requests = 0

    def round(self, entries: Sequence[Entry]) -> None:
        """Delivers the entries, oldest first, executions before the feedback on them. Raises Trouble if any is left."""
        parcels = [parcel for entry in entries if (parcel := self._open(entry)) is not None]
        parcels.sort(key=lambda parcel: parcel.kind != "executions")  # stable
        try:
            # An error that is not plainly a record's fault may still be one record's doing: from the third such round on each travels alone.
            if self._doubtful_rounds < 2:
                for kind in ("executions", "feedback"):
                    self._batch([parcel for parcel in parcels if parcel.kind == kind])
                for parcel in parcels:
                    if parcel.kind in _SINGLE:
                        self._alone(parcel)
            else:
                self._one_by_one(parcels)
        except Trouble as trouble:
            self._doubtful_rounds += trouble.unclear
            raise
        self._doubtful_rounds = 0

    def _open(self, entry: Entry) -> Parcel | None:
        decoded = records.decode(entry.line)
        if decoded is None:
            self._bury(entry, "unknown", "", json.dumps(entry.line.decode("utf-8", "replace")), "damaged by a crash")
            return None
        return Parcel(entry, *decoded)

    def _batch(self, parcels: Sequence[Parcel]) -> None:
        if not parcels:
            return
        self.requests += 1
        reply = self._transport.post(_BATCHES[parcels[0].kind], b'{"items":[%s]}' % b",".join(parcel.body for parcel in parcels))
        if reply.verdict is Verdict.DONE:
            self._read_results(parcels, reply)
        elif reply.verdict is not Verdict.REJECTED:
            raise Trouble(reply)
        elif len(parcels) == 1:
            self._reject(parcels[0], reply.reason)
        else:  # too large, or one record spoils the request: halves find it
            middle = len(parcels) // 2
            self._batch(parcels[:middle])
            self._batch(parcels[middle:])

    def _read_results(self, parcels: Sequence[Parcel], reply: Reply) -> None:
        """Only what the service names as stored is stored."""
        results = reply.data.get("results")
        settled: set[int] = set()
        done: list[Entry] = []
        for result in results if isinstance(results, list) else []:
            index, status = (result.get("index"), result.get("status")) if isinstance(result, dict) else (None, None)
            if not isinstance(index, int) or not 0 <= index < len(parcels) or index in settled:
                continue
            if status in ("stored", "unchanged"):
                settled.add(index)
                done.append(parcels[index].entry)
                self._count(status)
            elif status == "rejected":
                settled.add(index)
                error = result.get("error")
                self._reject(parcels[index], error if isinstance(error, str) else json.dumps(error))
        self._queue.settle(done)
        if len(settled) < len(parcels):
            raise Trouble(Reply(Verdict.UNCLEAR, f"the service answered for {len(settled)} of {len(parcels)} records"))

    def _alone(self, parcel: Parcel) -> None:
        if parcel.kind in _BATCHES:
            self._batch([parcel])
            return
        self.requests += 1
        reply = self._transport.post(_SINGLE[parcel.kind], parcel.body, parcel.id)
        if reply.verdict is Verdict.DONE:
            self._count(str(reply.data.get("status")))
            self._queue.settle([parcel.entry])
        elif reply.verdict is Verdict.REJECTED:
            self._reject(parcel, reply.reason)
        else:
            raise Trouble(reply)

    def _one_by_one(self, parcels: Sequence[Parcel]) -> None:
        """A record is given up only if it fails again and again in rounds in which others get through; a broken service costs three requests."""
        failed: list[tuple[Parcel, Trouble]] = []
        succeeded = False
        for parcel in sorted(parcels, key=lambda parcel: self._suspects.get(parcel.id, Suspect()).tries):
            try:
                self._alone(parcel)
                succeeded = True
                self._suspects.pop(parcel.id, None)
            except Trouble as trouble:
                if not trouble.unclear:
                    raise
                self._suspects.setdefault(parcel.id, Suspect()).tries += 1
                failed.append((parcel, trouble))
                if not succeeded and len(failed) >= _HOPELESS:
                    break
        if succeeded:
            for parcel, reason in failed:
                suspect = self._suspects[parcel.id]
                suspect.strikes += 1
                if suspect.strikes >= _STRIKES:
                    self._reject(parcel, f"refused {_STRIKES} times while others were accepted: {reason}")
        if failed:
            raise failed[-1][1]

    def _count(self, status: str) -> None:
        if status == "unchanged":
            self.unchanged += 1
        else:
            self.stored += 1

    def _reject(self, parcel: Parcel, reason: str) -> None:
        self._suspects.pop(parcel.id, None)
        self._bury(parcel.entry, parcel.kind, parcel.id, parcel.body.decode("ascii"), reason)

    def _bury(self, entry: Entry, kind: str, name: str, body: str, reason: str) -> None:
        about = json.dumps({"at": dt.datetime.now(dt.UTC).isoformat(), "kind": kind, "id": name, "reason": reason})
        try:
            self._queue.bury(f'{about[:-1]}, "body": {body}}}\n'.encode("ascii"))
        except ClientError as error:
            self._reporter.note(error)
            raise Trouble(Reply(Verdict.LATER, f"a refused record cannot be put aside: {error}")) from error
        # The record is in the file before it leaves the queue: a crash in between leaves it in both, never in neither.
        self._queue.settle([entry])
        self.rejected += 1
        self._reporter.note(RecordRejected(f"{kind} {name}: {reason}"))
