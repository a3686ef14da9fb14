"""The one background thread of a client: waits for records, sends them in rounds, pauses after trouble.

Belongs here: when something happens. Not here: what a round does (delivery.py), files (queue.py).
"""

from __future__ import annotations

import random
import threading
import time

from learning_pipelines.client.delivery import Delivery, Trouble
from learning_pipelines.client.errors import Reporter, ServiceRefused, ServiceUnavailable, unexpected
from learning_pipelines.client.options import Options
from learning_pipelines.client.queue import Queue


class Worker:
    def __init__(self, queue: Queue, delivery: Delivery, reporter: Reporter, options: Options) -> None:
        self._queue = queue
        self._delivery = delivery
        self._reporter = reporter
        self._options = options
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._flushing = 0
        self._hurry = False
        self._failures = 0
        self._troubles = 0
        self._adopted = float("-inf")
        self.retries = 0

    def start(self) -> None:
        """Starts the thread unless it runs or has been told to stop."""
        with self._wake:
            if self._thread is not None or self._stopping:
                return
            thread = threading.Thread(target=self._run, name="learning-pipelines-client", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no more threads, or the interpreter is ending: the records are safe on disk
                self._reporter.note(unexpected(error))
            else:
                self._thread = thread

    @property
    def stopped(self) -> bool:
        return self._stopping

    def nudge(self, pending: int) -> None:
        """Called after each append; costs nothing unless the thread has a reason to wake."""
        if self._thread is None:
            self.start()
        if pending in (1, self._options.batch_size):
            with self._wake:
                self._wake.notify_all()

    def flush(self, timeout: float, *, give_up_on_trouble: bool = False) -> bool:
        """Waits until what is queued now has been delivered; False if that did not come about in time."""
        self.start()
        deadline = time.monotonic() + timeout
        with self._wake:
            target, troubles = self._queue.accepted, self._troubles
            self._flushing += 1
            self._hurry = True
            self._wake.notify_all()
            try:
                while self._queue.settled < target:
                    left = deadline - time.monotonic()
                    alive = self._thread is not None and self._thread.is_alive()
                    if left <= 0 or not alive or (give_up_on_trouble and self._troubles > troubles):
                        return False
                    self._wake.wait(min(left, 0.5))
                return True
            finally:
                self._flushing -= 1

    def stop(self, timeout: float) -> None:
        """Ends the thread; the thread itself closes the queue, because nobody else knows when it has let go of the files."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
            thread = self._thread
        if thread is None:
            self._queue.close()
        elif thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        try:
            while not self._stopping:
                try:
                    self._work()
                except Exception as error:  # noqa: BLE001 - a fault of ours must not end the thread
                    self._reporter.note(unexpected(error))
                    self._pause(None)
        finally:
            self._queue.close()

    def _work(self) -> None:
        if time.monotonic() - self._adopted >= self._options.adopt_every:
            self._queue.adopt()
            self._adopted = time.monotonic()
        with self._wake:
            if not self._queue.pending:
                self._wake.notify_all()  # flushes wait for this
                if not self._stopping:
                    self._wake.wait(self._options.adopt_every)
                return
            if self._failures == 0:
                self._wake.wait_for(lambda: self._stopping or self._flushing or self._queue.pending >= self._options.batch_size, self._options.max_delay)
        if self._stopping:
            return
        self._queue.sync()
        entries = self._queue.peek(self._options.batch_size, self._options.batch_bytes)
        settled = self._queue.settled
        try:
            self._delivery.round(entries)
            self._failures = 0
            with self._wake:
                self._wake.notify_all()
        except Trouble as trouble:
            self._reporter.note((ServiceRefused if trouble.unclear else ServiceUnavailable)(str(trouble)))
            self._failures = 1 if self._queue.settled > settled else self._failures + 1
            self.retries += 1
            self._pause(trouble.retry_after)

    def _pause(self, retry_after: float | None) -> None:
        """Waits before the next try. A flush may cut this short once, except where the service has named the time."""
        most = min(self._options.backoff_most, self._options.backoff_first * 2 ** min(max(self._failures - 1, 0), 30))
        pause = random.uniform(0.5, 1.0) * most  # jitter: many clients must not return in the same moment
        if retry_after is not None:
            pause = max(pause, retry_after * random.uniform(1.0, 1.1))
        until = time.monotonic() + pause
        with self._wake:
            self._troubles += 1
            self._hurry = False
            self._wake.notify_all()
        while (left := until - time.monotonic()) > 0:
            with self._wake:
                if self._stopping or (self._hurry and retry_after is None):
                    return
                self._wake.wait(min(left, self._options.adopt_every))
            self._queue.sync()  # an outage must not keep new records from the disk
