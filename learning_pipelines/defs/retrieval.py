"""Group retrieval: what is learnt from feedback about search results, how it meets the index that serves, what is proposed.

Belongs here: assets and checks of learning and testing. Not here: learning, test and proposal themselves (retrieval/), chunks and vectors (knowledge.py),
judged queries and pairs (pairs.py), approval (acceptance/).

The three are one chain: each takes up the training run that the one before began or resumed in the same Dagster run, and a run that is skipped
leaves the later ones out.
"""

from collections.abc import Callable, Iterator, Mapping

import dagster as dg

from learning_pipelines.acceptance import meeting
from learning_pipelines.acceptance.beginning import NotNow
from learning_pipelines.acceptance.gate import Verdict
from learning_pipelines.defs.chain import failing, taken_up, without_proposal
from learning_pipelines.defs.common import OWNERS, agent_behind, bring_up_to_date, check, skip, table_columns
from learning_pipelines.defs.freshness import LEARNT
from learning_pipelines.defs.links import pages_of, proposal_metadata
from learning_pipelines.defs.partitions import agents
from learning_pipelines.defs.retrieval_metadata import Points, choice_metadata, gate_metadata, offers_metadata, tested_metadata
from learning_pipelines.retrieval import gate, preparation, training
from learning_pipelines.retrieval.encoders import Encoders
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.judged import judged_queries
from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.retrieval.preparation import TRAINING, Prepared
from learning_pipelines.retrieval.task import Learner
from learning_pipelines.retrieval.training import Offer
from learning_pipelines.retrieval.training_data import training_of
from learning_pipelines.storage import retrieval_runs, training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.training_runs import TrainingRun

BUSY = "another run is training this agent's retrieval now"
LEARNING_SHARE, TEST_SHARE = 0.9, 0.95


@dg.asset(
    partitions_def=agents,
    deps=["embedding_training_pairs", "chunk_embeddings"],
    group_name="retrieval",
    kinds={"postgres", "lightgbm"},
    owners=OWNERS,
    freshness_policy=LEARNT,
    pool="training",
    code_version="1",
    output_required=False,
)
def reranker(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> Iterator[dg.MaterializeResult]:
    """How what is found is ordered, learnt on the vectors that are there: the mixture of both legs, a matrix on the query side, a re-ranker."""
    with store.pipeline() as connection, Encoders(store.settings) as encoders:
        agent = agent_behind(connection, context.partition_key)
        if not training_runs.lock_agent(connection, agent, TRAINING):
            skip(context, BUSY)
            return
        bring_up_to_date(context, store, [agent])
        done = preparation.bring_up_to_date(connection, agent, store.settings, encoders, lambda share, line, numbers: context.log.info(line))
        for table, numbers in done.items():
            context.log_event(dg.AssetMaterialization(table, partition=agent.partition, metadata=numbers))
        prepared = preparation.prepare(connection, agent, store.settings)
        if isinstance(prepared, NotNow):
            skip(context, prepared.reason)
            return
        run = training_runs.begin(connection, agent, TRAINING, dataset_id=None, config=prepared.config, dagster_run_id=context.run.run_id)
        training.forget_others(connection, agent, store.settings, run.id)
        points = Points()
        offers = _learnt(context, connection, store, agent, prepared, run, encoders, training.cheap_learners(), points)
        yield dg.MaterializeResult(
            metadata={
                "training_run": str(run.id), "resumed": run.resumed, "new_pairs": prepared.new_pairs, "seed": prepared.seed,
                **{f"{split}_queries": count for split, count in prepared.queries.items()}, **offers_metadata(offers, points),
            }
        )  # fmt: skip


@dg.asset(
    partitions_def=agents,
    deps=[reranker],
    group_name="retrieval",
    kinds={"postgres", "pytorch"},
    owners=OWNERS,
    freshness_policy=LEARNT,
    pool="training",
    code_version="1",
    output_required=False,
)
def retrained_embeddings(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> Iterator[dg.MaterializeResult]:
    """Encoders learnt from the pairs, a static one and a fine-tuned one, as far as the time allows; their vectors beside those that serve."""
    with store.pipeline() as connection, Encoders(store.settings) as encoders:
        agent = agent_behind(connection, context.partition_key)
        taken_up = _taken_up(context, connection, agent)
        if taken_up is None:
            return
        run, prepared = taken_up
        points = Points()
        offers = _learnt(context, connection, store, agent, prepared, run, encoders, training.encoder_learners(store.settings), points)
        told = _progress(context, connection, agent, run, points)
        with failing(context, connection, agent, run):
            for offer in (one for one in offers if one.config is not None):
                training.version_of(connection, agent, store.settings, prepared, run.id, offer, encoders, told)
        yield dg.MaterializeResult(
            metadata={
                "dagster/table_name": "learning.encoder_versions",
                "dagster/column_schema": table_columns(connection, "encoder_versions"),
                "training_run": str(run.id), **offers_metadata(offers, points),
            }
        )  # fmt: skip


@dg.asset(
    partitions_def=agents,
    deps=[retrained_embeddings],
    group_name="retrieval",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=LEARNT,
    pool="training",
    code_version="1",
    output_required=False,
    check_specs=[
        dg.AssetCheckSpec(
            "beats_serving_index", asset="retrieval_evaluation", description="The stored scores of the test queries give the verdict and its guards again."
        )
    ],
)
def retrieval_evaluation(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """The winner on validation meets the index that serves on the test queries: verdict, guards, and a version with a proposal if it is better."""
    with store.pipeline() as connection, Encoders(store.settings) as encoders:
        agent = agent_behind(connection, context.partition_key)
        taken_up = _taken_up(context, connection, agent)
        if taken_up is None:
            yield check("beats_serving_index", 0, "nothing was tested")
            return
        run, prepared = taken_up
        with failing(context, connection, agent, run):
            metadata, failures = _tested(context, connection, store, agent, prepared, run, encoders)
        history = retrieval_runs.history(connection, agent)
        training.clean_up(connection, agent, store.settings, run.id)
        yield dg.MaterializeResult(
            metadata={
                "dagster/table_name": "learning.acceptance_tests",
                "dagster/column_schema": table_columns(connection, "acceptance_tests"),
                **metadata, **tested_metadata(history),
            },
            check_results=[check("beats_serving_index", failures, "numbers of the verdict that its stored scores do not give")],
        )  # fmt: skip


def _tested(
    context: dg.AssetExecutionContext, connection: Connection, store: Store, agent: AgentRef, prepared: Prepared, run: TrainingRun, encoders: Encoders
) -> tuple[dict[str, object], int]:
    """Metadata of choice, test and proposal, and how many fields of the stored verdict its scores do not give."""
    settings, loaded = store.settings, Loaded(store.settings, encoders.of)
    told = _progress(context, connection, agent, run, Points())
    contenders = [
        (offer, training.version_of(connection, agent, settings, prepared, run.id, offer, encoders, told))
        for offer in _recorded(connection, agent, run, (*training.cheap_learners(), *training.encoder_learners(settings)))
        if offer.config is not None
    ]
    if not contenders:
        without_proposal(context, connection, agent, run, f"nothing was learnt ({training.nothing(connection, agent, run.id)})")
        return {}, 0
    choice = training.choose(connection, agent, prepared, contenders, loaded, judged_queries(connection, agent, "validation"))
    numbers = choice_metadata(choice)
    if choice.offer is None or choice.offer.config is None:
        without_proposal(context, connection, agent, run, "no learnt index did better than the serving one on validation, so no test was spent on one")
        return numbers, 0
    kind = gate.kind_of(choice.offer.config, IndexConfig.from_json(prepared.serving.config))
    training_runs.progressed(connection, agent, run.id, TEST_SHARE)
    tested = gate.put_to_test(connection, agent, settings, loaded, kind, choice.version, prepared.serving, run.id)
    numbers |= gate_metadata(kind, tested)
    if tested.verdict is Verdict.BETTER:
        version, proposal = gate.propose(connection, agent, settings, kind, choice.version, prepared.serving, tested, run.id, context.run.run_id)
        numbers |= proposal_metadata(version, proposal, prepared.serving.number, pages_of(store))
    else:
        without_proposal(context, connection, agent, run, f"{tested.verdict.value}: {tested.reason}")
    stored = meeting.test_of(connection, agent, kind, run.id)
    return numbers, 0 if stored is None else len(meeting.audit(connection, agent, stored))


def _learnt(
    context: dg.AssetExecutionContext, connection: Connection, store: Store, agent: AgentRef, prepared: Prepared, run: TrainingRun, encoders: Encoders,
    learners: tuple[Learner, ...], points: Points,
) -> list[Offer]:  # fmt: skip
    folder = training.folder_of(store.settings, run.id)
    with failing(context, connection, agent, run):
        return training.learn(
            connection, agent, store.settings, prepared, run.id, learners,
            lambda: training_of(connection, agent, prepared.serving, encoders, folder, prepared.seed), _progress(context, connection, agent, run, points),
        )  # fmt: skip


def _recorded(connection: Connection, agent: AgentRef, run: TrainingRun, learners: tuple[Learner, ...]) -> list[Offer]:
    found = retrieval_runs.measured(connection, agent, run.id)
    names = [learner.name for learner in learners if training.OFFER + learner.name in found]
    return [Offer.from_json(name, found[training.OFFER + name]) for name in names]


def _taken_up(context: dg.AssetExecutionContext, connection: Connection, agent: AgentRef) -> tuple[TrainingRun, Prepared] | None:
    found = taken_up(context, connection, agent, TRAINING, "reranker", BUSY)
    if found is None:
        return None
    run, config = found
    with failing(context, connection, agent, run):
        return run, preparation.restore(connection, agent, config)


def _progress(
    context: dg.AssetExecutionContext, connection: Connection, agent: AgentRef, run: TrainingRun, points: Points
) -> Callable[[float, str, Mapping[str, float]], None]:
    """Progress to Dagster's log, to the training run, and as points for the plots."""

    def told(share: float, line: str, numbers: Mapping[str, float]) -> None:
        training_runs.progressed(connection, agent, run.id, LEARNING_SHARE * share)
        points.add(numbers)
        context.log.info(f"{share:.0%} {line}" + "".join(f", {name} {value:.4g}" for name, value in numbers.items()))

    return told
