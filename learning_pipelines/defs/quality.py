"""Group examples: how good each example is, and how far those who rate agree.

Belongs here: assets and checks of quality and agreement. Not here: the measures (examples/), duplicates (curation.py), datasets (examples.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from learning_pipelines.defs.common import OWNERS, agent_behind, check, table_columns
from learning_pipelines.defs.freshness import WHEN_WRITTEN
from learning_pipelines.defs.links import pages_of
from learning_pipelines.defs.partitions import agents
from learning_pipelines.examples import plots
from learning_pipelines.examples.agreement_refresh import ALL, EXPERTS, AgreementRefreshed, refresh_agreement
from learning_pipelines.examples.calibration import MIN_VERDICTS, Calibration
from learning_pipelines.examples.quality_refresh import Scored, refresh_quality
from learning_pipelines.storage import quality
from learning_pipelines.storage.store import Store

LEAST_ALPHA = 2 / 3
"""Krippendorff's lower limit for tentative conclusions (Content Analysis, 3rd ed. 2013, p. 325)."""
Metadata = dict[str, Any]


@dg.asset(
    partitions_def=agents,
    deps=["learning_examples", "expert_annotations", "agent_feedback", "rater_weights"],
    group_name="examples",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=WHEN_WRITTEN,
    pool="postgres_write",
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec("experts_agree", asset="annotation_agreement", description="Krippendorff's alpha of the experts' verdicts is 2/3 or more."),
    ],
)
def annotation_agreement(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """How far experts, users and the judge agree, per week; how reliable each expert is; disagreements go to adjudication."""
    with store.pipeline() as connection:
        agent = agent_behind(connection, context.partition_key)
        found = refresh_agreement(connection, agent, store.settings.timezone)
        queue = pages_of(store).queue(agent.agent)
        alpha = next(row["alpha"] for row in found.rows if (row["pair"], row["period"]) == (EXPERTS, ALL))
        return dg.MaterializeResult(
            metadata={
                "dagster/table_name": "learning.annotation_agreement",
                "dagster/column_schema": table_columns(connection, "annotation_agreement"),
                **agreement_metadata(found), "page": queue,
            },
            check_results=[
                check("experts_agree", int(alpha is not None and alpha < LEAST_ALPHA), "alpha of the experts below 2/3", dg.AssetCheckSeverity.WARN, queue)
            ],
        )


@dg.asset(
    partitions_def=agents,
    deps=["learning_examples", annotation_agreement, "expert_annotations", "agent_feedback", "rater_weights"],
    group_name="examples",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=WHEN_WRITTEN,
    pool="postgres_write",
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec("scores_stand", asset="example_quality", description="Scores lie in 0..1, rest on evidence and are what the examples carry."),
        dg.AssetCheckSpec("more_evidence_never_lowers", asset="example_quality", description="Of two scores, the one with more evidence is not lower."),
        dg.AssetCheckSpec("calibration_helps", asset="example_quality", description="On held-out verdicts, scores beat always saying the overall share."),
    ],
)
def example_quality(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """How likely an expert approves each example, from experts' scores, rater weights, feedback and agreement; only what changed is scored."""
    with store.pipeline() as connection:
        agent = agent_behind(connection, context.partition_key)
        done = refresh_quality(connection, agent)
        bins, total, without = quality.distribution(connection, agent)
        found = quality.check_scores(connection, agent)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": total,
                "dagster/table_name": "learning.example_quality",
                "dagster/column_schema": table_columns(connection, "example_quality"),
                **quality_metadata(done, bins, without),
            },
            check_results=[
                check("scores_stand", found.strayed, "scores that are not what their example carries"),
                check("more_evidence_never_lowers", found.falling, "scores lower than one with less evidence"),
                check("calibration_helps", int(not _helps(done.calibration)), "no better than the base rate", dg.AssetCheckSeverity.WARN),
            ],
        )


def agreement_metadata(found: AgreementRefreshed) -> Metadata:
    """Numbers of agreement and their course over the weeks; what is undefined says why."""
    whole = {row["pair"]: row for row in found.rows if row["period"] == ALL}
    weeks = sorted({row["period"] for row in found.rows} - {ALL})
    by_week = {(row["pair"], row["period"]): row["alpha"] for row in found.rows}
    metadata: Metadata = {"experts": found.experts, "adjudications_waiting": found.adjudicated.waiting, "adjudications_opened": found.adjudicated.opened}
    for pair, row in whole.items():
        metadata[f"units {pair}"] = row["units"]
        metadata[f"alpha {pair}"] = row["undefined"] if row["alpha"] is None else round(row["alpha"], 4)
        if row["alpha_low"] is not None:
            metadata[f"alpha {pair} 95 %"] = f"{row['alpha_low']:.3f} to {row['alpha_high']:.3f}"
        if row["kappa"] is not None:
            metadata[f"kappa {pair}"] = round(row["kappa"], 4)
    if weeks:
        series = {pair: [by_week.get((pair, week)) for week in weeks] for pair in whole if any((pair, week) in by_week for week in weeks)}
        metadata["agreement over time"] = dg.MetadataValue.md(plots.markdown(plots.lines(series, weeks, -1.0, 1.0), "alpha per week"))
    return metadata


def quality_metadata(done: Scored, bins: Sequence[int], without: int) -> Metadata:
    """Numbers of the scores and of the calibration behind them, with plots."""
    numbers: Mapping[str, Any] = done.calibration.numbers
    kept = {f"held_out_{name}": round(numbers[name], 4) for name in ("brier", "brier_base", "brier_prior", "ece", "auc") if numbers.get(name) is not None}
    metadata: Metadata = {
        "scored": done.scored, "changed": done.changed, "without_evidence": without,
        "calibration": done.calibration.method, "calibration_version": done.version, "held_out_verdicts": done.calibration.verdicts, **kept,
        "score distribution": dg.MetadataValue.md(plots.markdown(plots.histogram(bins), "examples by score")),
    }  # fmt: skip
    if "reason" in numbers:
        metadata["calibration_reason"] = numbers["reason"]
    if numbers.get("bins"):
        metadata["reliability"] = dg.MetadataValue.md(plots.markdown(plots.reliability(numbers["bins"]), "approved share by score, held out"))
    return metadata


def _helps(calibration: Calibration) -> bool:
    """True while there are too few verdicts to tell."""
    numbers = calibration.numbers
    return calibration.verdicts < MIN_VERDICTS or float(numbers["brier"]) <= float(numbers["brier_base"])
