"""A run of several assets that do not wait for each other, of which each may have nothing to do: what the run as a whole then is.

Belongs here: the tags of such a run, leaving a part out. Not here: a chain, where a skipped asset leaves the later ones out (chain.py, common.skip), what
assets do.

The run is skipped if every part was left out, else a success; its reason names the parts that were left out or ended without a proposal, and why.
"""

import dagster as dg

from learning_pipelines import run_tags
from learning_pipelines.acceptance.beginning import DISABLED
from learning_pipelines.storage import proposals
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

_BETWEEN = "; "


def left_out(context: dg.AssetExecutionContext, part: str, reason: str) -> None:
    """This part has nothing to do now, which is no failure."""
    tags = _tags(context)
    new = {run_tags.REASON: _with(tags.get(run_tags.REASON), f"{part}: {reason}")}
    if run_tags.WORKED not in tags:
        new[run_tags.STATUS] = "skipped"
    context.instance.add_run_tags(context.run.run_id, new)
    context.log.warning(f"Left out {part}: {reason}")


def may_learn(context: dg.AssetExecutionContext, connection: Connection, agent: AgentRef, part: str) -> bool:
    """Whether learning is on for the agent; where it is off, this part is left out."""
    if proposals.may_learn(connection, agent):
        return True
    left_out(context, part, DISABLED)
    return False


def worked(context: dg.AssetExecutionContext, part: str, reason: str | None = None) -> None:
    """This part did its work; `reason`: what else is to be said, such as why it proposes nothing."""
    tags = _tags(context)
    new = {run_tags.WORKED: "true", run_tags.STATUS: "success"}
    if reason is not None:
        new[run_tags.REASON] = _with(tags.get(run_tags.REASON), f"{part}: {reason}")
        context.log.info(f"{part}: {reason}")
    context.instance.add_run_tags(context.run.run_id, new)


def _tags(context: dg.AssetExecutionContext) -> dict[str, str]:
    run = context.instance.get_run_by_id(context.run.run_id)
    assert run is not None
    return dict(run.tags)


def _with(so_far: str | None, said: str) -> str:
    """A retried step says the same again: once is enough."""
    known = so_far.split(_BETWEEN) if so_far else []
    return _BETWEEN.join(known if said in known else [*known, said])
