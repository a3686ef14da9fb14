"""Sensors: what people wrote, reviewed or retrieved becomes runs, and is observed.

Belongs here: which runs each asks for, observations. Not here: reading the outbox (storage/outbox.py), what ticks share (ticks.py), choosing stretches
(feedback/statistics.py), sensors that look after the installation itself (alerts.py, crashed.py, erasure.py, operating.py, redelivery.py).
"""

import datetime as dt

import dagster as dg

from learning_pipelines import run_tags
from learning_pipelines.defs import jobs
from learning_pipelines.defs.cursors import Cursor, key_of, position_of
from learning_pipelines.defs.queued import not_waiting
from learning_pipelines.defs.ticks import asked, unless_away
from learning_pipelines.feedback.statistics import stretches
from learning_pipelines.storage import outbox, overview, pairs_ready, reviewed
from learning_pipelines.storage.outbox import News
from learning_pipelines.storage.store import Store

ENTRIES_PER_TICK = 10_000
STRETCHES_PER_TICK = 3
AGENTS_PER_TICK = 200


@dg.sensor(
    name="new_feedback",
    jobs=[jobs.examples_refresh, jobs.weights_refresh, jobs.metrics_refresh],
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for the examples of agents, the weights of raters, and the metrics of days, that got executions, feedback or demonstrations.",
)
@unless_away
def new_feedback(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]):
    cursor = Cursor.read(context.cursor)
    with store.pipeline() as connection:
        news = outbox.news(connection, cursor.position if cursor else None, ENTRIES_PER_TICK, store.settings.timezone)
    waiting = cursor.days if cursor and cursor.cluster == news.position.cluster else []
    if not news.entries and not waiting:
        return dg.SkipReason("Nothing new.")
    requests, days = _requests(waiting, news, store.settings.start_date)
    named = [f"{agent.organization}/{agent.agent}" for agent in news.agents if agent.agent is not None]
    return asked(context, not_waiting(context.instance, requests), Cursor.at(news.position, days), named)


def _requests(waiting: list[str], news: News, start: dt.date) -> tuple[list[dg.RunRequest], list[str]]:
    """One run per agent that is behind, a few over stretches of days; days wait in the cursor until the backlog is read.

    A backlog of exactly one tick's size is known to be read only by the next tick, which finds nothing but the waiting days.
    """
    key = key_of(news.position)
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
            tags={run_tags.RANGE_START: part.first.isoformat(), run_tags.RANGE_END: part.last.isoformat(), run_tags.CHANGED_ONLY: "true"},
        )
        for part in stretches((day for day in changed if day >= start), STRETCHES_PER_TICK)
    ]
    return requests, []


@dg.sensor(
    name="reviewed_examples",
    jobs=[jobs.dataset_refresh],
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for the dataset of agents whose examples were approved, withdrawn or edited after approval.",
)
@unless_away
def reviewed_examples(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]):
    with store.pipeline() as connection:
        behind = reviewed.agents_reviewed(connection, position_of(context.cursor), AGENTS_PER_TICK)
    if not behind:
        return dg.SkipReason("No review that a dataset has not taken up.")
    requests = [dg.RunRequest(run_key=f"{key_of(one.position)}/{one.partition}", partition_key=one.partition) for one in behind]
    wanted = not_waiting(context.instance, requests, "dataset_refresh")
    return asked(context, wanted, Cursor.at(behind[-1].position), [one.partition for one in behind])


@dg.sensor(
    name="new_documents",
    jobs=[jobs.index_refresh],
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for the index of agents that got documents; shared documents are taken up by the first agent of their organization.",
)
@unless_away
def new_documents(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]):
    with store.pipeline() as connection:
        news = outbox.documents_news(connection, position_of(context.cursor), ENTRIES_PER_TICK)
    if not news.entries:
        return dg.SkipReason("Nothing new.")
    requests = [dg.RunRequest(run_key=f"{key_of(news.position)}/{partition}", partition_key=partition) for partition in news.partitions]
    wanted = not_waiting(context.instance, requests, "index_refresh")
    nobodys = None if news.partitions else "New documents, but of no organization with an agent: searching takes them up."
    return asked(context, wanted, Cursor.at(news.position), news.partitions, nobodys)


@dg.sensor(
    name="training_pairs_ready",
    jobs=[jobs.pairs_refresh, jobs.rag_training],
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for the training pairs of agents that got retrieval feedback, and for training where enough new pairs came together in 7 days.",
)
@unless_away
def training_pairs_ready(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]):
    with store.pipeline() as connection:
        behind, after, entries = pairs_ready.behind(connection, position_of(context.cursor), ENTRIES_PER_TICK)
        ready = pairs_ready.ready(connection, store.settings.rag_min_pairs)
    requests = [dg.RunRequest(run_key=f"{key_of(after)}/{partition}/pairs", job_name="pairs_refresh", partition_key=partition) for partition in behind]
    requests = not_waiting(context.instance, requests)
    # Once a day for the same agent at most, whatever comes of the run: the daily schedule comes anyway.
    requests += [
        dg.RunRequest(run_key=f"{one.partition}/{one.newest:%Y-%m-%d}/training", job_name="rag_training", partition_key=one.partition) for one in ready
    ]
    if not requests and not entries:
        return dg.SkipReason("No new retrieval feedback, and no agent with enough new pairs.")
    return asked(context, requests, Cursor.at(after), [*behind, *(one.partition for one in ready)])


@dg.sensor(
    name="stored_rows",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Observes what people write: rows stored, and when the last one came.",
)
@unless_away
def stored_rows(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]):
    with store.pipeline() as connection:
        newest = overview.newest_entry(connection)
        if newest is None or newest == context.cursor:
            return dg.SkipReason("Nothing was stored since the last look.")
        seen = overview.written(connection)
    return dg.SensorResult(asset_events=observations(seen), cursor=newest)


def observations(seen: list[overview.Written]) -> list[dg.AssetObservation]:
    """Runless observations of the external assets: counts and times, no text."""
    return [dg.AssetObservation(table.name, metadata=_seen(table)) for table in seen]


def _seen(table: overview.Written) -> dict[str, object]:
    last = {} if table.last is None else {"last_row": dg.MetadataValue.timestamp(table.last)}
    return {"dagster/row_count": table.rows, **last, **table.counts}
