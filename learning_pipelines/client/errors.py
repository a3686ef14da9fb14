"""What can go wrong in the client: one named error each, counted and logged, raised only where the host asked for it.

Belongs here: error classes, the reporter. Not here: deciding what happens to a record (queue.py, delivery.py).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

logger = logging.getLogger("learning_pipelines.client")
_LOG_EVERY_SECONDS = 30.0


class ClientError(Exception):
    """Base of all errors of this client."""


class InvalidRecord(ClientError):
    """The call describes something that the service would refuse; nothing was queued."""


class QueueFull(ClientError):
    """The queue has reached its size limit; the record was not accepted."""


class QueueUnavailable(ClientError):
    """The queue folder cannot be written: read-only, full disk, not a folder."""


class ServiceUnavailable(ClientError):
    """The service could not be reached or asked us to come back later; the records stay queued."""


class ServiceRefused(ClientError):
    """The service answers, but not as it should (wrong key, address or version; an internal error); the records stay queued."""


class RecordRejected(ClientError):
    """The service refused one record for good; it is in the dead-letter file."""


class PromptUnavailable(ClientError):
    """No prompt from the service, none in the cache, and no fallback was given."""


class PromptNotFetched(ClientError):
    """A prompt could not be fetched; a cached one or the fallback is used."""


class SuggestionUnavailable(ClientError):
    """The service gave no suggestion of a next action: not reached, refused, or what was asked about cannot be read."""


class SearchUnavailable(ClientError):
    """The service found nothing out: not reached, refused, or the question cannot be read."""


class ErasureUnavailable(ClientError):
    """The service did not say how an erasure stands: not reached, refused, or nobody of that name."""


class NotDelivered(ClientError):
    """`flush` or `close` ended before everything was delivered; the rest stays queued."""


class Unexpected(ClientError):
    """A fault of the client itself."""


def unexpected(error: Exception) -> ClientError:
    """An error of this client as it is, any other as Unexpected with its cause."""
    if isinstance(error, ClientError):
        return error
    wrapped = Unexpected(f"{type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped


class Reporter:
    """Counts errors by name and logs each name at most every 30 seconds: an outage must not flood the host's log."""

    def __init__(self, *, raise_errors: bool) -> None:
        self.raise_errors = raise_errors
        self.last_error: str | None = None
        self.forked()

    def forked(self) -> None:
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._logged: dict[str, float] = {}
        self._silent: Counter[str] = Counter()

    def note(self, error: BaseException) -> None:
        """Counts and logs; never raises."""
        name = type(error).__name__
        now = time.monotonic()
        with self._lock:
            self.counts[name] += 1
            self.last_error = f"{name}: {error}"
            if now - self._logged.get(name, -_LOG_EVERY_SECONDS) < _LOG_EVERY_SECONDS:
                self._silent[name] += 1
                return
            self._logged[name] = now
            silent = self._silent.pop(name, 0)
        more = f" ({silent} more since the last such line)" if silent else ""
        logger.warning("%s: %s%s", name, error, more, exc_info=error if isinstance(error, Unexpected) else None)

    def fail(self, error: ClientError) -> None:
        """Counts and logs, and raises where the host asked for exceptions."""
        self.note(error)
        if self.raise_errors:
            raise error
