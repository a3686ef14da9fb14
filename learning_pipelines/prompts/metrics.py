"""How good an answer is, as a number from 0 to 1: what each metric of an agent means, exactly.

Belongs here: scoring a text against the approved one. Not here: which options there are (metric_options.py), a model as judge (judge.py),
reading numbers and JSON out of prose (answer_values.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from learning_pipelines.errors import BadInput
from learning_pipelines.prompts import metric_options as options
from learning_pipelines.prompts.answer_values import NO_JSON, as_number, json_in, number_in, within
from learning_pipelines.prompts.task import Item

if TYPE_CHECKING:
    from learning_pipelines.encoder import Encoder

_QUOTES = "\"'`*“”‘’„‚«»‹›"
_CLOSING = ".,;:!?…。！？"
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Mark:
    """What a metric makes of an answer. `fault`: why the answer could not be used at all (its score is 0)."""

    score: float
    fault: str | None = None


class Metric(Protocol):
    """Scores answers against the approved ones. The same answer to the same item always gets the same score."""

    @property
    def type(self) -> str: ...

    def marks(self, answers: Sequence[tuple[Item, str]]) -> list[Mark]:
        """One mark per answer, in order. Many at once cost least."""
        ...

    def score(self, item: Item, output: str) -> float:
        """0 (wrong) to 1 (right)."""
        ...


def metric_of(spec: Mapping[str, Any], encoder: Encoder | None = None) -> Metric:
    """The metric {"type": …, options}; similarity needs the encoder.

    Raises BadInput for an unknown type or option, for similarity without an encoder, and for judge, which takes a model (agent_metric.open_metric).
    """
    match options.options_of(spec):
        case options.ExactMatch(strict=strict):
            return _Plain("exact_match", lambda expected, output: _exact(expected, output, strict))
        case options.Contains(whole_words=whole_words):
            return _Plain("contains", lambda expected, output: _contains(expected, output, whole_words))
        case options.JsonMatch() as chosen:
            return _Plain("json_match", lambda expected, output: _json_match(expected, output, chosen))
        case options.Numeric() as chosen:
            return _Plain("numeric", lambda expected, output: _numeric(expected, output, chosen))
        case options.Similarity():
            if encoder is None:
                raise BadInput("The metric similarity needs an encoder.", "Open one, or choose another metric.")
            return SimilarityMetric(encoder)
    raise BadInput("The metric judge needs a judging model.", "Set LEARNING_JUDGE_MODEL, or choose another metric.")


def normalised(text: str) -> str:
    """What exact_match and contains compare: Unicode NFKC, casefold, single spaces, without quotes or emphasis around and closing marks behind.

    A text of nothing but such marks stays as it is.
    """
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    bare, before = plain, None
    while bare != before:
        before, bare = bare, bare.strip(_QUOTES + " ").rstrip(_CLOSING + " ")
    return bare or plain


class Scorer(Protocol):
    def __call__(self, expected: str, output: str) -> Mark: ...


@dataclass(frozen=True, slots=True)
class _Plain:
    """A metric that looks at one answer at a time."""

    type: str
    scorer: Scorer

    def marks(self, answers: Sequence[tuple[Item, str]]) -> list[Mark]:
        return [self.scorer(item.expected, output) for item, output in answers]

    def score(self, item: Item, output: str) -> float:
        return self.scorer(item.expected, output).score


@dataclass(frozen=True, slots=True)
class SimilarityMetric:
    """Cosine of the two texts' vectors; what points away from each other counts 0, and so does an empty answer."""

    encoder: Encoder
    type: str = "similarity"

    def marks(self, answers: Sequence[tuple[Item, str]]) -> list[Mark]:
        if not answers:
            return []
        texts = list(dict.fromkeys(text for item, output in answers for text in (item.expected, output)))
        place = {text: number for number, text in enumerate(texts)}
        vectors = self.encoder.encode(texts)
        found = []
        for item, output in answers:
            if not output.strip() or not item.expected.strip():
                found.append(Mark(float(output.strip() == item.expected.strip())))
                continue
            cosine = float(vectors[place[item.expected]] @ vectors[place[output]])
            found.append(Mark(1.0 if item.expected == output else min(1.0, max(0.0, cosine))))
        return found

    def score(self, item: Item, output: str) -> float:
        return self.marks([(item, output)])[0].score


def _exact(expected: str, output: str, strict: bool) -> Mark:
    same = expected.strip() == output.strip() if strict else normalised(expected) == normalised(output)
    return Mark(float(same))


def _contains(expected: str, output: str, whole_words: bool) -> Mark:
    wanted, text = normalised(expected), normalised(output)
    if not wanted:
        return Mark(float(not text))
    found = re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", text) is not None if whole_words else wanted in text
    return Mark(float(found))


def _numeric(expected: str, output: str, chosen: options.Numeric) -> Mark:
    wanted, given = number_in(expected), number_in(output, last=chosen.take == "last")
    if wanted is None:
        return Mark(0.0, "the expected output holds no number")
    if given is None:
        return Mark(0.0, "the answer holds no number")
    return Mark(float(within(given, wanted, chosen.tolerance)))


def _json_match(expected: str, output: str, chosen: options.JsonMatch) -> Mark:
    wanted, given = json_in(expected), json_in(output)
    if wanted is NO_JSON:
        return Mark(0.0, "the expected output holds no JSON")
    if given is NO_JSON:
        return Mark(0.0, "the answer holds no JSON")
    if chosen.fields is None:
        return Mark(_alike(wanted, given, chosen.tolerance))
    shares = [_alike(_field(wanted, name), _field(given, name), chosen.tolerance) for name in chosen.fields]
    return Mark(sum(shares) / len(shares))


def _field(value: Any, name: str) -> Any:
    """A field by its name, or by its path "a.b"; _MISSING where there is none."""
    if isinstance(value, dict) and name in value:
        return value[name]
    first, dot, rest = name.partition(".")
    return _field(value[first], rest) if dot and isinstance(value, dict) and first in value else _MISSING


def _alike(wanted: Any, given: Any, tolerance: options.Tolerance) -> float:
    """Share of what is alike, 0–1. Objects: the mean over the fields that either side has. Lists: what both have, in any order, twice,
    by the length of both (Dice). null is the same as nothing. Numbers and truth values may be written as text.
    """
    wanted, given = (None if value is _MISSING else value for value in (wanted, given))
    if isinstance(wanted, dict) and isinstance(given, dict):
        names = {*wanted, *given}
        return sum(_alike(wanted.get(name), given.get(name), tolerance) for name in names) / len(names) if names else 1.0
    if isinstance(wanted, list) and isinstance(given, list):
        return _alike_lists(wanted, given, tolerance)
    if isinstance(wanted, bool) or isinstance(given, bool):
        return float(_as_bool(wanted) is not None and _as_bool(wanted) == _as_bool(given))
    if isinstance(wanted, Decimal) or isinstance(given, Decimal):
        numbers = as_number(wanted), as_number(given)
        return float(numbers[0] is not None and numbers[1] is not None and within(numbers[1], numbers[0], tolerance))
    if isinstance(wanted, str) and isinstance(given, str):
        return float(normalised(wanted) == normalised(given))
    return float(wanted is None and given is None)


def _alike_lists(wanted: list[Any], given: list[Any], tolerance: options.Tolerance) -> float:
    if not wanted and not given:
        return 1.0
    left = list(given)
    both = 0
    for one in wanted:
        at = next((place for place, other in enumerate(left) if _alike(one, other, tolerance) == 1.0), None)
        if at is not None:
            left.pop(at)
            both += 1
    return 2 * both / (len(wanted) + len(given))


def _as_bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(normalised(value)) if isinstance(value, str) else None
