"""Several treatments in one experiment: how much error each comparison may make.

Belongs here: the share of α. Not here: the comparisons, sequential tests (which take care of looking often, not of comparing much).

Bonferroni: k treatments are compared at α/k each, two-sided, so that the chance of any wrong statement on any of them, at any look, in either direction,
is at most α, however the arms depend on each other through their common control. Step-down rules (Holm) reject a little more once a first treatment has
been told apart, but then the intervals shown do not hold together any more, a wrong direction is not covered, and an arm's verdict changes with another
arm's luck. The price of Bonferroni is small because sequential bounds grow with log(1/α): for three treatments about a quarter more units (tests).
Dunnett's correlation correction needs a joint normal distribution at one fixed look.

k counts every treatment that ever took part: one that was withdrawn has been looked at.
"""

from __future__ import annotations

from learning_pipelines.errors import BadInput


def each(alpha: float, treatments: int) -> float:
    """The level of each treatment's comparison with the control. `alpha`: for the experiment as a whole, above 0 and below 1; `treatments` ≥ 1. Raises
    BadInput otherwise."""
    if not 0 < alpha < 1:
        raise BadInput(f"An error rate of {alpha} is none.", "Give alpha between 0 and 1, for example 0.05.")
    if treatments < 1:
        raise BadInput("There is no treatment to compare.", "An experiment has a control and at least one treatment.")
    return alpha / treatments
