"""A report as one self-contained HTML file: its styles and charts are in it, it needs no script, follows light and dark, and prints.

Belongs here: putting numbers into the template, the hash of its styles. Not here: numbers (week.py), drawing (charts.py), layout (templates/).

The template escapes everything that is put into it; charts escape what they draw themselves.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from learning_pipelines.reports import charts, wording

TEMPLATE, STYLES = "report.html.j2", "report.css"


def week_html(numbers: Mapping[str, Any], link: str) -> str:
    """The page of a week. `link`: the address of the pages, without a slash at its end. The same numbers and link give the same bytes."""
    styles, template = _loaded()
    drawn = {name: Markup(svg) for name, svg in _drawn(numbers).items()}  # nosec B704 # made by charts.py, which escapes what it draws
    own = Markup(styles)  # nosec B704 # a file of this package
    return str(template.render(n=numbers, link=link, styles=own, w=wording, charts=drawn))


@lru_cache(maxsize=1)
def content_policy() -> str:
    """The Content-Security-Policy that the page needs where it is served: its own styles by their hash, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(_loaded()[0].encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@lru_cache(maxsize=1)
def _loaded() -> tuple[str, Any]:
    loader = PackageLoader("learning_pipelines.reports")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["anchor"] = lambda name: "query-" + str(name).replace(" ", "-")
    return loader.get_source(environment, STYLES)[0], environment.get_template(TEMPLATE)


def _drawn(numbers: Mapping[str, Any]) -> dict[str, str]:
    """The charts by name; an empty text where there is nothing to show."""
    history, found = numbers["history"], {"rate": "", "rating": "", "issues": ""}
    if any(week["feedback_rate"] is not None for week in history):
        highest = max((week["feedback_rate_interval"][1] for week in history if week["feedback_rate_interval"] is not None), default=0.0)
        high = min(1.0, max(0.4, -(-highest // 0.2) * 0.2))
        title = f"Share of executions with feedback, {history[0]['week']} to {history[-1]['week']}; the numbers are in the table below"
        found["rate"] = charts.over_weeks(
            [{**week, "rate": None if week["feedback_rate"] is None else 100 * week["feedback_rate"],
              "bounds": None if week["feedback_rate_interval"] is None else [100 * end for end in week["feedback_rate_interval"]]} for week in history],
            "rate", "bounds", low=0, high=100 * high, target=100 * numbers["targets"]["feedback_rate"], title=title, write="{:.0f} %",
        )  # fmt: skip
    if any(week["avg_rating"] is not None for week in history):
        title = f"Average rating, {history[0]['week']} to {history[-1]['week']}; the numbers are in the table below"
        found["rating"] = charts.over_weeks(
            history, "avg_rating", "rating_interval", low=1, high=5, target=numbers["targets"]["avg_rating"], title=title, write="{:.0f}"
        )  # fmt: skip
    if numbers["issues"]:
        rows = [(one["category"], one["count"], one["before"]) for one in numbers["issues"]]
        found["issues"] = charts.bars(rows, "Complaints by category, this week and the week before; the numbers are in the table", ("this week", "week before"))
    return found
