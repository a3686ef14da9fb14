"""Belongs here: replacing personal data in the texts and JSON of one example by placeholders such as <EMAIL_1>.
Not here: what personal data looks like (privacy_patterns.py and the files it uses), storing anything."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from learning_pipelines.feedback.privacy_contacts import EMAIL_PATTERN
from learning_pipelines.feedback.privacy_patterns import find
from learning_pipelines.feedback.privacy_people import People, repeats
from learning_pipelines.feedback.privacy_placeholders import JSON, PLACEHOLDER, strings
from learning_pipelines.feedback.privacy_spans import blank

# Decisions. Public URLs stay, since answers cite their sources; a URL with a login, a token or a personal parameter goes as a whole. Addresses that
# mean no one (127.0.0.1, ::1, 0.0.0.0, netmasks) stay. Numbers that need a word nearby to be recognised are replaced wherever the same example
# repeats them, and so are names, whole or by one of their words. A text that is JSON stays JSON. In JSON a key counts as such a word for its value
# ({"ssn": "123456780"}), and an integer that as a whole is personal data becomes a placeholder.

__all__ = ["EMAIL_PATTERN", "JSON", "RULES_VERSION", "Scrubbed", "Scrubber", "scrub", "scrub_json"]

RULES_VERSION: str = "2"
"""Bumped when the rules change; stored beside each example, so that older ones can be scrubbed again."""

_BARE = re.compile(r"(?<=[\[:,\s])(<[A-Z][A-Z_]{1,30}_\d{1,6}>)(?=\s*[,\]}])")
_WORD_START = re.compile(r"(?<=[a-z])(?=[A-Z])|[_-]+")
_REPEATABLE = 6  # The shortest value that is looked for elsewhere in the example; shorter ones would hit other numbers.
_SMALLEST_NUMBER = 10**6
_ALWAYS_FOUND = {"EMAIL", "URL", "IBAN"}  # recognised without a word nearby
_TOKEN = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Scrubbed:
    """The texts of one example without personal data, and how many different values of each kind were taken out."""

    texts: tuple[str | None, ...]
    counts: dict[str, int]


class Scrubber:
    """Scrubs the texts and JSON of one example: equal values get the same placeholder in all of them.

    Pass everything the example holds to the constructor: placeholders already in it keep their numbers and new ones take others.
    """

    def __init__(self, *existing: JSON) -> None:
        self._taken: dict[str, set[int]] = {}
        self._placeholders: dict[tuple[str, str], str] = {}
        self._last: dict[str, int] = {}
        self._known: set[str] = set()
        self._people = People()
        self._repeatable: dict[str, list[tuple[str, int, str]]] = {}  # first word → raw text, where the word stands in it, placeholder
        self.counts: dict[str, int] = {}
        """Entity type → number of distinct values replaced so far."""
        self.reserve(*existing)

    def reserve(self, *existing: JSON) -> None:
        """Placeholders in these keep their numbers: new ones take others."""
        for text in strings(existing):
            for match in PLACEHOLDER.finditer(text):
                self._taken.setdefault(match[1], set()).add(int(match[2]))

    @property
    def known_values(self) -> int:
        """How many values are replaced wherever they are repeated; while it grows, texts scrubbed earlier deserve another look."""
        return len(self._known)

    def text(self, text: str, label: str = "") -> str:
        """The text with placeholders; `label` says what the text is (a JSON key), and counts as a word before it."""
        while True:  # what is replaced may change what stands beside its neighbour: done when nothing more is found
            scrubbed = self._pass(text, label)
            if scrubbed != text and _is_json(text):
                scrubbed = _BARE.sub(r'"\1"', scrubbed)  # what was a number becomes a string
                if not _is_json(scrubbed):
                    scrubbed = json.dumps(self.json(json.loads(text)), ensure_ascii=False)
            if scrubbed == text:
                return text
            text = scrubbed

    def json(self, value: JSON) -> JSON:
        """The value with every string in it scrubbed, keys too. Without recursion: nesting may be deep."""
        root: list[JSON] = [value]
        todo: list[tuple[list[JSON] | dict[str, JSON], int | str, str]] = [(root, 0, "")]
        while todo:
            place, slot, label = todo.pop()
            item = place[slot]  # type: ignore[index]
            inner: list[tuple[list[JSON] | dict[str, JSON], int | str, str]] = []
            if isinstance(item, list):
                item = list(item)
                inner = [(item, index, label) for index in range(len(item))]
            elif isinstance(item, dict):
                item, labels = self._keys(item)
                inner = [(item, key, labels[key]) for key in item]
            else:
                item = self._leaf(item, label)
            place[slot] = item  # type: ignore[index]
            todo.extend(reversed(inner))
        return root[0]

    def _leaf(self, item: JSON, label: str) -> JSON:
        if isinstance(item, str):
            return self.text(item, label)
        if isinstance(item, int) and not isinstance(item, bool) and item >= _SMALLEST_NUMBER and item.bit_length() < 128:
            scrubbed = self.text(str(item), label)
            return scrubbed if PLACEHOLDER.fullmatch(scrubbed) else item
        return item

    def _keys(self, item: dict[str, JSON]) -> tuple[dict[str, JSON], dict[str, str]]:
        renamed: dict[str, JSON] = {}
        labels: dict[str, str] = {}
        for key, value in item.items():
            name = base = self.text(key)
            count = 1
            while name in renamed or (name != key and name in item):  # two spellings of one value must not swallow one another
                count += 1
                name = f"{base} ({count})"
            renamed[name] = value
            labels[name] = _WORD_START.sub(" ", key) if not PLACEHOLDER.search(name) else ""
        return renamed, labels

    def _pass(self, text: str, label: str) -> str:
        lead = f"{label}: " if label else ""
        offset = len(lead)
        hidden = blank(lead + text, [(m.start() + offset, m.end() + offset) for m in PLACEHOLDER.finditer(text)])
        spans: list[tuple[int, int, str]] = []
        for finding in find(hidden):
            if finding.start >= offset:
                start, end = finding.start - offset, finding.end - offset
                spans.append((start, end, self._placeholder(finding.entity, finding.value, text[start:end])))
        return _replace(text, spans) if spans else self._replace_repeats(text)

    def _replace_repeats(self, text: str) -> str:
        if not self._repeatable:
            return text
        spans: list[tuple[int, int, str]] = []
        end = 0
        for token in _TOKEN.finditer(text):
            for raw, shift, placeholder in self._repeatable.get(token[0], ()):
                start = token.start() - shift
                if start >= end and text.startswith(raw, start) and not _inside_word(text, start, start + len(raw)):
                    end = start + len(raw)
                    spans.append((start, end, placeholder))
                    break
        return _replace(text, spans)

    def _placeholder(self, entity: str, value: str, raw: str) -> str:
        placeholder = self._placeholders.get((entity, value)) or (self._people.known(value) if entity == "PERSON" else None)
        if placeholder is None:
            placeholder = f"<{entity}_{self._number(entity)}>"
            self.counts[entity] = self.counts.get(entity, 0) + 1
        self._placeholders[entity, value] = placeholder
        if entity == "PERSON":
            self._people.remember(value, placeholder)
            for written in repeats(raw):
                self._repeat(written, placeholder)
        elif entity not in _ALWAYS_FOUND and len(raw) >= _REPEATABLE:
            self._repeat(raw, placeholder)
        return placeholder

    def _repeat(self, raw: str, placeholder: str) -> None:
        if raw in self._known:
            return
        self._known.add(raw)
        first = _TOKEN.search(raw)
        assert first is not None  # every pattern asks for a digit or a letter
        self._repeatable.setdefault(first[0], []).append((raw, first.start(), placeholder))
        self._repeatable[first[0]].sort(key=lambda entry: -len(entry[0]))

    def _number(self, entity: str) -> int:
        taken = self._taken.get(entity, set())
        number = self._last.get(entity, 0) + 1
        while number in taken:
            number += 1
        self._last[entity] = number
        return number


def scrub(*texts: str | None) -> Scrubbed:
    """The texts of one example with personal data replaced; None stays None. Scrubbing twice is scrubbing once."""
    scrubber = Scrubber(*texts)
    scrubbed = scrub_json(list(texts), scrubber)
    assert isinstance(scrubbed, list)
    return Scrubbed(tuple(text if text is None else str(text) for text in scrubbed), dict(scrubber.counts))


def scrub_json(value: JSON, scrubber: Scrubber | None = None) -> JSON:
    """The value with every string in it scrubbed, keys and values. To treat several parts of an example alike, pass them in one list.

    `scrubber` shares placeholders with what it has scrubbed before; without one the value is an example of its own.
    """
    scrubber = scrubber or Scrubber(value)
    while True:  # a number recognised late may stand, unrecognised, in an earlier text
        known = scrubber.known_values
        value = scrubber.json(value)
        if scrubber.known_values == known:
            return value


def _replace(text: str, spans: list[tuple[int, int, str]]) -> str:
    pieces, position = [], 0
    for start, end, placeholder in spans:
        pieces += [text[position:start], placeholder]
        position = end
    return "".join([*pieces, text[position:]])


def _is_json(text: str) -> bool:
    """Whether the text is a JSON object or array; one nested too deep for the parser counts as none."""
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _inside_word(text: str, start: int, end: int) -> bool:
    return (start > 0 and text[start - 1].isalnum()) or (end < len(text) and text[end].isalnum())
