"""What the ticks of sensors and schedules share.

Belongs here: a database that is away skips a tick, what a tick asks for. Not here: any sensor or schedule.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import dagster as dg

from learning_pipelines.defs.cursors import Cursor
from learning_pipelines.defs.partitions import agents
from learning_pipelines.errors import LearningError


def unless_away(tick: Callable[..., Any]) -> Callable[..., Any]:
    """The tick of a sensor or schedule, skipped with the reason while the database is away. The cursor stays, so nothing is lost."""

    @functools.wraps(tick)
    def ticked(*arguments: Any, **named: Any) -> Any:
        try:
            return tick(*arguments, **named)
        except LearningError as error:
            return dg.SkipReason(str(error))

    return ticked


def asked(
    context: dg.SensorEvaluationContext, requests: Sequence[dg.RunRequest], after: Cursor, partitions: Iterable[str], otherwise: str | None = None
) -> dg.SensorResult:
    """Run requests, and the cursor behind what they are about. Partitions of agents that Dagster does not know yet are added; `otherwise`: why there is
    no request."""
    new = [key for key in dict.fromkeys(partitions) if not context.instance.has_dynamic_partition(agents.name, key)]
    return dg.SensorResult(
        run_requests=list(requests), cursor=after.text, dynamic_partitions_requests=[agents.build_add_request(new)] if new else [],
        skip_reason=None if requests else otherwise,
    )  # fmt: skip
