"""Keeps the encoder processes that searches use from going to sleep between requests.

Belongs here: the thread. Not here: which encoders were used (retrieval/loaded.py), the encoder process (encoder_server.py): it ends after 15 idle minutes
and takes seconds to start.
"""

from __future__ import annotations

import logging
import threading

from learning_pipelines.errors import LearningError
from learning_pipelines.retrieval.loaded import Loaded

EVERY_SECONDS, WANTED_SECONDS = 300.0, 3600.0
"""How often the encoders hear from us, and how long after the last search."""
log = logging.getLogger("learning_pipelines.api")


class Warm:
    """`start` once; `stop` ends it."""

    def __init__(self, loaded: Loaded, every: float = EVERY_SECONDS) -> None:
        self._loaded, self._every = loaded, every
        self._stopping = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="learning-search-warm", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            try:
                self._loaded.stay_ready(WANTED_SECONDS)
            except (LearningError, RuntimeError) as error:  # RuntimeError: closed by another thread in mid-request
                if not self._stopping.is_set():
                    log.warning("an encoder cannot be kept ready: %s", error)
