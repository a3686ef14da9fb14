"""Texts with personal data marked in them, and precision and recall of the rules on them.

Belongs here: reading a labelled set, counting. Not here: the sets (test_privacy.py, personal_data_held_out.txt), assertions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from learning_pipelines.feedback.privacy_patterns import find

MARK = re.compile(r"\[\[([A-Z_]+)\|(.*?)\]\](?!\])", re.DOTALL)
HELD_OUT = Path(__file__).with_name("personal_data_held_out.txt")


@dataclass(frozen=True)
class Labelled:
    """A text and the personal data in it as (entity, text)."""

    text: str
    personal: list[tuple[str, str]]


@dataclass
class Score:
    """Counts per entity; a finding is right if entity and both ends are. `wrong`: what was missed or too much, for people to read."""

    hits: Counter[str] = field(default_factory=Counter)
    misses: Counter[str] = field(default_factory=Counter)
    extra: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def precision(self, entity: str) -> float:
        return self.hits[entity] / max(1, self.hits[entity] + self.extra[entity])

    def recall(self, entity: str) -> float:
        return self.hits[entity] / max(1, self.hits[entity] + self.misses[entity])

    def table(self) -> str:
        """One line per entity: precision, recall, how many there are."""
        lines = [f"{'entity':20} precision  recall    n"]
        for entity in sorted(self.hits | self.misses | self.extra):
            lines.append(f"{entity:20} {self.precision(entity):9.3f} {self.recall(entity):7.3f} {self.hits[entity] + self.misses[entity]:4}")
        return "\n".join(lines)


def parsed(lines: Iterable[str]) -> list[Labelled]:
    """One text a line; empty lines and those that begin with # are none, \\n stands for a line break."""
    found = []
    for line in lines:
        marked = line.rstrip("\n").replace("\\n", "\n")
        if marked and not marked.startswith("#"):
            found.append(Labelled(MARK.sub(r"\2", marked), [(match[1], match[2]) for match in MARK.finditer(marked)]))
    return found


def held_out() -> list[Labelled]:
    """The second set: written before any rule was run on it."""
    return parsed(HELD_OUT.read_text(encoding="utf-8").splitlines())


def scored(sentences: Iterable[Labelled]) -> Score:
    """What the rules find in the sentences against what is there."""
    score = Score()
    for sentence in sentences:
        wanted = Counter(sentence.personal)
        got = Counter((finding.entity, sentence.text[finding.start : finding.end]) for finding in find(sentence.text))
        score.hits.update(entity for entity, _ in (wanted & got).elements())
        score.misses.update(entity for entity, _ in (wanted - got).elements())
        score.extra.update(entity for entity, _ in (got - wanted).elements())
        if wanted != got:
            score.wrong.append(f"{sentence.text!r}\n   missed {list((wanted - got).elements())}, too much {list((got - wanted).elements())}")
    return score
