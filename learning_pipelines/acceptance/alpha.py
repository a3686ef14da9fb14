"""How much error a test may spend when the same held-out items are met again and again.

Belongs here: the schedule and the count it runs by. Not here: the tests (paired.py), reading earlier ones (storage/acceptance.py).

The k-th test on overlapping items spends α/(k(k+1)) of the one-sided α = .025: 1/2, 1/6, 1/12 … of it, which sums to α however often one
tests (D. Foster and R. Stine, "α-investing", Journal of the Royal Statistical Society B 70 (2008) 429-444, calls this alpha spending).
k is 1 + the number of earlier tests of the same agent and kind that share at least one item with this one; without a shared item the
count starts again.

What holds. Search never sees a test item, and of a test it learns only whether something was promoted. Until the first false promotion
the sequence of candidates therefore does not depend on the test items, and the chance of any false promotion is at most the sum of the
levels (Bonferroni; no independence between tests is needed: the incumbent's scores are the same every week, and that is allowed).

For which sets of tests. Let a family be tests that overlap pairwise, for example all tests that ever used one item. The j-th of them in
time has at least j - 1 earlier ones that overlap it, so k ≥ j, and the levels of a family sum to at most Σ α/(j(j+1)) ≤ α. Nothing more
is true of chains: where A meets B and B meets C but A and C share nothing, C has k = 2 and the chain spends α/2 + α/6 + α/6. A long chain
of tests each of which overlaps only its neighbour can spend more than α, as any row of tests on fresh items does (α/2 each), and always
less than that. Counting whole chains instead would be stricter, and would take an agent whose examples are replaced over the years
down to no level at all, although none of today's items was in the early tests. A window that keeps w tests overlapping
settles at α/(w(w+1)) per test: with 10 weeks 1/110 of α, half of α in a year.
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
    return 1 + sum(not items.isdisjoint(each) for each in earlier)
