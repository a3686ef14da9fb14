"""Keeps the encoder processes that searches and suggestions use from going to sleep between requests.

Belongs here: the thread. Not here: which encoders were used (retrieval/loaded.py, behavior/loaded.py), the encoder process (encoder_server.py): it
ends after 15 idle minutes and takes seconds to start.
"""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from learning_pipelines.errors import LearningError

EVERY_SECONDS, WANTED_SECONDS = 300.0, 3600.0
"""How often the encoders hear from us, and how long after the last request."""
log = logging.getLogger("learning_pipelines.api")


class Asking(Protocol):
    """Whatever asks encoders."""

    def stay_ready(self, seconds: float) -> None:
        """Asks every encoder that was needed within so many seconds. Raises what the encoder raises."""


class Warm:
    """`start` once; `stop` ends it."""

    def __init__(self, *asking: Asking, every: float = EVERY_SECONDS) -> None:
        self._asking, self._every = asking, every
        self._stopping = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="learning-search-warm", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            for one in self._asking:
                try:
                    one.stay_ready(WANTED_SECONDS)
                except (LearningError, RuntimeError) as error:  # RuntimeError: closed by another thread in mid-request
                    if not self._stopping.is_set():
                        log.warning("an encoder cannot be kept ready: %s", error)
