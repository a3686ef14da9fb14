"""Group behavior: the policy of an agent, learnt from its experts' demonstrations, tested on those that were held out, proposed if it is better.

Belongs here: the asset and check of the policy. Not here: learning, test and proposal themselves (behavior/), patterns, playbooks and corrections (their own
modules), approval (acceptance/).

The parts of the job do not wait for each other (parts.py): where the policy has too few demonstrations, playbooks may have enough.
"""

from collections.abc import Iterator

import dagster as dg

from learning_pipelines.acceptance import meeting
from learning_pipelines.acceptance.beginning import NotNow
from learning_pipelines.acceptance.gate import Verdict
from learning_pipelines.behavior import policy_gate, preparation
from learning_pipelines.behavior.demonstration_splits import refresh_splits
from learning_pipelines.behavior.demonstrations import load
from learning_pipelines.behavior.loaded import Policies
from learning_pipelines.behavior.policy.fitting import fit
from learning_pipelines.behavior.preparation import PART, TRAINING, Prepared
from learning_pipelines.defs.behavior_metadata import learnt_metadata, shown_metadata, tested_metadata
from learning_pipelines.defs.chain import failing
from learning_pipelines.defs.common import OWNERS, agent_behind, bring_up_to_date, check, encoder_at_need, table_columns
from learning_pipelines.defs.freshness import LEARNT
from learning_pipelines.defs.links import pages_of, proposal_metadata
from learning_pipelines.defs.partitions import agents
from learning_pipelines.defs.parts import left_out, worked
from learning_pipelines.encoder import Encoder
from learning_pipelines.storage import training_runs
from learning_pipelines.storage.behavior_demonstrations import not_counting
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.training_runs import TrainingRun

BUSY = "another run is learning this agent's behaviour now"
NAME = "policy"
CHECK = "policy_beats_frequency_baseline"
LEARNING_SHARE, TEST_SHARE = 0.8, 0.9


def demonstrations_up_to_date(context: dg.AssetExecutionContext, connection: Connection, store: Store, agent: AgentRef) -> None:
    """Examples, then the sides of the split: what every part of the job reads. Without anything new it costs two questions."""
    bring_up_to_date(context, store, [agent])
    decided = refresh_splits(connection, agent, store.settings)
    if decided is not None:
        context.log.info(f"{len(decided.rows)} demonstrations given a side of the split, {decided.clusters} clusters in all.")


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
    check_specs=[
        dg.AssetCheckSpec(
            CHECK, asset=PART, description="What is proposed does better than always naming the most frequent action; stored scores give its verdict again."
        )
    ],
)
def behavior_policy(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """What an expert would do next: learnt from demonstrations, chosen on validation, tested against what serves, proposed if it is better."""
    with store.pipeline() as connection, encoder_at_need(store.settings) as opener:
        agent = agent_behind(connection, context.partition_key)
        if not training_runs.lock_agent(connection, agent, TRAINING):
            left_out(context, NAME, BUSY)
            yield check(CHECK, 0, "nothing was tested")
            return
        demonstrations_up_to_date(context, connection, store, agent)
        if (retired := policy_gate.retire_withdrawn(connection, agent, store.settings)) is not None:
            worked(context, NAME, retired)
        prepared = preparation.prepare(connection, agent, store.settings, lambda: opener().name)
        if isinstance(prepared, NotNow):
            left_out(context, NAME, prepared.reason)
            yield check(CHECK, 0, "nothing was tested")
            return
        run = training_runs.begin(connection, agent, TRAINING, dataset_id=None, config=prepared.config, dagster_run_id=context.run.run_id)
        training_runs.cancel_others(connection, agent, TRAINING, PART, run.id)
        with failing(context, connection, agent, run):
            metadata, failures = _learnt_and_tested(context, connection, store, agent, prepared, run, opener())
        yield dg.MaterializeResult(
            metadata={
                "dagster/table_name": "learning.behavior_versions",
                "dagster/column_schema": table_columns(connection, "behavior_versions"),
                "training_run": str(run.id), "resumed": run.resumed, "seed": prepared.seed,
                **{f"{split}_demonstrations": count for split, count in prepared.counts.items()},
                **shown_metadata(load(connection, agent), not_counting(connection, agent)), **metadata,
            },
            check_results=[check(CHECK, failures, "fields of the verdict that its scores do not give, and proposals that do no better than frequency")],
        )  # fmt: skip


def _learnt_and_tested(
    context: dg.AssetExecutionContext, connection: Connection, store: Store, agent: AgentRef, prepared: Prepared, run: TrainingRun, encoder: Encoder
) -> tuple[dict[str, object], int]:
    """Metadata, and what the check counts."""

    def told(share: float, line: str) -> None:
        training_runs.progressed(connection, agent, run.id, LEARNING_SHARE * share)
        context.log.info(f"{share:.0%} {line}")

    settings = store.settings
    policy = fit(prepared.shown["train"], prepared.shown["validation"], encoder, prepared.seed, told)
    artifact = policy_gate.store(settings, agent, policy, run.id)
    training_runs.progressed(connection, agent, run.id, TEST_SHARE)
    tested = policy_gate.put_to_test(
        connection, agent, settings, Policies(settings, lambda: encoder), prepared, policy, artifact, run.id
    )  # fmt: skip
    metadata = learnt_metadata(policy.learnt.metrics) | tested_metadata(tested)
    better = tested.verdict is Verdict.BETTER
    if better:
        version, proposal = policy_gate.propose(
            connection, agent, settings, prepared, policy, artifact, tested, run.id, context.run.run_id
        )  # fmt: skip
        metadata |= proposal_metadata(version, proposal, prepared.incumbent, pages_of(store))
        worked(context, NAME)
    else:
        training_runs.completed(connection, agent, run.id, best={}, requires_review=False)
        policy_gate.forget(connection, agent, settings, artifact)
        worked(context, NAME, f"{tested.verdict.value}: {tested.reason}")
    stored = meeting.test_of(connection, agent, preparation.KIND, run.id)
    assert stored is not None
    return metadata, len(meeting.audit(connection, agent, stored)) + (better and not policy_gate.beats_frequency(stored))
