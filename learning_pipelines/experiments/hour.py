"""The hourly look at every running experiment: each in a transaction of its own, so that one that fails keeps no other from its verdict.

Belongs here: all experiments one after the other, what became of them in numbers. Not here: one experiment (looking.py), Dagster (defs/).
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from uuid import UUID

from learning_pipelines.experiments.looking import Look, look
from learning_pipelines.settings import Settings
from learning_pipelines.storage import experiments
from learning_pipelines.storage.database import Connection

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hour:
    """`failed`: experiment → class of the error. Such an experiment is as it was before: without a verdict of this hour."""

    looks: tuple[Look, ...]
    failed: dict[UUID, str]

    @property
    def decisions(self) -> dict[str, int]:
        return dict(sorted(Counter(one.outcome.decision for one in self.looks).items()))

    @property
    def mismatched(self) -> list[Look]:
        """Experiments whose arms do not have their shares."""
        return [one for one in self.looks if one.outcome.mismatch]

    @property
    def harmed(self) -> list[Look]:
        """Experiments in which a guardrail or the primary metric showed harm."""
        return [one for one in self.looks if one.outcome.harmed]


def look_at_all(connection: Connection, settings: Settings, organization: str | None = None) -> Hour:
    """Looks at every running experiment of an organization (None: of all). The connection is in autocommit."""
    looks, failed = [], {}
    for agent, experiment in experiments.to_analyze(connection, organization):
        try:
            seen = look(connection, agent, experiment, settings)
        except Exception as error:  # whatever is wrong with one experiment, the others are watched; the run fails at its end
            failed[experiment] = type(error).__name__
            LOG.exception("The look at experiment %s failed; it is as it was before.", experiment)
            continue
        if seen is not None:
            looks.append(seen)
    return Hour(tuple(looks), failed)
