"""Sensors: new feedback becomes runs; what people wrote is observed.

Belongs here: cursor, run requests, observations. Not here: reading the outbox (storage/outbox.py), choosing stretches (feedback/statistics.py).
"""

import datetime as dt
import json
from dataclasses import asdict, dataclass, field

import dagster as dg

from learning_pipelines.defs import jobs
from learning_pipelines.defs.partitions import agents
from learning_pipelines.defs.queued import FIRST_TAG, LAST_TAG, not_waiting
from learning_pipelines.errors import LearningError
from learning_pipelines.feedback.statistics import stretches
from learning_pipelines.storage import outbox, overview, pairs_ready, reviewed
from learning_pipelines.storage.outbox import News, Position
from learning_pipelines.storage.store import Store

ENTRIES_PER_TICK = 10_000
STRETCHES_PER_TICK = 3
AGENTS_PER_TICK = 200


@dataclass(frozen=True)
class Cursor:
    """Where the sensor stands in the outbox of one cluster, and the changed days it has not requested yet (while a backlog lasts)."""

    cluster: str
    xid: int
    id: int
    days: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, text: str | None) -> "Cursor | None":
        return cls(**json.loads(text)) if text else None

    @property
    def position(self) -> Position:
        return Position(self.cluster, self.xid, self.id)


@dg.sensor(
    name="new_feedback",
    jobs=[jobs.examples_refresh, jobs.weights_refresh, jobs.metrics_refresh],
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for the examples of agents, the weights of raters, and the metrics of days, that got executions, feedback or demonstrations.",
)
def new_feedback(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]):
    cursor = Cursor.read(context.cursor)
    try:
        with store.pipeline() as connection:
            news = outbox.news(connection, cursor.position if cursor else None, ENTRIES_PER_TICK, store.settings.timezone)
    except LearningError as error:
        return dg.SkipReason(str(error))  # the cursor stays: nothing is lost while the database is away
    waiting = cursor.days if cursor and cursor.cluster == news.position.cluster else []
    if not news.entries and not waiting:
        return dg.SkipReason("Nothing new.")
    requests, days = _requests(waiting, news, store.settings.start_date)
    after = Cursor(news.position.cluster, news.position.xid, news.position.id, days)
    return dg.SensorResult(
        run_requests=not_waiting(context.instance, requests),
        cursor=json.dumps(asdict(after)),
        dynamic_partitions_requests=[agents.build_add_request(found)] if (found := _new_agents(context.instance, news)) else [],
    )


def _requests(waiting: list[str], news: News, start: dt.date) -> tuple[list[dg.RunRequest], list[str]]:
    """One run per agent that is behind, a few over stretches of days; days wait in the cursor until the backlog is read.

    A backlog of exactly one tick's size is known to be read only by the next tick, which finds nothing but the waiting days.
    """
    key = f"{news.position.cluster}/{news.position.xid}/{news.position.id}"
    requests = [
        dg.RunRequest(run_key=f"{key}/{agent.organization}/{agent.agent}", job_name="examples_refresh", partition_key=f"{agent.organization}/{agent.agent}")
        for agent in news.agents
        if agent.behind
    ]
    if any("feedback" in agent.kinds for agent in news.agents):
        # Weights that move come back as entries of their own, which ask for the days they concern.
        requests.append(dg.RunRequest(run_key=f"{key}/weights", job_name="weights_refresh"))
    changed = {dt.date.fromisoformat(day) for day in waiting}.union(*(agent.days for agent in news.agents))
    if news.full:
        return requests, sorted(day.isoformat() for day in changed)
    requests += [
        dg.RunRequest(
            run_key=f"{key}/days/{part.first}",
            job_name="metrics_refresh",
            tags={FIRST_TAG: part.first.isoformat(), LAST_TAG: part.last.isoformat()},
        )
        for part in stretches((day for day in changed if day >= start), STRETCHES_PER_TICK)
    ]
    return requests, []


def _new_agents(instance: dg.DagsterInstance, news: News) -> list[str]:
    named = [f"{agent.organization}/{agent.agent}" for agent in news.agents if agent.agent is not None]
    return [key for key in named if not instance.has_dynamic_partition(agents.name, key)]


@dg.sensor(
    name="reviewed_examples",
    jobs=[jobs.dataset_refresh],
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for the dataset of agents whose examples were approved, withdrawn or edited after approval.",
)
def reviewed_examples(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]):
    cursor = Cursor.read(context.cursor)
    try:
        with store.pipeline() as connection:
            behind = reviewed.agents_reviewed(connection, cursor.position if cursor else None, AGENTS_PER_TICK)
    except LearningError as error:
        return dg.SkipReason(str(error))
    if not behind:
        return dg.SkipReason("No review that a dataset has not taken up.")
    last = behind[-1].position
    requests = [
        dg.RunRequest(run_key=f"{one.position.cluster}/{one.position.xid}/{one.position.id}/{one.partition}", partition_key=one.partition) for one in behind
    ]
    new = [one.partition for one in behind if not context.instance.has_dynamic_partition(agents.name, one.partition)]
    return dg.SensorResult(
        run_requests=not_waiting(context.instance, requests, "dataset_refresh"),
        cursor=json.dumps(asdict(Cursor(last.cluster, last.xid, last.id))),
        dynamic_partitions_requests=[agents.build_add_request(new)] if new else [],
    )


@dg.sensor(
    name="new_documents",
    jobs=[jobs.index_refresh],
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for the index of agents that got documents; shared documents are taken up by the first agent of their organization.",
)
def new_documents(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]):
    cursor = Cursor.read(context.cursor)
    try:
        with store.pipeline() as connection:
            news = outbox.documents_news(connection, cursor.position if cursor else None, ENTRIES_PER_TICK)
    except LearningError as error:
        return dg.SkipReason(str(error))
    if not news.entries:
        return dg.SkipReason("Nothing new.")
    after = news.position
    key = f"{after.cluster}/{after.xid}/{after.id}"
    new = [partition for partition in news.partitions if not context.instance.has_dynamic_partition(agents.name, partition)]
    requests = [dg.RunRequest(run_key=f"{key}/{partition}", partition_key=partition) for partition in news.partitions]
    return dg.SensorResult(
        run_requests=not_waiting(context.instance, requests, "index_refresh"),
        cursor=json.dumps(asdict(Cursor(after.cluster, after.xid, after.id))),
        dynamic_partitions_requests=[agents.build_add_request(new)] if new else [],
        skip_reason=None if news.partitions else "New documents, but of no organization with an agent: searching takes them up.",
    )


@dg.sensor(
    name="training_pairs_ready",
    jobs=[jobs.pairs_refresh, jobs.rag_training],
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for the training pairs of agents that got retrieval feedback, and for training where enough new pairs came together in 7 days.",
)
def training_pairs_ready(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]):
    cursor = Cursor.read(context.cursor)
    try:
        with store.pipeline() as connection:
            behind, after, entries = pairs_ready.behind(connection, cursor.position if cursor else None, ENTRIES_PER_TICK)
            ready = pairs_ready.ready(connection, store.settings.rag_min_pairs)
    except LearningError as error:
        return dg.SkipReason(str(error))
    key = f"{after.cluster}/{after.xid}/{after.id}"
    requests = [dg.RunRequest(run_key=f"{key}/{partition}/pairs", job_name="pairs_refresh", partition_key=partition) for partition in behind]
    requests = not_waiting(context.instance, requests)
    # Once a day for the same agent at most, whatever comes of the run: the daily schedule comes anyway.
    requests += [
        dg.RunRequest(run_key=f"{one.partition}/{one.newest:%Y-%m-%d}/training", job_name="rag_training", partition_key=one.partition) for one in ready
    ]
    if not requests and not entries:
        return dg.SkipReason("No new retrieval feedback, and no agent with enough new pairs.")
    named = dict.fromkeys([*behind, *(one.partition for one in ready)])
    new = [partition for partition in named if not context.instance.has_dynamic_partition(agents.name, partition)]
    return dg.SensorResult(
        run_requests=requests,
        cursor=json.dumps(asdict(Cursor(after.cluster, after.xid, after.id))),
        dynamic_partitions_requests=[agents.build_add_request(new)] if new else [],
    )


@dg.sensor(
    name="stored_rows",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Observes what people write: rows stored, and when the last one came.",
)
def stored_rows(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]):
    try:
        with store.pipeline() as connection:
            newest = overview.newest_entry(connection)
            if newest is None or newest == context.cursor:
                return dg.SkipReason("Nothing was stored since the last look.")
            seen = overview.written(connection)
    except LearningError as error:
        return dg.SkipReason(str(error))
    return dg.SensorResult(asset_events=observations(seen), cursor=newest)


def observations(seen: list[overview.Written]) -> list[dg.AssetObservation]:
    """Runless observations of the external assets: counts and times, no text."""
    return [dg.AssetObservation(table.name, metadata=_seen(table)) for table in seen]


def _seen(table: overview.Written) -> dict[str, object]:
    last = {} if table.last is None else {"last_row": dg.MetadataValue.timestamp(table.last)}
    return {"dagster/row_count": table.rows, **last, **table.counts}
