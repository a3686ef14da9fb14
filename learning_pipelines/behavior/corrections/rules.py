"""A rule in plain language out of a cluster of corrections: what to say about what, and what not; filled from templates by counts.

Belongs here: making rules, which corrections teach and which are held out, how a rule is shown while it is tested. Pure. Not here: testing rules
(rules_gate.py), what shows them at run time (behavior/guidance.py).

Words of people enter a rule only if an expert approved the example that they are from, or if FEWEST people said the very same; else the rule speaks of the
words that several questions share. Nothing enters that could be taken for another turn, a template or the end of a note.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learning_pipelines.behavior.corrections import naming
from learning_pipelines.behavior.guidance import Guidance, Piece, choose, note
from learning_pipelines.llm import Message
from learning_pipelines.storage.correction_rows import ClusterRow, Member

FEWEST = 3
"""People (users who corrected, experts who corrected or approved) behind a rule."""
QUOTED, QUOTED_CHARS, ANSWER_CHARS = 3, 90, 300
PER_PERSON = 3
"""Held-out corrections of one person that are tested on: nobody measures a rule alone."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one cluster teaches. `people`, `corrections`: how many it was made of; `quoted`: the examples whose words it holds."""

    cluster: str
    text: str
    wrong: str
    right: str
    people: int
    corrections: int
    quoted: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """The config of a version; guidance shows `rules`."""
        return {
            "rules": [self.text], "text": self.text, "cluster": self.cluster, "wrong": self.wrong, "right": self.right, "people": self.people,
            "corrections": self.corrections, "examples": list(self.quoted),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sides:
    """The corrections of a cluster that rules are made of, and those that they are tested on."""

    train: list[Member]
    held_out: list[Member]


def sides(members: Sequence[Member]) -> Sides:
    """By the split of the example, where it has one (train teaches); else by whoever gave the correction, all of a person's on one side.

    Of one person at most PER_PERSON corrections are held out to test on.
    """
    train, held_out = list[Member](), list[Member]()
    counts = Counter[str]()
    for one in members:
        if (one.split == "train") if one.split is not None else _teaches(one):
            train.append(one)
        elif counts[one.voices[0]] < PER_PERSON:
            counts[one.voices[0]] += 1
            held_out.append(one)
    return Sides(train, held_out)


def distil(cluster: ClusterRow, train: Sequence[Member], background: Mapping[str, int], total: int) -> Rule | None:
    """The rule that these corrections of the cluster teach; None where fewer than FEWEST people are behind them or nothing can be said in words.

    `background`, `total`: in how many of so many inputs each word stands (naming.frequencies).
    """
    people = {voice for one in train for voice in one.voices}
    if len(people) < FEWEST:
        return None
    terms = naming.characteristic([one.input for one in train], background, total)
    if cluster.is_confusion:
        text, quoted = _of_labels(cluster.wrong, cluster.right, train, terms)
        wrong, right = cluster.wrong, cluster.right
    else:
        wrong, right = _spoken(train)
        text, quoted = _of_facts(wrong, right, train, terms)
    said = note(text) if text else None
    return None if said is None else Rule(cluster.id, said, wrong, right, len(people), len(train), quoted)


def as_messages(texts: Sequence[str], tokens: int) -> tuple[Message, ...]:
    """The turns that show rules before an input, as guidance shows notes; () for none."""
    pieces = [Piece("rules", f"rules/{number}/0", 1.0, text) for number, text in enumerate(texts)]
    shown = Guidance(dataset_id="", prompt="", prompt_version=0, encoder="", sources={"rules": 1.0}, tokens=tokens)
    return choose(shown, pieces).messages


def _of_labels(wrong: str, right: str, train: Sequence[Member], terms: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    quotable = [one for one in train if one.approved and (line := note(one.input)) is not None and len(line) <= QUOTED_CHARS]
    shown = _various(quotable, QUOTED)
    if shown:
        like = "Messages like " + ", ".join(f"“{note(one.input)}”" for one in shown)
    elif terms:
        like = "Messages about " + ", ".join(terms)
    else:
        return "", ()
    return f"{like} are «{right}», not «{wrong}».", tuple(one.example_id for one in shown)


def _of_facts(wrong: str, right: str, train: Sequence[Member], terms: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    about = f"When asked about {', '.join(terms)}" if terms else ""
    if not about:
        return "", ()
    if wrong and right:
        return f"{about}, say «{right}», not «{wrong}».", ()
    if right:
        return f"{about}, also say «{right}».", ()
    if wrong:
        return f"{about}, do not say «{wrong}».", ()
    answers = [one for one in train if one.approved and (line := note(one.corrected)) is not None and len(line) <= ANSWER_CHARS]
    if not answers:
        return "", ()
    shown = min(answers, key=lambda one: (len(one.corrected), one.example_id))
    return f"{about}, answer like this: «{note(shown.corrected)}»", (shown.example_id,)


def _spoken(train: Sequence[Member]) -> tuple[str, str]:
    """The change that most corrections make, if its words may be shown; ("", "") else."""
    change = naming.commonest([(one.wrong, one.right) for one in train])
    making = [one for one in train if (one.wrong, one.right) == change]
    people = {voice for one in making for voice in one.voices}
    return change if any(one.approved for one in making) or len(people) >= FEWEST else ("", "")


def _various(members: Sequence[Member], most: int) -> list[Member]:
    """Members of as many people as possible, the oldest of each first."""
    by_person: defaultdict[str, list[Member]] = defaultdict(list)
    for one in members:
        by_person[one.voices[0]].append(one)
    rounds = [one for place in range(most) for said in by_person.values() for one in said[place : place + 1]]
    return list({one.input: one for one in rounds[: most * 2]}.values())[:most]


def _teaches(one: Member) -> bool:
    return hashlib.sha256(f"corrections/{one.voices[0]}".encode()).digest()[0] % 2 == 0
