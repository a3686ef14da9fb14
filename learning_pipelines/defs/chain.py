"""A training run that goes through several assets of one Dagster run: taken up by each, failed with its cause, or ended without a proposal.

Belongs here: what prompts.py and retrieval.py share of that. Not here: what is learnt and tested, the rows of training runs (storage/training_runs.py).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from learning_pipelines import run_tags
from learning_pipelines.defs.common import skip
from learning_pipelines.errors import LearningError
from learning_pipelines.storage import proposals, training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.training_runs import TrainingRun

OFF = "learning was switched off for this agent while the run was going; `learning-pipelines enable` turns it on again"


def taken_up(
    context: dg.AssetExecutionContext, connection: Connection, agent: AgentRef, training_type: str, first: str, busy: str
) -> tuple[TrainingRun, dict[str, Any]] | None:
    """The training run that this Dagster run began or resumed in the asset `first`, with its configuration, under the agent's lock until the
    connection ends.

    None, and the run is skipped: as `busy` where another one was started meanwhile and goes on with it, as OFF where learning was switched off since.
    """
    alone = training_runs.lock_agent(connection, agent, training_type)
    found = training_runs.of_dagster_run(connection, agent, context.run.run_id)
    selected = context.run.asset_selection
    if found is None and selected and dg.AssetKey(first) not in selected:
        raise dg.Failure(f"There is no training run to go on with: materialize {first} in the same run.", allow_retries=False)
    if found is None or not alone:
        skip(context, busy)
        return None
    if not proposals.may_learn(connection, agent):
        training_runs.failed(connection, agent, found[0].id, OFF)  # the next run goes on with it
        skip(context, OFF)
        return None
    return found


@contextmanager
def failing(context: dg.AssetExecutionContext, connection: Connection, agent: AgentRef, run: TrainingRun) -> Iterator[None]:
    """What fails is kept with the training run, which the next run of the job resumes. What serves stays."""
    error = "It ended early."
    try:
        yield
        error = ""
    except LearningError as cause:
        error = str(cause)
        raise
    finally:
        if error:
            training_runs.failed(connection, agent, run.id, error)
            context.log.error(f"Training run {run.id} stopped, what serves stays; run the job again to resume it: {error}")


def without_proposal(context: dg.AssetExecutionContext, connection: Connection, agent: AgentRef, run: TrainingRun, reason: str) -> None:
    """The run did its work and found nothing to propose: a success with a reason."""
    training_runs.completed(connection, agent, run.id, best={}, requires_review=False)
    context.instance.add_run_tags(context.run.run_id, {run_tags.REASON: reason})
    context.log.info(f"No proposal: {reason}")
