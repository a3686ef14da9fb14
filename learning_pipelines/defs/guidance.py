"""Group behavior: guidance at run time, which of what experts left behind helps when it is shown, tested against what serves, proposed if it is better.

Belongs here: the asset, its check and metadata. Not here: learning, test and proposal themselves (behavior/guidance_learning.py), approval (acceptance/),
what is shown for an input (behavior/guidance.py).

It waits for none of the other parts of its job: playbooks and rules are shown once they serve.
"""

from collections.abc import Iterator

import dagster as dg

from learning_pipelines.acceptance import meeting
from learning_pipelines.acceptance.beginning import NotNow
from learning_pipelines.acceptance.gate import Verdict
from learning_pipelines.behavior import guidance_learning as learning
from learning_pipelines.behavior.guidance_learning import Choice, Ready, Tested
from learning_pipelines.defs.chain import failing
from learning_pipelines.defs.common import OWNERS, agent_behind, bring_up_to_date, check, encoder_at_need, table_columns
from learning_pipelines.defs.freshness import LEARNT
from learning_pipelines.defs.links import pages_of
from learning_pipelines.defs.partitions import agents
from learning_pipelines.defs.parts import left_out, worked
from learning_pipelines.encoder import Encoder
from learning_pipelines.errors import BadInput
from learning_pipelines.llm import model_name
from learning_pipelines.prompts.optimization import Engine, doubted_judge, open_engine
from learning_pipelines.storage import acceptance, training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.training_runs import TrainingRun

NAME = "guidance"
BUSY = "another run is learning this agent's guidance now"
CHECK = "guidance_beats_prompt_alone"
CHOICE_SHARE, TEST_SHARE = 0.6, 0.7


@dg.asset(
    partitions_def=agents,
    deps=["learning_examples", "training_datasets"],
    group_name="behavior",
    kinds={"postgres", "llm"},
    owners=OWNERS,
    freshness_policy=LEARNT,
    pool="llm",
    code_version="1",
    output_required=False,
    check_specs=[dg.AssetCheckSpec(CHECK, asset=NAME, description="What is proposed was better in its test; the stored scores give its verdict again.")],
)
def guidance(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """What is shown to the model beside the prompt for each input: corrections, demonstrations, playbooks and rules, as far as they were seen to help."""
    with store.pipeline() as connection, encoder_at_need(store.settings) as opener:
        agent = agent_behind(connection, context.partition_key)
        if not training_runs.lock_agent(connection, agent, NAME):
            left_out(context, NAME, BUSY)
            yield check(CHECK, 0, "nothing was tested")
            return
        bring_up_to_date(context, store, [agent])
        ready = _ready(connection, store, agent)
        doubt = ready.reason if isinstance(ready, NotNow) else doubted_judge(connection, agent, store.settings, ready.prepared, opener)
        if isinstance(ready, NotNow) or doubt is not None:
            left_out(context, NAME, doubt or "")
            yield check(CHECK, 0, "nothing was tested")
            return
        run = training_runs.begin(
            connection, agent, "behavior_learning", dataset_id=ready.prepared.dataset.id, config=ready.config, dagster_run_id=context.run.run_id
        )
        training_runs.cancel_others(connection, agent, "behavior_learning", learning.KIND, run.id)
        with (
            failing(context, connection, agent, run),
            store.pipeline() as answers,
            open_engine(answers, agent, store.settings, ready.prepared, run, opener, searching=False) as engine,
        ):
            metadata, failures = _learnt(context, connection, store, agent, ready, run, engine, opener())
        yield dg.MaterializeResult(
            metadata={
                "dagster/table_name": "learning.behavior_versions",
                "dagster/column_schema": table_columns(connection, "behavior_versions"),
                "training_run": str(run.id), "resumed": run.resumed, "seed": ready.prepared.seed, "calls": ready.prepared.limits.calls,
                "prompt_version": ready.prepared.incumbent_version, **{f"available_{source}": count for source, count in ready.available.items()},
                **metadata,
            },
            check_results=[check(CHECK, failures, "fields of the verdict that its scores do not give, and proposals without the verdict better")],
        )  # fmt: skip


def _ready(connection: Connection, store: Store, agent: AgentRef) -> Ready | NotNow:
    """What can be learnt now. Without a model to ask the other parts of the job go on."""
    try:
        model = model_name(store.settings)
    except BadInput as error:
        return NotNow(f"{error.cause} {error.advice}")
    return learning.prepare(connection, agent, store.settings, model=model)


def _learnt(
    context: dg.AssetExecutionContext, connection: Connection, store: Store, agent: AgentRef, ready: Ready, run: TrainingRun, engine: Engine, encoder: Encoder
) -> tuple[dict[str, object], int]:
    """Metadata of choice, test and proposal, and what the check counts."""

    def told(share: float, line: str) -> None:
        training_runs.progressed(connection, agent, run.id, CHOICE_SHARE * share)
        context.log.info(f"{CHOICE_SHARE * share:.0%} {line}")

    choice = learning.choose_sources(connection, agent, ready, run.id, engine, encoder, told)
    metadata = _chosen(choice)
    if choice.guidance is None:
        training_runs.completed(connection, agent, run.id, best={}, requires_review=False)
        worked(context, NAME, "no way to guide did better on validation than what serves, so no test was spent")
        return metadata, 0
    training_runs.progressed(connection, agent, run.id, TEST_SHARE)
    tested = learning.put_to_test(connection, agent, store.settings, ready, run.id, choice.guidance, engine, encoder)
    metadata |= _tested(tested)
    evidence = tested.evidence
    if evidence.verdict is Verdict.BETTER:
        version, proposal = learning.propose(connection, agent, store.settings, ready, run.id, context.run.run_id, choice.guidance, tested)
        metadata |= {"version": version, "proposal": str(proposal), "review": pages_of(store).proposal(proposal), "incumbent": ready.serving.guidance}
        worked(context, NAME)
    else:
        training_runs.completed(connection, agent, run.id, best={}, requires_review=False)
        worked(context, NAME, f"{evidence.verdict.value}: {evidence.reason}")
    stored = next(test for test in reversed(acceptance.tests(connection, agent, learning.KIND)) if test.training_run_id == run.id)
    return metadata, len(meeting.audit(connection, agent, stored)) + ("version" in metadata and stored.verdict != Verdict.BETTER.value)


def _chosen(choice: Choice) -> dict[str, object]:
    lines = ["| shown | mean score | usefulness |", "| --- | --- | --- |", f"| nothing | {choice.numbers['plain']:.3f} | |"]
    if "serving" in choice.numbers:
        lines.append(f"| what serves | {choice.numbers['serving']:.3f} | |")
    for name, found in choice.numbers["ways"].items():
        worth = f"{found['usefulness']:+.3f}" if "usefulness" in found else ""
        lines.append(f"| {name} | {found['mean']:.3f} | {worth} |")
    table = dg.MarkdownMetadataValue("\n".join(lines))
    return {"validation_examples": choice.numbers["items"], "chosen": choice.numbers["chosen"] or "nothing", "validation": table}


def _tested(tested: Tested) -> dict[str, object]:
    evidence = tested.evidence
    return {
        "verdict": evidence.verdict.value, "items": evidence.n, "without": evidence.incumbent_mean, "with": evidence.candidate_mean,
        "difference": evidence.difference, "low": evidence.low, "high": evidence.high, "p_value": evidence.p_value, "alpha": evidence.alpha,
        "input_tokens_without": tested.incumbent.input_tokens / evidence.n, "input_tokens_with": tested.candidate.input_tokens / evidence.n,
    }  # fmt: skip
