"""Variables of the environment that look like settings and are none: a typing error would otherwise change nothing and say nothing.

Belongs here: the names that share the prefix of the settings, finding the others. Not here: settings and what is allowed in them (settings.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from learning_pipelines.settings import Settings

PREFIX = "LEARNING_"
READ_ELSEWHERE = {
    "the Python client": ("API_KEY", "API_URL", "QUEUE_DIR"),
    "dagster.yaml": ("DAGSTER_PG_DATABASE", "DAGSTER_PG_HOST", "DAGSTER_PG_PASSWORD", "DAGSTER_PG_PORT", "DAGSTER_PG_USER"),
    "the workspace of the image": ("CODE_SERVER",),
    "compose.yaml": ("API_PASSWORD", "PIPELINE_PASSWORD"),
    "tests": ("CHROMIUM", "SCREENSHOTS", "TEST_DATA"),
    "benchmarks": ("BENCHMARK_FIGURES", "BENCHMARK_WITHOUT"),
}  # fmt: skip
"""Who reads variables with this prefix that are no settings."""


def known() -> frozenset[str]:
    """Every name after the prefix that something reads."""
    own = {name.upper() for name, field in Settings.model_fields.items() if field.validation_alias is None}
    return frozenset(own.union(*READ_ELSEWHERE.values()))


def warnings(environment: Mapping[str, str]) -> Iterator[str]:
    """A line for every variable that nothing reads, with the setting that was probably meant. An empty one counts as unset, as everywhere."""
    names = known()
    for variable in sorted(name for name, value in environment.items() if name.startswith(PREFIX) and value):
        if (rest := variable.removeprefix(PREFIX)) not in names:
            near = get_close_matches(rest, sorted(names), n=1)
            yield f"Warning: nothing reads {variable}." + (f" Did you mean {PREFIX}{near[0]}?" if near else "")
