"""The options of an experiment beside its columns: what `config` holds, each with its range and default.

Belongs here: names, ranges, defaults. Not here: columns (storage/experiment_rows.py), what follows from an option (decision.py, canary.py).

Beside the options, `config` holds what is kept up while an experiment runs (KEPT): nobody may ask for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from learning_pipelines.errors import BadInput
from learning_pipelines.experiments.metrics import metric

KEPT = ("slice", "withdrawn")
"""Spans of the exclusion group's hash space that were given at the start; treatments that were stopped for harm while the others went on."""


class Options(BaseModel):
    """Every option; what `config` leaves out has its default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    alpha: Annotated[
        float, Field(ge=1e-6, le=0.5, description="Two-sided chance of a wrong winner or loser over the whole life and all treatments together.")
    ] = 0.05
    guardrail_alpha: Annotated[
        float, Field(ge=1e-6, le=0.5, description="Chance that guardrails stop a harmless variant, over its whole life and all guardrails together.")
    ] = 0.05
    minimum_effect: Annotated[
        float, Field(ge=0, le=1e9, description="Smallest gain that matters, in the primary metric's own unit: what is surely below it is not worth adopting.")
    ] = 0.0
    tolerances: Annotated[
        dict[str, float], Field(max_length=50, description="Guardrail → how much worse it may become without harm, in its own unit (0 where none is named).")
    ] = {}
    growth: Annotated[
        float, Field(ge=0, le=100, description="Guardrails latency_ms and cost_usd: share of the control's mean by which they may grow without harm.")
    ] = 0.0
    cuped: Annotated[bool, Field(description="Ratio metrics are adjusted by the unit's own values before its exposure.")] = True
    traffic: Annotated[float | None, Field(gt=0, le=1, description="In an exclusion group: share of its units that take part; null: half of what is free.")] = (
        None
    )
    max_hours: Annotated[int | None, Field(ge=1, le=87_600, description="Hours after which it ends inconclusive; null: it waits.")] = None
    step_hours: Annotated[int, Field(ge=0, le=8_760, description="Rollouts: hours that each step lasts at least.")] = 24
    step_units: Annotated[
        int, Field(ge=0, le=1_000_000_000, description="Rollouts: units with a value that the treatment needs before everybody gets it; earlier a part.")
    ] = 600
    """600: a drop of thumbs by 10 points is seen before everybody has it in 89 of 100 rollouts from 80 to 70 %, in 80 from 60 to 50 % (simulated)."""
    auto_adopt: Annotated[
        bool, Field(description="Whether a winner serves as soon as it is decided; otherwise an administrator concludes. Only administrators may say so.")
    ] = False

    @field_validator("tolerances")
    @classmethod
    def _of_metrics(cls, value: dict[str, float]) -> dict[str, float]:
        for name, most in value.items():
            try:
                metric(name)
            except BadInput as error:
                raise ValueError(str(error)) from None
            if most < 0:
                raise ValueError(f"The tolerance of {name} is below 0: it says how much worse it may become.")
        return value

    def as_config(self) -> dict[str, Any]:
        """What differs from the defaults, as `config` keeps it."""
        return self.model_dump(exclude_defaults=True)


def options_of(config: Mapping[str, Any]) -> Options:
    """The options that a config means, whatever is kept up beside them. Raises BadInput naming the option that is unknown or out of its range."""
    try:
        return Options.model_validate({name: value for name, value in config.items() if name not in KEPT})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "options"
        if first["type"] == "extra_forbidden":
            raise BadInput(f"{name!r} is no option of an experiment.", f"There are {', '.join(Options.model_fields)}.") from None
        said = Options.model_fields[name].description or ""
        raise BadInput(f"The option {name} is refused: {str(first['msg']).removeprefix('Value error, ')}.", said) from None
