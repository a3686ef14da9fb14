"""Which experiment a unit takes part in, and as which arm, at hand for the routes that serve: prompts, search, next-action.

Belongs here: what runs kept for half a second, rows looked up where the hash does not tell. Not here: the hash and ranges (experiments/assignment.py),
counting who was met (exposures.py), what an arm serves (served.py, search.py, behavior.py).

In the normal case nothing is read for a request. What starts, stops or changes its weights is seen by every worker within FRESH_SECONDS; a unit that is
met within that time by two workers that know other weights is counted by the first of them.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from learning_pipelines.api.exposures import Exposures, counting
from learning_pipelines.api.problems import without_nul
from learning_pipelines.api.served_answer import gone
from learning_pipelines.errors import LearningError
from learning_pipelines.experiments.assignment import placed
from learning_pipelines.storage import experiment_assignments, experiments
from learning_pipelines.storage.experiment_rows import WITHDRAWN, Arm, Experiment, Subject
from learning_pipelines.storage.sessions import Busy, Sessions
from learning_pipelines.storage.tenants import AgentRef

FRESH_SECONDS = 0.5
_MOST_KEPT = 10_000
_MOST_LOOKED_UP = 100_000
LONGEST_UNIT = 255
UNIT = "Whom experiments assign: a user, a session or an execution, always by the same name. Without it, as if there were none."
EXPOSURE = "false: shows what the unit gets without counting it as met (for previews)."
PROBLEM = "Why the variant of the unit is not served: its version is gone or cannot be used. What serves without it is answered, and the unit not counted."
Serve = Callable[[int | None], dict[str, Any]]
_NO_PART = {"experiment": None, "variant": None, "experiment_problem": None}


@dataclass(frozen=True, slots=True)
class Taking:
    """That a unit takes part in an experiment, as an arm, by the weights of an epoch."""

    experiment: Experiment
    arm: Arm
    unit: str
    epoch: int


class ExperimentsServing:
    """One per worker. `at_once` and `met` belong to any thread and wait for nothing; `read`, `running` and `take` may wait for the database."""

    def __init__(self, sessions: Sessions, exposures: Exposures) -> None:
        self._sessions, self._exposures = sessions, exposures
        self._kept: dict[tuple[UUID, UUID], tuple[float, tuple[Experiment, ...]]] = {}
        self._variants: OrderedDict[tuple[UUID, str], str] = OrderedDict()

    def read(self, agent: AgentRef, subject: Subject | None = None) -> tuple[Experiment, ...]:
        """What runs for an agent now, oldest first. Raises Busy."""
        with self._sessions.acting(counting(agent.organization_id)) as connection:
            return tuple(experiments.running(connection, agent, subject))

    def running(self, agent: AgentRef, subject: Subject) -> tuple[Experiment, ...]:
        """What runs for an agent, at most FRESH_SECONDS old. Raises Busy."""
        key = (agent.organization_id, agent.agent_id)
        kept = self._kept.get(key)
        if kept is None or time.monotonic() - kept[0] >= FRESH_SECONDS:
            at = time.monotonic()
            kept = (at, self.read(agent))
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = kept
        return tuple(one for one in kept[1] if one.subject == subject)

    def at_once(self, running: Sequence[Experiment], unit: str) -> tuple[bool, Taking | None]:
        """Whether it is sure without a row, and what the unit takes part in: of several the one that was started first."""
        for experiment in running:
            where = placed(experiment, unit)
            variant = where.variant
            if not where.certain and (variant := self._variants.get((experiment.id, unit))) is None:
                return False, None
            if variant is not None:
                return True, _taking(experiment, variant, unit)
        return True, None

    def take(self, agent: AgentRef, running: Sequence[Experiment], unit: str) -> Taking | None:
        """What the unit takes part in, looked up where weights were changed under its place. Raises Busy."""
        for experiment in running:
            where = placed(experiment, unit)
            variant = where.variant if where.certain else self._row(agent, experiment, unit) or where.variant
            if variant is not None:
                return _taking(experiment, variant, unit)
        return None

    def met(self, agent: AgentRef, taking: Taking) -> None:
        """Counts the unit: it was served its variant."""
        self._exposures.note(agent.organization_id, taking.experiment.id, taking.unit, taking.arm.variant, taking.epoch)

    def forget(self, organization_id: UUID) -> None:
        """What runs in an organization was changed through this worker."""
        for key in [key for key in list(self._kept) if key[0] == organization_id]:
            self._kept.pop(key, None)

    def _row(self, agent: AgentRef, experiment: Experiment, unit: str) -> str | None:
        """What the unit was met in. A row never changes and is kept; that there is none is asked anew every time."""
        key = (experiment.id, unit)
        if (known := self._variants.get(key)) is not None:
            return known
        with self._sessions.acting(counting(agent.organization_id)) as connection:
            found = experiment_assignments.variant_of(connection, agent.organization_id, experiment.id, unit)
        if found is not None:
            self._variants[key] = found
            if len(self._variants) > _MOST_LOOKED_UP:
                self._variants.popitem(last=False)
        return found

    def served(self, agent: AgentRef | None, subject: Subject, unit: str | None, exposure: bool, serve: Serve) -> dict[str, Any]:
        """An answer by `serve`, which takes the number of a version (None: of what serves everybody), saying which experiment it is of. In threads.

        A version that is gone (LookupError) or cannot be used (LearningError) is answered by the control, and where that fails too, as for everybody;
        the unit is not counted then. Raises what `serve` raises for everybody, and Busy.
        """
        taking = None if unit is None or agent is None else self._taking_of(agent, subject, unit)
        if agent is None or taking is None:
            return {**serve(None), **_NO_PART}
        try:
            answer = serve(taking.arm.version)
        except Busy:
            raise
        except (LookupError, LearningError):
            return {**self._instead(taking, serve), **_NO_PART, "experiment_problem": gone(taking.experiment, taking.arm)}
        if exposure:
            self.met(agent, taking)
        return {**answer, "experiment": str(taking.experiment.id), "variant": taking.arm.variant, "experiment_problem": None}

    def _taking_of(self, agent: AgentRef, subject: Subject, unit: str) -> Taking | None:
        running = self.running(agent, subject)
        sure, taking = self.at_once(running, unit)
        return taking if sure else self.take(agent, running, unit)

    def _instead(self, taking: Taking, serve: Serve) -> dict[str, Any]:
        if taking.arm.version != taking.experiment.control.version:
            with suppress(LookupError, LearningError):
                return serve(taking.experiment.control.version)
        return serve(None)


def checked(unit: str | None) -> str | None:
    """The unit of a query; None where none is given. Raises Problem 422 for one that no row can hold."""
    if not unit:
        return None
    without_nul(unit=unit)
    return unit


def _taking(experiment: Experiment, variant: str, unit: str) -> Taking | None:
    """None for an arm that is gone or withdrawn."""
    if variant in experiment.config.get(WITHDRAWN, ()) or experiment.epoch is None:
        return None
    arm = next((arm for arm in experiment.arms if arm.variant == variant), None)
    return None if arm is None else Taking(experiment, arm, unit, experiment.epoch.number)
