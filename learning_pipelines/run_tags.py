"""Tags of Dagster's runs: what the service, the command line and the jobs themselves tell each other by.

Belongs here: their names. Not here: setting or reading any (defs/, api/).
"""

from __future__ import annotations

STATUS, REASON = "learning/status", "learning/reason"
"""What became of a run that ended well (success or skipped), and why."""
WORKED = "learning/worked"
"""One part at least of a run of several parts did its work."""
ORGANIZATION = "learning/organization"
LAUNCHED_BY, REQUESTED_BY, REQUEST = "learning/launched_by", "learning/requested_by", "learning/request"
"""What launched a run, on whose behalf (an actor of the audit log), and for which request: a launch whose answer was lost is found again by it."""
BUDGET, CANDIDATE, GOALS = "learning/budget", "learning/candidate", "learning/optimization_goals"
"""What prompt_optimization was asked for: most calls of the model, the version to test, JSON of weights."""
ATTEMPT, AFTER = "learning/attempt", "learning/after"
"""Of a run that is tried again: which attempt it is, and the id of the one before."""
CHANGED_ONLY = "learning/changed_only"
"""Of metrics_refresh: of its days only those that changed are computed again; whoever asks by hand gets all of them."""
HOST = "learning/host"
"""The machine on which a command runs a job in its own process."""
WORKER = "learning/worker"
"""Celery's worker that executes or executed a run."""
TRACEPARENT = "learning/traceparent"
"""The trace that a run belongs to."""

# Dagster's own, by their names: the service does not import it.
PARTITION = "dagster/partition"
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
FAILURE_REASON = "dagster/failure_reason"
