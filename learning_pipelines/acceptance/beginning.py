"""Why a run of learning does not begin, in words for the person who asked. Nothing is spent then.

Belongs here: what all kinds of learning say alike. Not here: the thresholds of each kind (its own preparation), sizes (power.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from learning_pipelines.acceptance.power import POWER, Plan

DISABLED = "learning is disabled for this agent; `learning-pipelines enable` turns it on again"
NO_PROMPT = "the agent has no prompt with the label production: import one (kind agents), or write one and move the label"


@dataclass(frozen=True, slots=True)
class NotNow:
    """`reason`: why no run is made."""

    reason: str


def needed(planned: Plan, items: str = "these items") -> str:
    """What the next test would take, to follow how much is there. `items`: what earlier tests were on too, if it is not the first."""
    said = f"{planned.needed} are needed to see a gain of {planned.effect:g} with {100 * POWER:.0f} % power"
    return said + (f" (test {planned.k} on {items})" if planned.k > 1 else "")
