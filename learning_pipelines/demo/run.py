"""The demo: load the service desk, materialize everything through Dagster, say in ten lines what happened.

Belongs here: the demo's steps and its summary. Not here: the rows (rows/), how anything is computed.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from learning_pipelines.defs import ports, processes, serve
from learning_pipelines.defs.runner import launch
from learning_pipelines.demo.improve import change_lines, improve
from learning_pipelines.demo.retrain import retrain, retrieval_lines
from learning_pipelines.demo.rows_made import answer_shares, write_rows
from learning_pipelines.demo.sign_in import operator_key
from learning_pipelines.errors import LearningError
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.feedback.importing import ImportResult, import_file, window_now
from learning_pipelines.feedback.statistics import stretches
from learning_pipelines.llm_budget import Budget
from learning_pipelines.reports.files import report_path
from learning_pipelines.reports.week import format_week, last_closed_week, week_numbers
from learning_pipelines.settings import Settings
from learning_pipelines.storage import overview, tenants
from learning_pipelines.storage.llm_cache import DatabaseCache, record_usage
from learning_pipelines.storage.store import Store

ORGANIZATION = "demo"
CALLS = 2_000
"""More questions than this no demo asks."""
THRESHOLDS = {"min_executions": 5, "min_examples": 8, "optimization_calls": 160, "rag_min_pairs": 20, "rag_training_seconds": 30,
              "report_items": 20}  # fmt: skip
"""Lower than the defaults (50, 10, 300, 1000, 1800, 100), because a demo is small; kept in the organization's settings and printed."""
Say = Callable[[str], None]


class Output(Protocol):
    def answer(self, document: dict[str, Any], lines: Callable[[], list[str]]) -> None: ...


def run_demo(settings: Settings, output: Output, say: Say, *, keep: bool, extent: str = "usual") -> int:
    """Runs the demo; with `keep` the UI stays up until Ctrl-C. Raises LearningError naming the step that failed."""
    begun = time.monotonic()
    if keep:
        processes.require_free_ports(settings)
    with serve.stop_signals() as stopping, serve.installation(settings) as database:
        store = Store(settings, database)
        files = _make_rows(store, say, extent)
        imported = _load(store, files, say)
        runs = _materialize(store, say)
        retrieval = retrain(store, ORGANIZATION, say)
        changes = improve(store, ORGANIZATION, say)
        document = {**_summary(store, files, imported, runs), "retrieval": retrieval, "changes": changes}
        url = f"http://{ports.HOST}:{settings.dagster_port}"
        output.answer({**document, "seconds": round(time.monotonic() - begun, 1), "url": url if keep else None}, lambda: _lines(document, begun, url, keep))
        if keep:
            _keep(store, stopping, say)
    return 0


def _make_rows(store: Store, say: Say, extent: str) -> dict[str, Path]:
    """The import files; what the model was asked for them is kept and accounted for in the demo's organization."""
    budget = Budget(calls=CALLS)
    with store.pipeline() as connection:
        tenant = tenants.ensure_organization(connection, organization_id(ORGANIZATION), ORGANIZATION)
        try:
            return write_rows(store.settings, say, extent, DatabaseCache(connection, tenant), budget)
        finally:
            record_usage(connection, tenant, f"demo {extent}", budget.take_usage())


def _load(store: Store, files: dict[str, Path], say: Say) -> dict[str, ImportResult]:
    window = window_now(store.settings.start_date, store.settings.zone)
    results = {}
    with store.pipeline() as connection:
        for kind, path in files.items():
            results[kind] = import_file(connection, ORGANIZATION, kind, path, window=window)
            say(f"  {kind}: {results[kind].read} rows read, {results[kind].imported} new")
            if results[kind].rejected or results[kind].broken:
                raise LearningError(f"The demo's {kind} do not import: {results[kind].errors[:1]}.", "The installation is damaged: install it again.")
        tenants.keep_settings(connection, ORGANIZATION, THRESHOLDS)
    return results


def _materialize(store: Store, say: Say) -> list[dict[str, Any]]:
    """Every asset through Dagster: observations, examples and datasets per agent, metrics of the days with rows, reports of the weeks."""
    with store.pipeline() as connection:
        agents = tenants.agents(connection, ORGANIZATION)
        days = overview.days_with_rows(connection, ORGANIZATION, store.settings.timezone)
    monday = last_closed_week(dt.datetime.now(dt.UTC), store.settings.zone)
    first = min(days, default=monday)
    weeks = [monday - dt.timedelta(weeks=back) for back in (1, 0) if monday - dt.timedelta(weeks=back - 1) > first]
    requests: list[dict[str, Any]] = [{"job": "observe"}]
    requests += [{"job": "dataset_refresh", "partition": agent.partition, "agent": agent.agent, "organization": ORGANIZATION} for agent in agents]
    requests += [{"job": "metrics_refresh", "first": part.first.isoformat(), "last": part.last.isoformat()} for part in stretches(days, 3)]
    requests += [{"job": "learning_report", "partition": week.isoformat()} for week in weeks]
    say(f"Materializing through Dagster: {len(requests)} steps …")
    answers = []
    for answer in launch(store, requests):
        say(f"  {answer['job']} {answer['partition'] or ''}: {answer['status']}")
        answers.append(answer)
        if answer["status"] == "failure":
            raise LearningError(f"{answer['job']} failed: {answer['reason']}.", "`learning-pipelines verify` checks the installation.")
    return answers


def _summary(store: Store, files: dict[str, Path], imported: dict[str, ImportResult], runs: list[dict[str, Any]]) -> dict[str, Any]:
    zone = store.settings.zone
    with store.pipeline() as connection:
        counts = overview.table_counts(connection, ORGANIZATION)
        examples = overview.examples_by_type(connection, ORGANIZATION)
        datasets = overview.newest_datasets(connection, ORGANIZATION)
        week = week_numbers(connection, ORGANIZATION, last_closed_week(dt.datetime.now(dt.UTC), zone), zone)
    return {
        "organization": ORGANIZATION,
        "thresholds": THRESHOLDS,
        "model": answer_shares(files),
        "imported": {kind: result.imported for kind, result in imported.items()},
        "counts": counts,
        "examples": examples,
        "datasets": datasets,
        "week": week,
        "report": report_path(store.settings.artifacts, ORGANIZATION, week["week"]),
        "runs": runs,
    }


def _lines(document: dict[str, Any], begun: float, url: str, keep: bool) -> list[str]:
    counts, week, examples = document["counts"], document["week"], document["examples"]
    rating = "no rating" if week["avg_rating"] is None else f"{week['avg_rating']:.2f} stars (n = {week['ratings']})"
    rate = "no execution" if week["feedback_rate"] is None else f"{100 * week['feedback_rate']:.0f} % of executions got feedback"
    versions = ", ".join(f"{one['name']} v{one['version']} ({one['train']}/{one['validation']}/{one['test']})" for one in document["datasets"])
    shares = ", ".join(f"{agent} {right}/{asked} right" for agent, (right, asked) in document["model"].items())
    lowered = ", ".join(f"{name} {value}" for name, value in document["thresholds"].items())
    return [
        "",
        f"The service desk of Hartwell & Lindqvist (an invented firm), organization {ORGANIZATION}. The answers are the embedded model's own;",
        "the users who rate them are SIMULATED, with stated noise (learning_pipelines/demo/simulate.py).",
        f"  in        {counts['agents']} agents, {counts['agent_executions']} executions, {counts['agent_feedback']} simulated feedback rows, "
        f"{counts['documents']} articles, {counts['demonstrations']} demonstrations",
        f"  model     {shares}",
        f"  examples  {sum(examples.values())}: " + ", ".join(f"{count} {kind}" for kind, count in examples.items()),
        f"  datasets  train/validation/test of approved examples: {versions}",
        f"  week      {week['week']}: {week['executions']} executions, {rate}, {rating}, {week['corrections']} corrections",
        f"  report    {document['report'].removeprefix('file://')}",
        *retrieval_lines(document["retrieval"]),
        *change_lines(document["changes"]),
        f"  runs      {sum(run['status'] == 'success' for run in document['runs'])} through Dagster, all green, {time.monotonic() - begun:.0f} s in all",
        f"  lowered   thresholds of this organization: {lowered}",
        f"  Dagster   {url}" if keep else "  serve     feedback service and Dagster UI: `learning-pipelines up`",
        f"  next      learning-pipelines report --organization {ORGANIZATION} --week {format_week(dt.date.fromisoformat(week['starts']))}",
    ]


def _keep(store: Store, stopping: Callable[[], bool], say: Say) -> None:
    say("Starting the feedback service and the Dagster UI …")
    key = operator_key(store, ORGANIZATION)

    def ready(urls: str) -> None:
        say(f"Running. {urls}   (Ctrl-C stops everything)")
        say(f"Sign in to the pages with this run's key (role admin): {key}")

    serve.run_services(store.settings, store.database, stopping, say, ready)
