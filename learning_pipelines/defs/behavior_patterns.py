"""Group behavior: what demonstrations have in common, and the playbooks made of it.

Belongs here: the assets behavior_patterns and playbooks and the check playbook_has_evidence. Not here: mining, making, testing (behavior/), the policy.

Names of types and task types come from the application, and may hold anything a person typed: metadata shows those that look like identifiers, the
others by number.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from learning_pipelines.behavior.patterns import finding, flow
from learning_pipelines.behavior.patterns.anti import LEVEL
from learning_pipelines.behavior.patterns.finding import Group
from learning_pipelines.behavior.playbooks import evidence, making
from learning_pipelines.behavior.playbooks.gate import Tested
from learning_pipelines.behavior.playbooks.making import FEWEST, Made
from learning_pipelines.defs.behavior import BUSY, demonstrations_up_to_date
from learning_pipelines.defs.common import OWNERS, agent_behind, check, table_columns
from learning_pipelines.defs.freshness import LEARNT
from learning_pipelines.defs.links import Pages, pages_of
from learning_pipelines.defs.partitions import agents
from learning_pipelines.defs.parts import left_out, may_learn, worked
from learning_pipelines.storage import training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.tenants import AgentRef

CHECK = "playbook_has_evidence"
PATTERNS, PLAYBOOKS = "patterns", "playbooks"
MOST_SHOWN = 20
"""Task types whose numbers and flows stand in metadata."""


@dg.asset(
    partitions_def=agents,
    deps=["demonstrations", "learning_examples"],
    group_name="behavior",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=LEARNT,
    pool="training",
    code_version="1",
    output_required=False,
)
def behavior_patterns(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> Iterator[dg.MaterializeResult]:
    """Per task type: frequent sequences, what follows what, and what failures do that successes do not; with support, confidence and a flow chart."""
    with store.pipeline() as connection:
        agent = agent_behind(connection, context.partition_key)
        if not may_learn(context, connection, agent, PATTERNS):
            return
        demonstrations_up_to_date(context, connection, store, agent)
        groups = finding.refresh(connection, agent, context.run.run_id)
        if groups:
            worked(context, PATTERNS)
        else:
            left_out(context, PATTERNS, "no demonstration of this agent teaches: import some (kind demonstrations)")
        yield dg.MaterializeResult(metadata={
            "dagster/row_count": sum(1 for group in groups for _ in group.rows()), "dagster/table_name": "learning.behavior_patterns",
            "dagster/column_schema": table_columns(connection, "behavior_patterns"), **patterns_metadata(groups),
        })  # fmt: skip


@dg.asset(
    partitions_def=agents,
    deps=[behavior_patterns],
    group_name="behavior",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=LEARNT,
    pool="training",
    code_version="1",
    output_required=False,
    check_specs=[
        dg.AssetCheckSpec(
            CHECK, asset="playbooks", description="Every demonstration that a step of a serving or proposed playbook names exists, teaches and holds the step."
        )
    ],
)
def playbooks(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Per task type how it is done, in plain language: steps, branches, arguments, what to avoid, with evidence; proposed if it beats what serves."""
    with store.pipeline() as connection:
        agent = agent_behind(connection, context.partition_key)
        if not may_learn(context, connection, agent, PLAYBOOKS):
            yield _evidence(connection, agent)
            return
        if not training_runs.lock_agent(connection, agent, "behavior_learning"):
            left_out(context, PLAYBOOKS, BUSY)
            yield _evidence(connection, agent)
            return
        made = making.make_all(connection, agent, store.settings, context.run.run_id, lambda share, line: context.log.info(f"{share:.0%} {line}"))
        if made.kept.retired:
            worked(context, PLAYBOOKS, f"{len(made.kept.retired)} taken out of service: learnt from demonstrations of experts whose right was withdrawn")
        if made.training_run is None:
            left_out(context, PLAYBOOKS, f"no task type has {FEWEST} demonstrations that teach")
        else:
            worked(context, PLAYBOOKS, None if made.proposed else _reasons(made.tested))
        yield dg.MaterializeResult(
            metadata={
                "dagster/table_name": "learning.behavior_versions", "dagster/column_schema": table_columns(connection, "behavior_versions"),
                **playbooks_metadata(made, pages_of(store)),
            },
            check_results=[_evidence(connection, agent)],
        )  # fmt: skip


def patterns_metadata(groups: Sequence[Group]) -> dict[str, Any]:
    """Counts in all and per task type, and a flow chart of each; nobody's words."""
    shown, names = groups[:MOST_SHOWN], task_types([group.task_type for group in groups])
    head = ("task type", "demonstrations", "failures", "patterns", "highest support", "transitions", "anti-patterns", "cut")
    lines = [f"| {' | '.join(head)} |", "|---|---:|---:|---:|---:|---:|---:|---|"]
    for group in shown:
        sure = sum(one.q <= LEVEL for one in group.anti)
        support = max((one.support.value for one in group.mined.patterns), default=0.0)
        lines.append(
            f"| {names[group.task_type]} | {len(group.succeeded)} | {len(group.failed)} | {len(group.mined.patterns)} | {support:.0%} "
            f"| {len(group.transitions)} | {sure} and {len(group.anti) - sure} to watch | {f'above {group.mined.complete_above}' if group.mined.cut else ''} |"
        )
    found: dict[str, Any] = {
        "task_types": len(groups), "demonstrations": sum(len(group.succeeded) for group in groups), "failures": sum(len(group.failed) for group in groups),
        "patterns": sum(len(group.mined.patterns) for group in groups), "transitions": sum(len(group.transitions) for group in groups),
        "anti_patterns": sum(one.q <= LEVEL for group in groups for one in group.anti), "per_task_type": dg.MetadataValue.md("\n".join(lines)),
    }  # fmt: skip
    for group in shown:
        if group.transitions:
            found[f"flow: {names[group.task_type]}"] = dg.MetadataValue.md(f"```mermaid\n{_chart(group)}```")
    return found


def playbooks_metadata(made: Made, pages: Pages) -> dict[str, Any]:
    """What came of each, in numbers."""
    names = task_types([one.task_type for one in made.tested])
    lines = ["| task type | steps | held out | before | playbook | p | what came of it |", "|---|---:|---:|---:|---:|---:|---|"]
    for playbook, one in list(zip(made.playbooks, made.tested, strict=True))[:MOST_SHOWN]:
        numbers = ["–"] * 4
        if one.evidence is not None:
            numbers = [str(one.evidence.n), f"{one.evidence.incumbent_mean:.3f}", f"{one.evidence.candidate_mean:.3f}", f"{one.evidence.p_value:.2g}"]
        lines.append(f"| {names[one.task_type]} | {len(playbook.steps) - 1} | {' | '.join(numbers)} | {one.state}{f': {one.reason}' if one.reason else ''} |")
    found: dict[str, Any] = {
        "dagster/row_count": len(made.proposed), "playbooks": len(made.playbooks), "restated": len(made.kept.restated), "retired": len(made.kept.retired),
         "task_types_with_too_few": made.thin,
        "steps": sum(len(playbook.steps) for playbook in made.playbooks), "contested_steps": sum(
            step.contested is not None for playbook in made.playbooks for step in playbook.steps),
        **({"training_run": str(made.training_run)} if made.training_run is not None else {}),
        **({"per_task_type": dg.MetadataValue.md("\n".join(lines))} if made.tested else {}),
    }  # fmt: skip
    for one in made.proposed[:MOST_SHOWN]:
        found[f"review version {one.version}"] = pages.proposal(one.proposal)
    return found


def task_types(names: Sequence[str]) -> dict[str, str]:
    """How task types are called where nobody's words may stand."""
    others = [name for name in names if name and not flow.IDENTIFIER.fullmatch(name)]
    return {name: f"task type {others.index(name) + 1}" if name in others else name or "(none)" for name in names}


def _chart(group: Group) -> str:
    names = flow.anonymous([name for one in group.transitions for name in (one.before, one.after)])
    return flow.flowchart(group.transitions, lambda name: names.get(name, name))


def _reasons(tested: Sequence[Tested]) -> str:
    """Why nothing is proposed: of one task type its reason, of several how many ended how."""
    if len(tested) == 1:
        return tested[0].reason
    counts = {state: sum(one.state == state for one in tested) for state in dict.fromkeys(one.state for one in tested)}
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _evidence(connection: Connection, agent: AgentRef) -> dg.AssetCheckResult:
    looked_at, found = evidence.unbacked(connection, agent)
    versions = sorted({one.version for one in found})
    which = f" (of version {', '.join(map(str, versions))}: learn anew and approve, or roll back)" if versions else ""
    return check(CHECK, len(found), f"of {looked_at} steps those that name demonstrations which no longer teach{which}")
