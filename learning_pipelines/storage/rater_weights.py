"""How much each user's feedback counts, for statements that sum it.

Belongs here: the join that other statements build in. Not here: how weights come about (feedback/trust.py), storing them (trust_weights.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from learning_pipelines.storage.trust_weights import NEWCOMER


@dataclass(frozen=True, slots=True)
class WeightJoin:
    """`join` adds the weights to a statement, `weight` is the expression to use there."""

    join: str
    weight: str


def weight_of(alias: str) -> WeightJoin:
    """The weight of `alias`.user_id in `alias`.organization_id; whoever is unknown, or not judged yet, counts as a newcomer."""
    return WeightJoin(
        f"LEFT JOIN rater_weights rw ON rw.organization_id = {alias}.organization_id AND rw.user_id = {alias}.user_id",
        f"coalesce(rw.weight, {NEWCOMER})::double precision",
    )
