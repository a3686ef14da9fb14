"""How a client is set up: arguments, environment variables, defaults.

Belongs here: names, defaults, where the queue lies. Not here: using any of it.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_URL = "http://127.0.0.1:8000"
_PREFIX = "/api/learning"


@dataclass(frozen=True)
class Options:
    """What rarely needs changing. Times are in seconds."""

    batch_size: int = 100
    batch_bytes: int = 1_000_000
    max_delay: float = 0.5
    """How long a record may wait for others to travel with it."""
    max_queue_bytes: int = 256 << 20
    """Limit of one queue folder, over all processes that share it; the dead-letter file may grow as large once more."""
    segment_bytes: int = 4 << 20
    fsync_each: bool = False
    """True: a call returns only when its record would survive a loss of power (otherwise that takes up to `max_delay` longer)."""
    request_timeout: float = 30.0
    prompt_timeout: float = 3.0
    erasure_timeout: float = 60.0
    """The service itself waits for 30 s for an erasure to end."""
    prompt_ttl: float = 0.5
    """How long a prompt is used without asking whether another serves. An older one is used once more while it is renewed in the background."""
    prompt_most: float = 60.0
    """One that is older still is fetched anew before it is used: what served long ago may have been taken back or switched off since."""
    experiment_most: float = 10.0
    """A cached prompt of an experiment that is older is fetched anew before it is used: the experiment may have ended."""
    prompt_pause: float = 5.0
    """After a failed fetch, how long cached or fallback prompts are used without asking again."""
    backoff_first: float = 0.5
    backoff_most: float = 60.0
    retry_after_most: float = 3600.0
    adopt_every: float = 2.0
    exit_timeout: float = 2.0
    """How long the end of the process may be held up for sending; what is left is sent by the next process."""


@dataclass(frozen=True)
class Target:
    """Where records go, and with which key."""

    base: str
    key: str | None

    @classmethod
    def of(cls, url: str | None, key: str | None) -> Target:
        base = (url or os.environ.get("LEARNING_API_URL") or DEFAULT_URL).strip().rstrip("/")
        found = (key or os.environ.get("LEARNING_API_KEY") or "").strip()
        return cls(base if base.endswith(_PREFIX) else base + _PREFIX, found or None)

    @property
    def folder_name(self) -> str:
        """One folder per service and organization. Not per key: when a key is replaced, what waits is sent with the new one."""
        organization = re.fullmatch(r"lp_([a-z0-9-]+)_.+", self.key or "")
        identity = organization[1] if organization else hashlib.sha256((self.key or "").encode()).hexdigest()[:12]
        place = re.sub(r"[^A-Za-z0-9.-]", "_", urlsplit(self.base).netloc)[:60]
        return f"{place}-{identity}-{hashlib.sha256(f'{self.base}/{identity}'.encode()).hexdigest()[:8]}"


def queue_root(given: str | os.PathLike[str] | None) -> Path:
    """The folder of all queues: argument, LEARNING_QUEUE_DIR, or the user's state folder. It must be on a local disk."""
    if given or (given := os.environ.get("LEARNING_QUEUE_DIR")):
        return Path(given).absolute()
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state, "learning_pipelines", "queue").absolute()
