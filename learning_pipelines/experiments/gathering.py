"""From rows to evidence: what is stored of an experiment, read at one moment.

Belongs here: which tables an evidence comes from. Not here: its shape (evidence.py), what it says (analysis.py), keeping the tables up (collecting.py).
"""

from __future__ import annotations

from typing import Any

from learning_pipelines.experiments.evidence import evidence_of
from learning_pipelines.storage import experiment_assignments, experiment_units
from learning_pipelines.storage.database import Connection, clock
from learning_pipelines.storage.experiment_rows import Experiment
from learning_pipelines.storage.tenants import AgentRef


def gathered(connection: Connection, experiment: Experiment, agent: AgentRef, *, counting: bool = True) -> dict[str, Any]:
    """The evidence of an experiment now, by the clock of the database, which also dates epochs and exposures. Not `counting`: without exposures and
    refused events, whose count takes the longer the more there are, for whoever ends it at once and whatever they say."""
    now = clock(connection)
    organization = agent.organization_id
    states = experiment_units.states(connection, organization, experiment.id)
    if not counting:
        return evidence_of(experiment, states, {}, {}, now)
    exposures = experiment_assignments.counts(connection, organization, [experiment.id]).get(experiment.id, {})
    return evidence_of(experiment, states, exposures, experiment_units.refused(connection, organization, experiment.id), now)
