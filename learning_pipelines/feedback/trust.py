"""How far each rater is to be trusted: a weight between 0 and 1 from what they voted, when, and what others and experts said.

Belongs here: from arrays of votes to reliabilities, weights and flags. Not here: links between raters (trust_links.py), behaviour that
needs no truth (trust_signals.py), SQL (storage/trust.py), keeping weights up to date (trust_refresh.py).

The truth of an item and the reliability of a rater are estimated together, as Dawid and Skene (1979) do, with four changes for people
who may lie: (1) raters who vote in lockstep count as one voice, and do not vouch for each other; (2) a rater is judged by what others
said, never by the own vote; (3) a vote is never turned round: who errs more than chance says nothing; (4) reliabilities are shrunk to a
prior, which suspicious behaviour lowers, so that a newcomer counts, and evidence redeems.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from learning_pipelines.feedback.trust_links import Floats, Ints, Links, linked
from learning_pipelines.feedback.trust_signals import Behaviour, behaviour

RULES = "1"
"""Version of these rules: stored beside each weight, and raised when they change."""
PRIOR_RIGHT, PRIOR_VOTES = 0.7, 4.0
"""What is believed of a newcomer: right in 7 of 10 cases, as firmly as after 4 votes."""
EXPERT_RIGHT, EXPERT_VOTES = 0.95, 20.0
SUSPECT_RIGHT = 0.52
GOLD_LOG_ODDS = 4.0
"""What an expert's verdict on an item weighs: as much as a few reliable raters, but not beyond doubt."""
ROUNDS = 12
_LEAST, _MOST = 0.05, 0.95
FULL_WEIGHT = math.log(_MOST / _LEAST)
"""Log-odds of being right that have weight 1: right in 95 of 100 cases."""


Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Votes:
    """Who said what about which item: equally long arrays, at most one entry per rater and item.

    rater, item: numbers from 0. good: the vote. seconds: when. self_vote: on words that the rater wrote.
    """

    rater: Ints
    item: Ints
    good: Bools
    seconds: Floats
    self_vote: Bools


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside the votes. Sizes: raters or items.

    gold: an expert's verdict on the item, 1 good, 0 bad, NaN none. expert: the rater is one. fixed: sensitivity and specificity (raters ×
    2) of those who are only context here, NaN where they are to be estimated. upheld, refuted: the rater's own contributions that
    experts approved, rejected. history: votes in all, where `votes` holds only a part of them. copied: share of the rater's texts that
    repeat others' or the own ones, 0–1. texts: (rater, text) pairs.
    """

    gold: Floats
    expert: Bools
    fixed: Floats
    upheld: Floats
    refuted: Floats
    history: Floats
    copied: Floats
    texts: tuple[Ints, Ints] | None = None

    @classmethod
    def nothing(cls, raters: int, items: int) -> Known:
        zero = np.zeros(raters)
        return cls(np.full(items, np.nan), np.zeros(raters, dtype=bool), np.full((raters, 2), np.nan), zero, zero, zero, zero)


@dataclass(frozen=True, slots=True)
class Trust:
    """What was found, one entry per rater. weight 0–1; right: sensitivity and specificity (raters × 2); flags: names of signals by rater."""

    weight: Floats
    right: Floats
    evidence: Floats
    agreement: Floats
    linked: Floats
    behaviour: Behaviour
    flags: dict[str, Bools] = field(default_factory=dict)


def weigh(votes: Votes, known: Known) -> Trust:
    """Weights of all raters. Cost: about votes × raters per item."""
    raters = len(known.expert)
    counted = ~votes.self_vote
    column = 2 * votes.item + votes.good
    seen = np.bincount(votes.rater, minlength=raters).astype(float)
    links = linked(np.maximum(seen, known.history), votes.rater, column, votes.seconds, known.texts)
    acts = behaviour(raters, votes.rater, votes.good, votes.seconds, votes.self_vote)
    prior, firm = _prior(known, acts)
    model = _Model(votes, known, links, counted, prior, firm)
    right, evidence = model.estimate()
    concerted, concerted_evidence = model.concerted(right)
    weight = np.minimum(_worth(right), _worth(concerted))
    weight *= (1 - 0.8 * known.copied) * (1 - 0.8 * acts.self_votes)
    agreement = np.where(evidence.sum(axis=(1, 2)) > 0, evidence[:, :, 0].sum(axis=1) / np.maximum(1e-9, evidence.sum(axis=(1, 2))), np.nan)
    flags = _flags(known, acts, evidence, concerted_evidence, links)
    return Trust(weight, right, evidence.sum(axis=(1, 2)), agreement, links.companions, acts, flags)


def _worth(right: Floats) -> Floats:
    """The weight 0–1 of a sensitivity and specificity (raters × 2): mean log-odds of being right, 1 from 95 % on, 0 for a coin.

    At most Youden's index: somebody who always says the same is nearly without worth, however right on one side.
    """
    bounded = np.clip(right, 1e-6, 1 - 1e-6)
    return np.asarray(np.clip(np.minimum(np.log(bounded / (1 - bounded)).mean(axis=1) / FULL_WEIGHT, right.sum(axis=1) - 1), 0, 1))


def _prior(known: Known, acts: Behaviour) -> tuple[Floats, Floats]:
    """Mean and strength of what is believed of each rater before anything is compared. An expert's verdict on one's work counts here."""
    mean = np.where(known.expert, EXPERT_RIGHT, PRIOR_RIGHT)
    firm = np.where(known.expert, EXPERT_VOTES, PRIOR_VOTES)
    suspicion = np.clip(np.maximum(acts.burst, known.copied), 0, 1)
    mean = mean - suspicion * (mean - SUSPECT_RIGHT)
    total = firm + known.upheld + known.refuted
    return (mean * firm + known.upheld) / total, total


class _Model:
    """Alternates between what is true of the items and how right the raters are."""

    def __init__(self, votes: Votes, known: Known, links: Links, counted: Bools, prior: Floats, firm: Floats) -> None:
        from scipy import sparse

        self.votes, self.known, self.links, self.prior, self.firm = votes, known, links, prior, firm
        self.raters, self.items = len(known.expert), len(known.gold)
        self.column = 2 * votes.item + votes.good
        self.counted = counted
        self.sparse = sparse
        # Pairs of links and the votes they concern; everybody else costs nothing.
        self.linked_votes = [
            (matrix, np.flatnonzero((np.diff(matrix.indptr) > 0)[votes.rater] & concerned))
            for matrix, concerned in ((links.always, np.ones(len(votes.rater), dtype=bool)), (links.quarrels, links.contested))
        ]
        self.companions = self._beside(np.ones(len(votes.rater)))
        self.voice = np.where(counted, 1 / (1 + self.companions), 0.0)

    def _beside(self, value: Floats) -> Floats:
        """For each vote the sum of `value` over the equal votes of linked raters."""
        beside = np.zeros(len(value))
        for links, some in self.linked_votes:
            if len(some):
                rater, column = self.votes.rater[some], self.column[some]
                matrix = self.sparse.csr_array((value[some], (rater, column)), shape=(self.raters, 2 * self.items))
                beside[some] += np.asarray((links @ matrix)[rater, column]).ravel()
        return beside

    def estimate(self) -> tuple[Floats, Floats]:
        """Sensitivity and specificity (raters × 2), and the evidence behind them (raters × good, bad item × right, wrong)."""
        right = np.repeat(self.prior[:, None], 2, axis=1)
        right = np.where(np.isnan(self.known.fixed), right, self.known.fixed)
        evidence = np.zeros((self.raters, 2, 2))
        for _ in range(ROUNDS):
            evidence = self._evidence(self._others(right), np.ones(len(self.votes.rater)))
            fresh = self._shrunk(evidence)
            right = np.where(np.isnan(self.known.fixed), 0.5 * (right + fresh), right)
        return np.where(np.isnan(self.known.fixed), self._shrunk(evidence), right), evidence

    def concerted(self, right: Floats) -> tuple[Floats, Floats]:
        """The same from votes cast together with linked raters alone: who is honest elsewhere is not excused for a brigade."""
        alone = self._evidence(self._others(right), (self.companions >= 1).astype(float))
        # One voice is judged as one: what speaks against a companion in the same votes speaks against all of them.
        evidence = alone + ((self.links.always + self.links.quarrels) @ alone.reshape(self.raters, 4)).reshape(self.raters, 2, 2)
        fresh = self._shrunk(evidence, firm=np.full(self.raters, 1.0), prior=np.maximum(self.prior, 0.9))
        return np.where(np.isnan(self.known.fixed), fresh, 1.0), evidence

    def _others(self, right: Floats) -> Floats:
        """For each vote how likely it is that the item is good, by everyone but the rater and those linked to them. NaN: nobody else."""
        vote, good = self.votes, self.votes.good
        bounded = np.clip(right, _LEAST, _MOST)
        sensitivity, specificity = bounded[vote.rater, 0], bounded[vote.rater, 1]
        says = np.where(good, np.log(sensitivity / (1 - specificity)), np.log((1 - sensitivity) / specificity))
        says = self.voice * np.where(good, np.maximum(says, 0), np.minimum(says, 0))
        gold = np.where(np.isnan(self.known.gold), 0.0, GOLD_LOG_ODDS * (2 * np.nan_to_num(self.known.gold) - 1))
        total = np.bincount(vote.item, weights=says, minlength=self.items) + gold
        without = total[vote.item] - says - self._beside(says)
        return np.asarray(1 / (1 + np.exp(-without)))

    def _evidence(self, others: Floats, share: Floats) -> Floats:
        sure = (2 * others - 1) * share * self.counted
        good_item, bad_item = np.maximum(sure, 0), np.maximum(-sure, 0)
        said_good = self.votes.good
        parts = [
            [np.where(said_good, good_item, 0), np.where(said_good, 0, good_item)],
            [np.where(said_good, 0, bad_item), np.where(said_good, bad_item, 0)],
        ]
        return np.stack(
            [np.stack([np.bincount(self.votes.rater, weights=part, minlength=self.raters) for part in pair], axis=1) for pair in parts], axis=1
        )

    def _shrunk(self, evidence: Floats, firm: Floats | None = None, prior: Floats | None = None) -> Floats:
        strength, mean = self.firm if firm is None else firm, self.prior if prior is None else prior
        return np.asarray((evidence[:, :, 0] + (strength * mean)[:, None]) / (evidence.sum(axis=2) + strength[:, None]))


def _flags(known: Known, acts: Behaviour, evidence: Floats, concerted: Floats, links: Links) -> dict[str, Bools]:
    """Which signals speak against a rater clearly: names for people, beside the weight that already contains them."""
    wrong, total = evidence[:, :, 1].sum(axis=1), evidence.sum(axis=(1, 2))
    bad_total, bad_wrong = evidence[:, 1].sum(axis=1), evidence[:, 1, 1]
    good_total, good_wrong = evidence[:, 0].sum(axis=1), evidence[:, 0, 1]
    together_wrong, together = concerted[:, :, 1].sum(axis=1), concerted.sum(axis=(1, 2))
    blind = ((bad_total >= 2) & (bad_wrong >= 0.8 * bad_total)) | ((good_total >= 2) & (good_wrong >= 0.8 * good_total))
    return {
        "burst": acts.burst >= 0.5,
        "constant": acts.constant & blind,
        "against_crowd": (total >= 2) & (wrong > 0.5 * total),
        "against_experts": (known.refuted >= 3) & (known.refuted > 2 * known.upheld),
        "self_votes": acts.self_votes >= 0.3,
        "copied_texts": known.copied >= 0.5,
        "lockstep": (links.companions >= 2) & (together >= 0.5) & (together_wrong > 0.5 * together),
    }
