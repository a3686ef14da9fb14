"""The last look before a row leaves: a row whose text still shows personal data stays here, and is counted.

Belongs here: which findings hold a row back. Not here: finding (feedback/privacy.py), formats.

Examples are scrubbed when they are made; scrubbing twice is scrubbing once. So what is found here came later (an expert typed it into a
corrected output) or was made under older rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from learning_pipelines.feedback.privacy import RULES_VERSION, Scrubber, scrub_json
from learning_pipelines.feedback.privacy_patterns import identifiers

__all__ = ["RULES_VERSION", "Guard"]


class Guard:
    """`lets_pass(texts)` says whether a row may leave; `held_back` counts rows by what was found in them (the first kind in the alphabet).

    Addresses and numbers hold a row back, which have a form or a checksum. A word that may be a name does not: names are replaced when
    examples are made, and a guess at this point would keep good rows here. Strings are looked at as they are, JSON with its keys as context.
    """

    def __init__(self) -> None:
        self.held_back: Counter[str] = Counter()

    def lets_pass(self, texts: Iterable[Any]) -> bool:
        found = sorted({entity for text in texts if text for entity in _found(text)})
        if found:
            self.held_back[found[0]] += 1
        return not found


def _found(value: Any) -> set[str]:
    if isinstance(value, str):
        return {finding.entity for finding in identifiers(value)}
    scrubber = Scrubber(value)
    scrub_json(value, scrubber)
    return {entity for entity in scrubber.counts if entity != "PERSON"}
