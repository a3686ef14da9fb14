"""The five schedules that used to be background jobs, and those of behaviour, of fine-tuning and of the judging model.

Belongs here: cron, timezone and partitions of scheduled runs. Not here: what the jobs do.
"""

from collections.abc import Sequence, Set

import dagster as dg

from learning_pipelines.defs import jobs, maintenance
from learning_pipelines.defs.partitions import agents
from learning_pipelines.defs.ticks import unless_away
from learning_pipelines.reports.week import last_closed_week
from learning_pipelines.settings import load_settings
from learning_pipelines.storage import judging, proposals
from learning_pipelines.storage.store import Store

_settings = load_settings()
_ON = {"execution_timezone": _settings.timezone, "default_status": dg.DefaultScheduleStatus.RUNNING}


def _per_agent(context: dg.ScheduleEvaluationContext, without: Set[str] = frozenset()) -> list[dg.RunRequest] | dg.SkipReason:
    moment = context.scheduled_execution_time.isoformat()
    known = context.instance.get_dynamic_partitions(agents.name)
    keys = [key for key in known if key not in without]
    if not keys:
        return dg.SkipReason("Learning is disabled for every agent." if known else "There is no agent yet: import feedback first.")
    return [dg.RunRequest(run_key=f"{moment}/{key}", partition_key=key) for key in keys]


def _per_learning_agent(context: dg.ScheduleEvaluationContext, store: Store) -> list[dg.RunRequest] | dg.SkipReason:
    """No run for agents that may not learn: it would bring them up to date to end skipped."""
    with store.pipeline() as connection:
        disabled = proposals.disabled_agents(connection)
    return _per_agent(context, disabled)


@dg.schedule(name="prompt_optimization_weekly", job=jobs.prompt_optimization, cron_schedule="0 2 * * 1", **_ON)
@unless_away
def prompt_optimization_weekly(context: dg.ScheduleEvaluationContext, store: dg.ResourceParam[Store]):
    return _per_learning_agent(context, store)


@dg.schedule(name="rag_training_daily", job=jobs.rag_training, cron_schedule="0 3 * * *", **_ON)
@unless_away
def rag_training_daily(context: dg.ScheduleEvaluationContext, store: dg.ResourceParam[Store]):
    return _per_learning_agent(context, store)


@dg.schedule(name="behavior_learning_weekly", job=jobs.behavior_learning, cron_schedule="0 4 * * 1", **_ON)
@unless_away
def behavior_learning_weekly(context: dg.ScheduleEvaluationContext, store: dg.ResourceParam[Store]):
    return _per_learning_agent(context, store)


@dg.schedule(name="fine_tuning_monthly", job=jobs.fine_tuning, cron_schedule="0 5 1 * *", **_ON)
@unless_away
def fine_tuning_monthly(context: dg.ScheduleEvaluationContext, store: dg.ResourceParam[Store]):
    return _per_learning_agent(context, store)


@dg.schedule(name="judge_sample_hourly", job=jobs.judge_sample, cron_schedule="30 * * * *", **_ON)
@unless_away
def judge_sample_hourly(context: dg.ScheduleEvaluationContext, store: dg.ResourceParam[Store]):
    """Runs for the agents that ask for a judge, and for nobody else."""
    with store.pipeline() as connection:
        asking = judging.agents_that_ask(connection)
    return judging_requests(asking, set(context.instance.get_dynamic_partitions(agents.name)), context.scheduled_execution_time.isoformat())


def judging_requests(asking: Sequence[str], known: Set[str], moment: str) -> list[dg.RunRequest] | dg.SkipReason:
    """One run for each asking agent that Dagster knows already; the others come with their first feedback."""
    requests = [dg.RunRequest(run_key=f"{moment}/{key}", partition_key=key) for key in asking if key in known]
    return requests or dg.SkipReason("No agent asks for a judge (metric judge, or judge_sample).")


ab_test_analysis_hourly = dg.ScheduleDefinition(name="ab_test_analysis_hourly", job=jobs.ab_test_analysis, cron_schedule="0 * * * *", **_ON)
cleanup_weekly = dg.ScheduleDefinition(name="cleanup_weekly", job=maintenance.cleanup, cron_schedule="0 1 * * 0", **_ON)


@dg.schedule(name="learning_report_weekly", job=jobs.learning_report, cron_schedule="0 9 * * 1", **_ON)
def learning_report_weekly(context: dg.ScheduleEvaluationContext):
    monday = last_closed_week(context.scheduled_execution_time, _settings.zone)
    if monday < _settings.start_date:
        return dg.SkipReason("No week is over yet since LEARNING_START_DATE.")
    return dg.RunRequest(run_key=f"{context.scheduled_execution_time.isoformat()}/{monday}", partition_key=monday.isoformat())
