"""Headings that stand in a document's metadata, because whoever cut the source into documents took them out of the text.

Belongs here: which keys name headings, reading their values. Not here: headings in the text (blocks.py), how they are joined (chunking.py).

Exporters write them as section_headers, headings, breadcrumbs, "Header 1" and the like. Left out, a passage says nothing of what it is about: on
FeedbackQA us_cdc, whose passages are such cuts, the base index has nDCG@10 .622 without and .754 with them (572 test questions).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

MOST, LONGEST = 8, 200
_KEYS = re.compile(r"((section|page|chapter|sub)[ _-]?)?(heading|header|title|section|breadcrumb)s?([ _-]?\d)?|h[1-6]|chapter", re.IGNORECASE)


def stated_headings(metadata: Mapping[str, Any] | None) -> tuple[str, ...]:
    """At most MOST headings in the order of the metadata's keys and lists; texts only, each once, longer ones than LONGEST characters left out."""
    found = (text for key, value in (metadata or {}).items() if _KEYS.fullmatch(key) for text in _texts(value))
    said = (" ".join(text.split()) for text in found)
    return tuple(dict.fromkeys(text for text in said if text and len(text) <= LONGEST))[:MOST]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (one for one in value if isinstance(one, str))
