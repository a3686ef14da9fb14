"""How much error a test may spend when the same held-out items are met again and again.

Belongs here: the schedule and the count it runs by. Not here: the tests (paired.py), reading earlier ones (storage/acceptance.py).

The k-th test on overlapping items spends α/(k(k+1)) of the one-sided α = .025: 1/2, 1/6, 1/12 … of it, which sums to α however often one
tests (D. Foster and R. Stine, "α-investing", Journal of the Royal Statistical Society B 70 (2008) 429-444, calls this alpha spending).
k is 1 + the number of earlier tests of the same agent and kind that are linked with this one: they share an item with it, or with another
linked test. Where no item was ever in such a test the count starts again (fresh items).

What holds. Search never sees a test item, and of a test it learns only whether something was promoted. Until the first false promotion
the sequence of candidates therefore does not depend on the test items, and the chance of any false promotion is at most the sum of the
levels (Bonferroni; no independence between tests is needed: the incumbent's scores are the same every week, and that is allowed).

For which sets of tests. Any that overlap pairwise, for example all that ever used one item: the j-th of them has at least j - 1 earlier
ones linked with it, so k ≥ j, and their levels sum to at most Σ α/(j(j+1)) ≤ α. And any chain that began on one fresh set of items, A with
B, B with C and so on, though A and C share nothing: its tests have k = 1, 2, 3, …. Counting direct overlap only would give C the level of a
second test, α/6, and every further one too: with half of 100 items replaced each week 6 % of agents that cannot improve would promote
within twenty weeks, 1.7 % as it is. If chains that began apart are joined later by a test that overlaps both, each beginning may have
spent up to α: the total is at most α per fresh beginning.

The price is small, because levels fall with k² and the items needed grow with the logarithm of that: 54 at the first test of the default plan,
118 at the twentieth, 140 after a year of weeks (power.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Set

from learning_pipelines.errors import BadInput

TOTAL = 0.025
"""One-sided error that all tests of a family may spend together."""


def spent(k: int, total: float = TOTAL) -> float:
    """The level of the k-th test on overlapping items, k = 1, 2, …; all levels together are `total`. Raises BadInput for k < 1."""
    if k < 1:
        raise BadInput(f"There is no test number {k}.", "Count from 1.")
    return total / (k * (k + 1))


def count(items: Set[str], earlier: Iterable[Set[str]]) -> int:
    """k of a test on `items`, given the items of each earlier test of the same agent and kind."""
    reached, apart, linked = set(items), list(earlier), 0
    while near := [each for each in apart if not reached.isdisjoint(each)]:
        linked += len(near)
        apart = [each for each in apart if reached.isdisjoint(each)]
        reached.update(*near)
    return linked + 1
