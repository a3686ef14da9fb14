"""Group experiments: the decision about every running experiment, hour by hour, and what follows from it at once.

Belongs here: the asset, its checks and metadata. Not here: rules and statistics (experiments/), the values they rest on (experiments.py).

The checks stop nothing. Whatever promotes (a rollout's last step, `experiments conclude`) decides from stored evidence in its own transaction.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from learning_pipelines import run_tags
from learning_pipelines.defs.common import OWNERS, check, skip, table_columns
from learning_pipelines.defs.freshness import LEARNT
from learning_pipelines.defs.links import Pages, pages_of
from learning_pipelines.examples.plots import markdown
from learning_pipelines.experiments.hour import Hour, look_at_all
from learning_pipelines.experiments.looking import Look
from learning_pipelines.experiments.plots import MOST_POINTS, sequential
from learning_pipelines.storage import experiment_decisions as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store

RATIO, GUARDRAILS = "no_sample_ratio_mismatch", "guardrails_hold"
MOST_PLOTS = 20
"""Drawn in one run: experiments that saw something new, those that ended first."""
NONE = "no experiment is running"


@dg.asset(
    deps=["experiment_metrics"],
    group_name="experiments",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=LEARNT,
    pool="postgres_write",
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec(RATIO, asset="experiment_decisions", description="The arms of every running experiment have the shares that they should have."),
        dg.AssetCheckSpec(GUARDRAILS, asset="experiment_decisions", description="No running experiment harms its primary metric or a guardrail."),
    ],
)
def experiment_decisions(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> Iterator[dg.MaterializeResult]:
    """adopt_treatment, keep_control, inconclusive or rollback for every running experiment, with the evidence; harm ends one, rollouts take their steps."""
    with store.pipeline() as connection:
        done = look_at_all(connection, store.settings, context.run.tags.get(run_tags.ORGANIZATION))
        if not done.looks and not done.failed:
            skip(context, NONE)
        pages = pages_of(store)
        yield dg.MaterializeResult(
            metadata={
                "dagster/table_name": "learning.experiment_decisions", "dagster/column_schema": table_columns(connection, "experiment_decisions"),
                **decisions_metadata(done, pages), **_plots(connection, done),
            },
            check_results=[
                check(RATIO, len(done.mismatched), "experiments whose arms do not have their shares: nothing of them is adopted", page=pages.experiments()),
                check(
                    GUARDRAILS, len(done.harmed), "experiments in which a guardrail or the primary metric showed harm: it was taken back",
                    page=pages.experiments(),
                ),
            ],
        )  # fmt: skip
    if done.failed:
        failed = ", ".join(f"{experiment} ({kind})" for experiment, kind in done.failed.items())
        raise dg.Failure(f"{len(done.failed)} of {len(done.failed) + len(done.looks)} experiments have no verdict of this hour: {failed}.", allow_retries=False)


def decisions_metadata(done: Hour, pages: Pages) -> dict[str, Any]:
    """Counts per decision, and a line per experiment: ids and numbers, no text of a user."""
    lines = ["| experiment | decision | variant | n | difference | low | high |", "| --- | --- | --- | --- | --- | --- | --- |"]
    lines += [line for one in done.looks for line in _lines(one, pages)]
    return {
        "experiments": len(done.looks) + len(done.failed), "failed": len(done.failed), "without_news": sum(not one.new for one in done.looks),
        "ended": sum(one.status != "running" for one in done.looks), "promoted": sum(one.served is not None for one in done.looks),
        **{f"decision: {decision}": count for decision, count in done.decisions.items()},
        "page": pages.experiments(), "by_experiment": dg.MetadataValue.md("\n".join(lines)),
    }  # fmt: skip


def _lines(one: Look, pages: Pages) -> Iterator[str]:
    named = f"[{one.experiment.id}]({pages.experiment(one.experiment.id)})"
    for variant, found in one.outcome.numbers.items():
        shown = [f"{value:+.4g}" if isinstance(value, float) else "–" for value in (found["difference"], found["low"], found["high"])]
        yield f"| {named} | {one.outcome.decision} | {variant} | {found['n_control']} + {found['n_treatment']} | {' | '.join(shown)} |"


def _plots(connection: Connection, done: Hour) -> dict[str, Any]:
    """A sequential plot per experiment and treatment."""
    found: dict[str, Any] = {}
    changed = sorted((one for one in done.looks if one.new), key=lambda one: one.status == "running")
    for one in changed[:MOST_PLOTS]:
        outcomes = storage.outcomes(connection, one.agent.organization_id, one.experiment.id, MOST_POINTS)
        for arm in one.experiment.treatments:
            if (svg := sequential(outcomes, arm.variant)) is not None:
                found[f"{one.experiment.id}: {arm.variant}"] = dg.MetadataValue.md(markdown(svg, one.experiment.primary_metric))
    return found if len(changed) <= MOST_PLOTS else found | {"plots_left_out": len(changed) - MOST_PLOTS}
