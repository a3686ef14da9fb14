"""Belongs here: placeholders such as <EMAIL_1>: how they look, which a value holds, numbering them in order of appearance.
Not here: finding what they stand for (privacy_patterns.py), replacing it (privacy.py)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeAlias

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

PLACEHOLDER = re.compile(r"<([A-Z][A-Z_]{1,30})_(\d{1,6})>")


def strings(values: Iterable[JSON]) -> Iterator[str]:
    """Every string in the values, keys too, in order; without recursion."""
    todo: list[JSON] = list(values)[::-1]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            todo.extend(reversed(item))
        elif isinstance(item, dict):
            for key, inner in reversed(item.items()):
                todo += [inner, key]


def renumbered(texts: Iterable[str | None]) -> dict[str, str]:
    """For every placeholder in the texts, what it is called when each entity is numbered from 1 in order of appearance."""
    names: dict[str, str] = {}
    counts: defaultdict[str, int] = defaultdict(int)
    for text in texts:
        for match in PLACEHOLDER.finditer(text or ""):
            if match[0] not in names:
                counts[match[1]] += 1
                names[match[0]] = f"<{match[1]}_{counts[match[1]]}>"
    return names


def renamed(text: str, names: dict[str, str]) -> str:
    """The text with its placeholders called as `names` says."""
    return PLACEHOLDER.sub(lambda match: names.get(match[0], match[0]), text)


def renamed_json(value: JSON, names: dict[str, str]) -> JSON:
    """The value with every placeholder in it, keys too, called as `names` says. Without recursion: nesting may be deep."""
    root: list[JSON] = [value]
    todo: list[list[JSON] | dict[str, JSON]] = [root]
    while todo:
        place = todo.pop()
        for slot in list(range(len(place))) if isinstance(place, list) else list(place):
            item = place[slot]  # type: ignore[index]
            if isinstance(item, str):
                item = renamed(item, names)
            elif isinstance(item, list):
                item = list(item)
                todo.append(item)
            elif isinstance(item, dict):
                item = {renamed(key, names): inner for key, inner in item.items()}
                todo.append(item)
            place[slot] = item  # type: ignore[index]
    return root[0]
