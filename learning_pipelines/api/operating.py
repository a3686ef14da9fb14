"""How the installation stands, as Prometheus reads it: what the scheduler measured, and this process's own queues.

Belongs here: names, help texts, reading the one row at most once in a while. Not here: measuring (defs/operating.py, storage/operating.py), counting
requests (middleware.py).

/metrics has no login, so nothing here names an organization, an agent or a person: totals only. A scrape costs at most one look at one row; while the
database is away it answers all the same, with what was read last, and says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import psycopg
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from learning_pipelines.errors import Unavailable
from learning_pipelines.storage import operating
from learning_pipelines.storage.operating import Sample
from learning_pipelines.storage.sessions import Acting, Sessions

if TYPE_CHECKING:
    from learning_pipelines.api.exposures import Exposures

CACHED_SECONDS = 10.0
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "executions": ("Executions of the last days, today included.", ("days",)),
    "feedback": ("Feedback in force of the last days, today included.", ("days",)),
    "feedback_rate": ("Share of executions that got feedback (0 to 1).", ("days",)),
    "satisfaction": ("Share of thumbs that are up (0 to 1).", ("days",)),
    "rating_mean": ("Mean of the stars (1 to 5).", ("days",)),
    "correction_rate": ("Share of feedback that corrects (0 to 1).", ("days",)),
    "llm_requests": ("Requests to language models by learning itself.", ("days",)),
    "llm_cost_usd": ("What they cost in US dollars, where the price is known.", ("days",)),
    "llm_unpriced_requests": ("Requests whose price is not known.", ("days",)),
    "annotation_queue": ("Examples that wait for experts, counted up to 100,000.", ()),
    "annotation_oldest_seconds": ("Age of the oldest of them.", ()),
    "outbox_entries": ("Entries that have not become examples yet, counted up to 10,000 per agent.", ()),
    "outbox_oldest_seconds": ("Age of the oldest of them.", ()),
    "sensor_lag_entries": ("Outbox entries that a sensor has not come to yet, counted up to 100,000.", ("sensor",)),
    "sensor_last_tick_timestamp_seconds": ("When a sensor ticked last, in seconds since 1970.", ("sensor",)),
    "runs_queued": ("Runs in Dagster's queue.", ()),
    "runs_running": ("Runs of Dagster that run.", ()),
    "runs_failed": ("Runs that failed within the last 24 hours.", ("job",)),
    "checks_failed": ("Asset checks whose last evaluation failed, without verdicts on candidates.", ()),
    "assets_stale": ("Scheduled assets that were not made when they were due.", ()),
    "report_deliveries_failed": ("Weekly reports of the last two weeks that did not arrive, or of which nobody knows.", ()),
}
log = logging.getLogger("learning_pipelines.api")


class Operating(Collector):
    """One per worker. `refresh` in a thread before the registry is written out; `collect` itself waits for nothing."""

    def __init__(self, sessions: Sessions, exposures: Exposures, clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions, self._exposures, self._clock = sessions, exposures, clock
        self._lock = threading.Lock()
        self._looked: float | None = None
        self._samples: list[Sample] = []
        self._measured: float | None = None
        self._up = False

    def refresh(self) -> None:
        """Reads the row, unless somebody did within CACHED_SECONDS or does now. Raises nothing that the database does."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            now = self._clock()
            if self._looked is not None and now - self._looked < CACHED_SECONDS:
                return
            self._looked = now
            self._read(now)
        finally:
            self._lock.release()

    def _read(self, now: float) -> None:
        try:
            with self._sessions.acting(Acting(operating.NOBODY)) as connection:
                found = operating.read(connection)
        except (Unavailable, psycopg.Error) as error:
            self._up = False
            log.warning("metrics are not read from the database: %s", type(error).__name__)
            return
        self._up = True
        if found is not None:
            self._samples, self._measured = found[0], now - found[1]

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("learning_database_up", "Whether the database answered the last look (0 or 1).", float(self._up))
        yield GaugeMetricFamily("learning_exposures_waiting", "Exposures to experiments that this process has not written yet.", self._exposures.waiting)
        yield CounterMetricFamily("learning_exposures_missed", "Exposures that found this process's queue full.", self._exposures.missed)
        if self._measured is None:
            return
        yield GaugeMetricFamily("learning_numbers_age_seconds", "Age of the numbers that the scheduler measures.", self._clock() - self._measured)
        for name, (help_text, labels) in GAUGES.items():
            family = GaugeMetricFamily(f"learning_{name}", help_text, labels=labels)
            for one in self._samples:
                if one.name == name:
                    family.add_metric([one.labels.get(label, "") for label in labels], one.value)
            if family.samples:
                yield family
