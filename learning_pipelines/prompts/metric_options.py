"""The metrics an agent may name, with their options: the one place where such a choice is checked, by imports and by whoever scores.

Belongs here: names, options, ranges. Not here: scoring itself (metrics.py, judge.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from learning_pipelines.errors import BadInput

GOALS = {"accuracy": 1.0, "clarity": 0.5, "completeness": 0.5}
"""The optimization goals and how much each weighs unless somebody says otherwise."""
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tolerance(_Options):
    """How far a number may be off: by `absolute`, or by `relative` of the expected one; either is enough."""

    absolute: Amount = 0.0
    relative: Amount = 0.0


class ExactMatch(_Options):
    """`strict`: as it stands, surrounding whitespace aside; else without regard to case, spacing, outer quotes and a closing full stop."""

    strict: bool = False


class Contains(_Options):
    """`whole_words`: "art" is not in "party"."""

    whole_words: bool = False


class JsonMatch(_Options):
    """`fields`: what counts, "a.b" for a field of a field; none: every field that either side has. `tolerance` is for numbers; alone a
    number means absolute."""

    fields: Annotated[tuple[Annotated[str, StringConstraints(min_length=1, max_length=255)], ...], Field(max_length=1000)] | None = None
    tolerance: Tolerance = Tolerance()

    @field_validator("tolerance", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        return _as_tolerance(value)

    @field_validator("fields")
    @classmethod
    def _some(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and (not value or len(set(value)) < len(value)):
            raise ValueError("needs at least one field, each once")
        return value


class Numeric(_Options):
    """`take`: which number of the answer is meant where it holds several."""

    tolerance: Tolerance = Tolerance()
    take: Literal["first", "last"] = "first"

    @field_validator("tolerance", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        return _as_tolerance(value)


class Similarity(_Options):
    """No options."""


class JudgeOptions(_Options):
    """`weights` of accuracy, clarity and completeness; `instructions`: what else the judge should know about a good answer."""

    weights: dict[Literal["accuracy", "clarity", "completeness"], Amount] | None = None
    instructions: Annotated[str, Field(max_length=10_000)] = ""

    @field_validator("weights")
    @classmethod
    def _weigh(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value is not None and sum(value.values()) <= 0:
            raise ValueError("at least one weight must be above 0")
        return value


Options: TypeAlias = ExactMatch | Contains | JsonMatch | Numeric | Similarity | JudgeOptions
TYPES: dict[str, type[Options]] = {
    "exact_match": ExactMatch,
    "contains": Contains,
    "json_match": JsonMatch,
    "numeric": Numeric,
    "similarity": Similarity,
    "judge": JudgeOptions,
}


def wrong(spec: Mapping[str, Any]) -> str:
    """What is wrong with {"type": …, options}, in words; empty if nothing is."""
    options = TYPES.get(spec.get("type", ""))
    if options is None:
        return f"type: there is no metric {spec.get('type')!r}; there are {', '.join(TYPES)}"
    try:
        options.model_validate({name: value for name, value in spec.items() if name != "type"})
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
            return f"{first['loc'][0]}: {spec['type']} has no such option; it has {', '.join(options.model_fields) or 'none'}"
        return f"{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}"
    return ""


def options_of(spec: Mapping[str, Any]) -> Options:
    """The options of {"type": …, options}. Raises BadInput that names what cannot be used."""
    if problem := wrong(spec):
        raise BadInput(f"The agent's metric cannot be used: {problem}.", "Import the agent again with a metric that can.")
    return TYPES[spec["type"]].model_validate({name: value for name, value in spec.items() if name != "type"})


def metric_of_agent(stored: Mapping[str, Any] | None, labels: tuple[str, ...] | list[str] | None) -> dict[str, Any]:
    """The metric an agent named; where it named none, exact_match for a closed answer set, similarity for free text."""
    if stored is not None:
        return dict(stored)
    return {"type": "exact_match" if labels else "similarity"}


def _as_tolerance(value: object) -> object:
    return {"absolute": value} if isinstance(value, int | float) and not isinstance(value, bool) else value
