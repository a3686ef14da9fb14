"""Group behavior: corrections as judged and clustered, what was learnt of them and comes back, and rules made of them.

Belongs here: assets and checks of corrections. Not here: judging and clustering (behavior/corrections/), SQL (storage/), approval (acceptance/).

Names of clusters are user text: metadata holds ids and counts only, `learning-pipelines corrections` shows names.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from learning_pipelines.acceptance import meeting
from learning_pipelines.behavior.corrections.refresh import Refreshed, refresh_corrections
from learning_pipelines.behavior.corrections.rules_gate import KIND, Tested
from learning_pipelines.behavior.corrections.rules_making import Made, make_all
from learning_pipelines.defs.behavior import BUSY
from learning_pipelines.defs.common import OWNERS, agent_behind, bring_up_to_date, check, encoder_at_need, table_columns
from learning_pipelines.defs.freshness import LEARNT
from learning_pipelines.defs.links import Pages, pages_of
from learning_pipelines.defs.partitions import agents
from learning_pipelines.defs.parts import left_out, may_learn, worked
from learning_pipelines.storage import acceptance, corrections, learnt_corrections, training_runs
from learning_pipelines.storage.correction_rows import ClusterRow
from learning_pipelines.storage.store import Store

RECURS, HELP = "learnt_corrections_do_not_recur", "rules_help_on_held_out_corrections"
WEEKS_SHOWN = 8


@dg.asset(
    partitions_def=agents,
    deps=["learning_examples", "expert_annotations"],
    group_name="behavior",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=LEARNT,
    pool="training",
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec(
            RECURS, asset="correction_patterns", description="Nothing that was learnt is corrected again more often than its earlier rate explains."
        )
    ],
)
def correction_patterns(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """What people put right again and again: every correction judged by meaning and facts, clustered, and counted by people and weeks."""
    with store.pipeline() as connection, encoder_at_need(store.settings) as opener:
        agent = agent_behind(connection, context.partition_key)
        bring_up_to_date(context, store, [agent])
        done = refresh_corrections(connection, agent, opener)
        rows = corrections.listed(connection, agent, timezone=store.settings.timezone)
        recurring = [cluster for partition, cluster, _ in learnt_corrections.recurring(connection, agent.organization) if partition == agent.partition]
        columns = table_columns(connection, "correction_clusters")
    if rows:
        worked(context, "corrections")
    else:
        left_out(context, "corrections", "nobody corrected an answer of this agent yet")
    for cluster in done.recurring:
        context.log.warning(f"What cluster {cluster} corrects was learnt and is corrected again.")
    counted = "clusters that recur after they were learnt: `learning-pipelines corrections` lists them"
    return dg.MaterializeResult(
        metadata={
            "dagster/table_name": "learning.correction_clusters", "dagster/column_schema": columns,
            **patterns_metadata(done, rows, dt.datetime.now(ZoneInfo(store.settings.timezone)).date()),
        },
        check_results=[check(RECURS, len(recurring), counted, dg.AssetCheckSeverity.WARN)],
    )  # fmt: skip


def patterns_metadata(done: Refreshed, rows: Sequence[ClusterRow], today: dt.date) -> dict[str, Any]:
    """Counts of clusters, kinds of change and of the last WEEKS_SHOWN weeks; no text of anybody."""
    kinds = Counter[str]()
    weeks = Counter[dt.date]()
    for row in rows:
        kinds.update(row.kinds)
        weeks.update(dict(row.weeks))
    monday = today - dt.timedelta(days=today.weekday())
    shown = [monday - dt.timedelta(weeks=back) for back in range(WEEKS_SHOWN)]
    return {
        "dagster/row_count": len(rows), "corrections": sum(row.corrections for row in rows), "new_corrections": done.corrections,
        "new_clusters": done.opened, "several_people": sum(row.people > 1 for row in rows), "learnt": sum(row.learnt_at is not None for row in rows),
        "recurring": sum(row.state == "recurring" for row in rows), "newly_recurring": len(done.recurring),
        **{f"kind: {kind}": count for kind, count in sorted(kinds.items())}, **{f"week: {week.isoformat()}": weeks[week] for week in shown},
    }  # fmt: skip


@dg.asset(
    partitions_def=agents,
    deps=[correction_patterns],
    group_name="behavior",
    kinds={"postgres", "llm"},
    owners=OWNERS,
    freshness_policy=LEARNT,
    pool="llm",
    code_version="1",
    output_required=False,
    check_specs=[
        dg.AssetCheckSpec(HELP, asset="correction_rules", description="Every proposed rule did better on held-out corrections; stored scores say so again.")
    ],
)
def correction_rules(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Rules in plain language out of what people correct, measured on held-out corrections with and without each, proposed where it helps and harms nothing."""
    with store.pipeline() as connection, encoder_at_need(store.settings) as opener:
        agent = agent_behind(connection, context.partition_key)
        if not training_runs.lock_agent(connection, agent, "behavior_learning"):
            left_out(context, "rules", BUSY)
            yield check(HELP, 0, "nothing was tested")
            return
        if not may_learn(context, connection, agent, "rules"):
            yield check(HELP, 0, "nothing was tested")
            return
        made = make_all(connection, agent, store.settings, context.run.run_id, opener, progress=lambda share, line: context.log.info(f"{share:.0%} {line}"))
        if made.training_run is None:
            left_out(context, "rules", made.reason)
            yield check(HELP, 0, "nothing was tested")
            return
        worked(context, "rules", None if made.proposed else _why_none(made.tested))
        tests = [one for one in acceptance.tests(connection, agent, KIND) if one.training_run_id == made.training_run and one.verdict is not None]
        wrong = sum(len(meeting.audit(connection, agent, one)) for one in tests) + sum(one.numbers["after"] <= one.numbers["before"] for one in made.proposed)
        yield dg.MaterializeResult(
            metadata={"dagster/table_name": "learning.behavior_versions", **rules_metadata(made, pages_of(store))},
            check_results=[check(HELP, wrong, "fields of verdicts that their scores do not give, and proposals that do no better")],
        )


def rules_metadata(made: Made, pages: Pages) -> dict[str, Any]:
    """Counts of what came of rules, and scores before and after; no text of anybody."""
    states = Counter(one.state for one in made.tested)
    tested = [one for one in made.tested if one.numbers]
    means = {side: sum(one.numbers[side] for one in tested) / len(tested) for side in ("before", "after")} if tested else {}
    return {
        "training_run": str(made.training_run), "dagster/row_count": len(made.tested), "clusters_without_a_rule": made.thin,
        "answers_asked_for": sum(one.calls for one in made.tested), **{f"rules: {state}": count for state, count in sorted(states.items())},
        **{f"held-out corrections, score {side}": mean for side, mean in means.items()},
        **{f"review version {one.version}": pages.proposal(one.proposal) for one in made.proposed if one.proposal is not None},
    }  # fmt: skip


def _why_none(tested: Sequence[Tested]) -> str:
    """The reasons, each once; ids and numbers only."""
    return " · ".join(dict.fromkeys(f"{one.state} ({one.reason.rstrip('.')})" for one in tested))
