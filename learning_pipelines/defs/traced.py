"""Spans of runs and their steps: which job, which run, which step, the numbers of what was made; no names of agents, no texts.

Belongs here: what Dagster's runs and steps look like as spans. Not here: how spans are made and sent (tracing.py).

Only where traces are wanted are the steps' functions wrapped, when the location is assembled; a run's span lasts as long as its store resource.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from learning_pipelines import run_tags, tracing
from learning_pipelines.errors import BadInput
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.settings import Settings

SERVICE = "learning-pipelines-runs"


def trace_steps(definitions: dg.Definitions) -> dg.Definitions:
    """Makes every step of the location a span, assets and ops of jobs."""
    nodes = [asset.node_def for asset in definitions.assets or () if isinstance(asset, dg.AssetsDefinition) and asset.is_executable]
    nodes += [node for job in definitions.jobs or () if isinstance(job, dg.JobDefinition) for node in job.graph.node_defs]
    for node in nodes:
        if isinstance(node, dg.OpDefinition) and not hasattr(node.compute_fn.decorated_fn, "traced"):
            node._compute_fn = node.compute_fn._replace(decorated_fn=_traced(node.name, node.compute_fn.decorated_fn))
    return definitions


@contextmanager
def run_span(settings: Settings, run: dg.DagsterRun | None) -> Iterator[None]:
    """A span around a run. What waits is sent at its end: its process may end next. Nothing for ticks, which have no run."""
    tracing.start(settings, SERVICE)
    if run is None or not tracing.active():
        yield
        return
    attributes = {"dagster.run_id": run.run_id, "dagster.job": run.job_name, **_organization(run.tags)}
    try:
        with tracing.span(f"run {run.job_name}", attributes, parent=tracing.incoming({tracing.TRACEPARENT: run.tags.get(run_tags.TRACEPARENT, "")})):
            yield
    finally:
        tracing.flush()


def _organization(tags: Mapping[str, str]) -> dict[str, str]:
    slug = tags.get(run_tags.ORGANIZATION) or tags.get(run_tags.PARTITION, "").partition("/")[0]
    try:
        return {"learning.organization_id": str(organization_id(slug))} if "/" in tags.get(run_tags.PARTITION, "") or run_tags.ORGANIZATION in tags else {}
    except BadInput:
        return {}


def _traced(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        with tracing.span(f"step {name}", {"dagster.step": name}) as span:
            result = function(*arguments, **named)
            _note(span, result)
            return result

    @functools.wraps(function)
    def iterated(*arguments: Any, **named: Any) -> Iterator[Any]:
        with tracing.span(f"step {name}", {"dagster.step": name}) as span:
            for event in function(*arguments, **named):
                _note(span, event)
                yield event

    chosen = iterated if inspect.isgeneratorfunction(function) else called
    chosen.traced = True
    return chosen


def _note(span: Any, event: Any) -> None:
    """The numbers of what was made; a check's verdict."""
    if isinstance(event, dg.AssetCheckResult):
        tracing.note(span, {f"dagster.check.{event.check_name}": event.passed})
    elif isinstance(event, dg.MaterializeResult):
        prefix = "" if event.asset_key is None else f"{event.asset_key.to_user_string()}."
        values = {key: getattr(value, "value", value) for key, value in (event.metadata or {}).items()}
        tracing.note(span, {f"learning.{prefix}{key}": value for key, value in values.items() if isinstance(value, int | float)})
