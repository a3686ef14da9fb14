"""Attacks on ratings against the rater weights: `make bench-attacks [ARGS="--seed 7 --rounds 50"]`.

Belongs here: worlds with and without an attack drawn from a seed, the error of raw and weighted labels, who was caught. Not here:
asserting anything (feedback/test_attacks.py does, on a smaller scale).

A world draws everything anew: how many users and items, how well people judge, how many speak up, how the attackers act, how many there
are, when they come, how noisy they are and how often they vote honestly elsewhere (camouflage).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from benchmarks.record import record
from learning_pipelines.feedback.trust import Known, Trust, Votes, weigh
from learning_pipelines.storage.trust_weights import DISTRUSTED

DAY = 86_400.0


@dataclass(frozen=True)
class World:
    """Votes, the truth of every item, who attacks."""

    votes: Votes
    truth: np.ndarray
    bad: np.ndarray
    known: Known


@dataclass(frozen=True)
class Outcome:
    """Shares of wrong labels, of items with votes: by plain majority, by weighted majority, by the honest alone. And who was caught."""

    raw: float
    weighted: float
    honest_only: float
    caught: int
    flagged: int
    bad: int
    honest: int
    honest_weight: float
    bad_weight: float


class Draft:
    """A world while it is being drawn."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.items = int(rng.integers(80, 500))
        self.users = int(rng.integers(40, 300))
        self.share_good = rng.uniform(0.5, 0.85)
        self.truth = rng.random(self.items) < self.share_good
        self.days = rng.uniform(10, 90)
        self.born = np.sort(rng.uniform(0, self.days * DAY, self.items))
        self.noise = np.clip(rng.beta(2, 2 / rng.uniform(0.05, 0.2) - 2, self.users), 0, 0.45)
        self.rows: list[tuple[int, int, bool, float]] = []
        self.raters = self.users
        self._honest()

    def _honest(self) -> None:
        rng = self.rng
        self.per_item = rng.uniform(3, 9)
        activity = rng.lognormal(0, rng.uniform(0.3, 1.2), self.users)
        activity /= activity.sum()
        satisfied = rng.random(self.users) < rng.uniform(0, 0.3)  # speaks up mostly about what was good
        for item in range(self.items):
            many = min(self.users, max(1, int(rng.poisson(self.per_item))))
            for user in rng.choice(self.users, many, replace=False, p=activity):
                good = bool(self.truth[item]) != bool(rng.random() < self.noise[user])
                if satisfied[user] and not good and rng.random() < 0.8:
                    continue
                self.rows.append((int(user), item, good, float(self.born[item] + rng.exponential(rng.uniform(0.05, 2) * DAY))))

    def accounts(self, number: int) -> list[int]:
        fresh = list(range(self.raters, self.raters + number))
        self.raters += number
        return fresh

    def honest_vote(self, user: int, item: int) -> None:
        good = bool(self.truth[item]) != bool(self.rng.random() < 0.12)
        self.rows.append((user, item, good, float(self.born[item] + self.rng.exponential(DAY))))

    def camouflage(self, users: Iterable[int], targets: np.ndarray, share: float) -> None:
        """Honest votes elsewhere: `share` of each attacker's votes."""
        others = np.setdiff1d(np.arange(self.items), targets)
        number = round(len(targets) * share / (1 - share))
        for user in users:
            for item in self.rng.choice(others, min(number, len(others)), replace=False):
                self.honest_vote(user, int(item))

    def finish(self) -> World:
        rows = list({(user, item): (user, item, good, when) for user, item, good, when in self.rows}.values())
        rater, item, good, when = (np.array(part) for part in zip(*rows, strict=True))
        votes = Votes(rater.astype(np.int64), item.astype(np.int64), good.astype(bool), when.astype(float), np.zeros(len(rows), dtype=bool))
        bad = np.arange(self.raters) >= self.users
        return World(votes, self.truth, bad, Known.nothing(self.raters, self.items))


def nobody(draft: Draft) -> None:
    """No attack at all."""


def brigade(draft: Draft) -> None:
    """New accounts fall upon some items within a short time, all with the same wrong verdict."""
    _brigade(draft, window=draft.rng.uniform(0.003, 1.0), camouflage=0.0)


def brigade_camouflaged(draft: Draft) -> None:
    """A brigade whose accounts also vote honestly elsewhere, for up to four fifths of their votes."""
    _brigade(draft, window=draft.rng.uniform(0.003, 1.0), camouflage=draft.rng.uniform(0.2, 0.8))


def brigade_slow(draft: Draft) -> None:
    """A brigade that takes its time: its votes come when honest ones come, and it hides elsewhere."""
    _brigade(draft, window=None, camouflage=draft.rng.uniform(0.0, 0.6))


def _brigade(draft: Draft, window: float | None, camouflage: float) -> None:
    rng = draft.rng
    targets = rng.choice(draft.items, max(3, int(draft.items * rng.uniform(0.04, 0.2))), replace=False)
    size = max(3, int(draft.per_item * rng.uniform(1.2, 3.0)))
    size = min(size, int(0.45 * draft.users))
    users = draft.accounts(size)
    effort, noise = rng.uniform(0.7, 1.0), rng.uniform(0, 0.1)
    start = rng.uniform(0, draft.days * DAY)
    for user in users:
        for item in targets:
            if rng.random() < effort:
                wrong = not draft.truth[item]
                when = draft.born[item] + rng.exponential(DAY) if window is None else start + rng.uniform(0, window * DAY)
                draft.rows.append((user, int(item), bool(wrong) != bool(rng.random() < noise), float(when)))
    if camouflage:
        draft.camouflage(users, targets, camouflage)


def pile_on(draft: Draft) -> None:
    """Throw-away accounts with one vote each, all on a handful of items, within hours."""
    rng = draft.rng
    for item in rng.choice(draft.items, max(2, int(draft.items * rng.uniform(0.04, 0.2))), replace=False):
        start = draft.born[item] + rng.uniform(0, 2) * DAY
        for user in draft.accounts(max(3, int(draft.per_item * rng.uniform(1.2, 2.5)))):
            draft.rows.append((user, int(item), not draft.truth[item], float(start + rng.uniform(0, 0.3) * DAY)))


def bots(draft: Draft) -> None:
    """Accounts that vote on very many items, always the same, or at random, at a machine's pace or spread over the whole time."""
    rng = draft.rng
    users = draft.accounts(max(3, int(draft.per_item * rng.uniform(0.8, 2.0))))
    coverage, fast = rng.uniform(0.3, 0.9), rng.random() < 0.5
    for user in users:
        way = rng.choice(["up", "down", "random"], p=[0.2, 0.5, 0.3])
        start = rng.uniform(0, draft.days * DAY)
        for number, item in enumerate(rng.permutation(draft.items)[: int(coverage * draft.items)]):
            good = {"up": True, "down": False, "random": bool(rng.random() < 0.5)}[str(way)]
            when = start + number * rng.uniform(0.5, 5) if fast else draft.born[item] + rng.exponential(DAY)
            draft.rows.append((user, int(item), good, float(when)))


def disgruntled(draft: Draft) -> None:
    """One person, under a few names, who votes down whatever can be found; most items have few other votes."""
    rng = draft.rng
    thin = rng.uniform(0.3, 0.7)
    by_item: dict[int, int] = {}
    kept = []
    for row in draft.rows:  # a quiet service: on many items only one or two people speak up
        if row[1] >= thin * draft.items or by_item.get(row[1], 0) < 2:
            kept.append(row)
            by_item[row[1]] = by_item.get(row[1], 0) + 1
    draft.rows = kept
    coverage = rng.uniform(0.5, 1.0)
    for user in draft.accounts(int(rng.integers(1, 4))):
        for item in rng.permutation(draft.items)[: int(coverage * draft.items)]:
            draft.rows.append((user, int(item), False, float(draft.born[item] + rng.exponential(DAY))))


KINDS: dict[str, Callable[[Draft], None]] = {
    kind.__name__: kind for kind in (nobody, brigade, brigade_camouflaged, brigade_slow, pile_on, bots, disgruntled)
}


def world(kind: str, seed: int) -> World:
    """The world of a kind and seed: the same every time."""
    draft = Draft(np.random.default_rng([seed, list(KINDS).index(kind)]))
    KINDS[kind](draft)
    return draft.finish()


def outcome(one: World, found: Trust | None = None) -> Outcome:
    """Weighs the raters of a world and compares the labels with its truth. Flagged: weight below DISTRUSTED."""
    found = weigh(one.votes, one.known) if found is None else found
    active = np.bincount(one.votes.rater, minlength=len(one.bad)) > 0
    flagged = (found.weight < DISTRUSTED) & active
    bad, honest = one.bad & active, ~one.bad & active
    return Outcome(
        raw=error(one, np.ones(len(one.bad))), weighted=error(one, found.weight), honest_only=error(one, (~one.bad).astype(float)),
        caught=int((flagged & bad).sum()), flagged=int(flagged.sum()), bad=int(bad.sum()), honest=int(honest.sum()),
        honest_weight=float(found.weight[honest].mean()), bad_weight=float(found.weight[bad].mean()) if bad.any() else float("nan"),
    )  # fmt: skip


def error(one: World, weight: np.ndarray) -> float:
    """Share of items with votes whose label is wrong; a tie is half wrong."""
    votes = one.votes
    balance = np.bincount(votes.item, weights=weight[votes.rater] * (2.0 * votes.good - 1), minlength=len(one.truth))
    rated = np.bincount(votes.item, minlength=len(one.truth)) > 0
    wrong = np.where(np.abs(balance) < 1e-9, 0.5, (balance > 0) != one.truth)
    return float(wrong[rated].mean())


def summary(kind: str, found: list[Outcome]) -> str:
    raw, weighted, honest = (np.array([getattr(one, name) for one in found]) for name in ("raw", "weighted", "honest_only"))
    over = float(np.mean(weighted > raw / 3 + 1e-12))
    bad, caught, flagged = (sum(getattr(one, name) for one in found) for name in ("bad", "caught", "flagged"))
    false = sum(one.flagged - one.caught for one in found) / sum(one.honest for one in found)
    precision = f"{caught / flagged:.2f}" if flagged and bad else "–"
    recall = f"{caught / bad:.2f}" if bad else "–"
    ratio = f"{weighted.mean() / raw.mean():.2f}"
    over_text = f"{100 * over:.0f} %" if bad else "–"
    return (
        f"| {kind} | {raw.mean():.3f} | {weighted.mean():.3f} | {honest.mean():.3f} | {ratio} | {over_text} | {precision} | {recall} "
        f"| {np.mean([one.honest_weight for one in found]):.2f} | {100 * false:.1f} % |"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seed", type=int, default=1, help="The first seed; every round takes the next.")
    arguments.add_argument("--rounds", type=int, default=50)
    arguments.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    chosen = arguments.parse_args()
    print(f"Seeds {chosen.seed} to {chosen.seed + chosen.rounds - 1}. Error: share of items with a wrong label.")
    print("| attack | raw | weighted | honest only | ratio | seeds over ⅓ | precision | recall | honest weight | honest flagged |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    begun = time.monotonic()
    every: list[Outcome] = []
    for kind in chosen.kinds:
        found = [outcome(world(kind, seed)) for seed in range(chosen.seed, chosen.seed + chosen.rounds)]
        print(summary(kind, found), flush=True)
        for one in found:
            for name in ("raw", "weighted", "honest_only"):
                record(f"wrong labels by {name.replace('_', ' ')} votes, {kind}", getattr(one, name), "")
                if kind != "nobody":
                    record(f"wrong labels by {name.replace('_', ' ')} votes, all attacks", getattr(one, name), "")
        every += found if kind != "nobody" else []
    if every:
        print(summary("all attacks", every))
    print(f"{len(chosen.kinds) * chosen.rounds} worlds in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
