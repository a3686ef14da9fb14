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

__all__ = ["RULES_VERSION", "Guard"]

CERTAIN = frozenset({
    "EMAIL", "URL", "IBAN", "CREDIT_CARD", "PHONE", "IP_ADDRESS", "VAT_ID", "DE_SOCIAL_SECURITY", "DE_TAX_ID", "DE_TAX_NUMBER",
    "US_ITIN", "US_SSN", "US_EIN", "UK_NINO", "UK_UTR",
})  # fmt: skip
"""Findings by checksum or form. A word that may be a name holds nothing back: every third answer would stay here."""


class Guard:
    """`lets_pass(texts)` says whether a row may leave; `held_back` counts rows by what was found in them first (alphabetically)."""

    def __init__(self) -> None:
        self.held_back: Counter[str] = Counter()

    def lets_pass(self, texts: Iterable[Any]) -> bool:
        parts = [text for text in texts if text]
        scrubber = Scrubber(*parts)
        scrub_json(parts, scrubber)
        found = sorted(CERTAIN & scrubber.counts.keys())
        if found:
            self.held_back[found[0]] += 1
        return not found
