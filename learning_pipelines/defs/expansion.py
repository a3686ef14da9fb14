"""Group retrieval: a query expansion and an edit of chunks, each proposed alone where it beats what serves.

Belongs here: the two assets and their checks. Not here: what is learnt and tested (retrieval/refinement.py), the index as a whole (retrieval.py).

They come last in the job: what the index as a whole learnt may serve by then (LEARNING_AUTO_APPROVE), and they are measured against what serves. Most runs
end without a proposal; the metadata says why.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from learning_pipelines.acceptance import meeting
from learning_pipelines.defs.common import OWNERS, agent_behind, check
from learning_pipelines.defs.freshness import LEARNT
from learning_pipelines.defs.links import Pages, pages_of, proposal_metadata
from learning_pipelines.defs.partitions import agents
from learning_pipelines.defs.retrieval import BUSY
from learning_pipelines.defs.retrieval_metadata import gate_metadata
from learning_pipelines.retrieval import preparation
from learning_pipelines.retrieval.encoders import Encoders
from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.retrieval.preparation import TRAINING
from learning_pipelines.retrieval.refinement import Kind, Refined, Run, refine
from learning_pipelines.storage import training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.tenants import AgentRef

CHECK = "refinement_beats_serving_index"
SAID = "The stored scores of the test queries give the verdict and its guards again."


@dg.asset(
    partitions_def=agents,
    deps=["retrieval_evaluation"],
    group_name="retrieval",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=LEARNT,
    pool="training",
    code_version="1",
    output_required=False,
    check_specs=[
        dg.AssetCheckSpec(CHECK, asset="query_expansions", description=SAID)
    ],
)
def query_expansions(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Terms that helpful chunks hold where a question's own are missing, learnt from train, and whether adding them beats what serves."""
    yield from _refined(context, store, "expansion")


@dg.asset(
    partitions_def=agents,
    deps=[query_expansions],
    group_name="retrieval",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=LEARNT,
    pool="training",
    code_version="1",
    output_required=False,
    check_specs=[dg.AssetCheckSpec(CHECK, asset="chunk_edits", description=SAID)],
)
def chunk_edits(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Neighbouring chunks that help together, merged, and long ones of two topics, split, and whether that beats what serves."""
    yield from _refined(context, store, "chunk_edit")


def _refined(context: dg.AssetExecutionContext, store: Store, kind: Kind) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    with store.pipeline() as connection, Encoders(store.settings) as encoders, tempfile.TemporaryDirectory(prefix="learning-") as folder:
        agent = agent_behind(connection, context.partition_key)
        if not training_runs.lock_agent(connection, agent, TRAINING):
            context.log.warning(f"Left out: {BUSY}")
            yield check(CHECK, 0, "nothing was tested")
            return
        preparation.bring_up_to_date(connection, agent, store.settings, encoders)
        loaded = Loaded(store.settings, encoders.of)
        run = Run(connection, agent, store.settings, encoders, loaded, Path(folder), lambda share, line, _: context.log.info(line), context.run.run_id)
        found = refine(run, kind)
        if found.reason:
            context.log.info(f"No proposal: {found.reason}")
        yield dg.MaterializeResult(
            metadata=_metadata(kind, found, pages_of(store)),
            check_results=[check(CHECK, _differing(connection, agent, kind, found), "numbers of the verdict that its stored scores do not give")],
        )


def _metadata(kind: Kind, found: Refined, pages: Pages) -> dict[str, Any]:
    """Numbers, ids and the reason; no term and no text."""
    made: dict[str, Any] = {"dagster/row_count": int(found.proposal is not None), "dagster/table_name": "learning.index_versions", **found.numbers}
    if found.training_run is not None:
        made["training_run"] = str(found.training_run)
    if found.tested is not None:
        made |= {name: value for name, value in gate_metadata(kind, found.tested).items() if name != "dagster/row_count"}
    if found.proposal is not None and found.version is not None:
        made |= proposal_metadata(found.version, found.proposal, found.against, pages)
    return made | {"no_proposal": found.reason} if found.reason else made


def _differing(connection: Connection, agent: AgentRef, kind: Kind, found: Refined) -> int:
    stored = None if found.tested is None or found.training_run is None else meeting.test_of(connection, agent, kind, found.training_run)
    return 0 if stored is None else len(meeting.audit(connection, agent, stored))
