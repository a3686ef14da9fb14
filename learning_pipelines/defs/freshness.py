"""How old each asset may become before somebody should look.

Belongs here: the policies, and what one says at a moment. Not here: which asset has which (each names its own), checks, telling anybody (alerts.py).

What a schedule makes whatever happens has the schedule as its deadline. What is made when people write something has a window: a quiet week is normal, a
month without anything is worth a look; so has what is learnt, since runs end skipped while there is too little to learn from. Dagster judges assets by
their materializations; those that people write are observed only, so `status` judges them by their newest row, and Dagster shows them as unknown.
"""

import datetime as dt
from typing import Literal

import dagster as dg
from dagster._core.definitions.freshness import CronFreshnessPolicy
from dagster._utils.schedules import get_latest_completed_cron_tick

from learning_pipelines.settings import load_settings

State = Literal["fresh", "late", "stale", "never"]
_DAY, _HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)


def _by(cron: str, within: dt.timedelta) -> dg.FreshnessPolicy:
    """Made by each deadline, at most `within` before it: the time from the schedule to the deadline."""
    return dg.FreshnessPolicy.cron(deadline_cron=cron, lower_bound_delta=within, timezone=load_settings().timezone)


WHEN_WRITTEN = dg.FreshnessPolicy.time_window(fail_window=31 * _DAY, warn_window=8 * _DAY)
LEARNT = dg.FreshnessPolicy.time_window(fail_window=93 * _DAY, warn_window=31 * _DAY)
# Each deadline comes some time after its schedule.
HOURLY = _by("30 * * * *", _HOUR)
WEEKLY_REPORT = _by("0 12 * * 1", 3 * _HOUR)


def scheduled(policy: dg.FreshnessPolicy) -> bool:
    """Whether a schedule makes the asset whatever happens: then it is an incident where it is stale."""
    return isinstance(policy, CronFreshnessPolicy)


def judged(policy: dg.FreshnessPolicy, last: dt.datetime | None, now: dt.datetime) -> State:
    """As Dagster's daemon judges it (dagster 1.13, freshness_evaluator.py). `late`: in the warning window; `stale`: beyond; `never`: nothing to judge."""
    if last is None:
        return "never"
    if isinstance(policy, CronFreshnessPolicy):
        zoned = now.astimezone(load_settings().zone)
        deadline = get_latest_completed_cron_tick(policy.deadline_cron, zoned, policy.timezone)
        return "fresh" if last >= deadline - policy.lower_bound_delta else "stale"
    age = now - last
    if age >= policy.fail_window.to_timedelta():
        return "stale"
    return "late" if policy.warn_window is not None and age >= policy.warn_window.to_timedelta() else "fresh"
