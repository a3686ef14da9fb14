"""The week's numbers as a short Markdown page.

Belongs here: wording and layout. Not here: computing anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fsspec


def week_markdown(numbers: Mapping[str, Any]) -> str:
    """Headline figures, agents and issues; what has nothing behind it reads "no evidence"."""
    interval = numbers["rating_interval"]
    spread = f"95 % {interval[0]:.2f}–{interval[1]:.2f}, " if interval else ""
    rating = f"{_number(numbers['avg_rating'])} ({spread}n = {numbers['ratings']})"
    rate, targets = _percent(numbers["feedback_rate"]), numbers["targets"]
    lines = [
        f"# Week {numbers['week']} · {numbers['organization']}",
        f"{numbers['starts']} to {numbers['ends']} ({numbers['timezone']})",
        "",
        "| | this week | change | target |",
        "|---|---|---|---|",
        f"| executions | {numbers['executions']} | {_change(numbers, 'executions')} | |",
        f"| feedback | {numbers['feedback']} | {_change(numbers, 'feedback')} | |",
        f"| executions with feedback | {rate} | {_change(numbers, 'feedback_rate', 100, ' points')} | {_percent(targets['feedback_rate'])} |",
        f"| average rating | {rating} | {_change(numbers, 'avg_rating')} | {targets['avg_rating']:.1f} |",
        f"| thumbs up / down | {numbers['thumbs_up']} / {numbers['thumbs_down']} | | |",
        f"| corrections | {numbers['corrections']} | {_change(numbers, 'corrections')} | |",
        f"| examples collected / reviewed / approved | {' / '.join(str(numbers['examples'][name]) for name in ('collected', 'reviewed', 'approved'))} | | |",
        f"| examples waiting for review | {numbers['examples']['waiting_for_review']} | | |",
        f"| dataset versions | {numbers['dataset_versions']} | | |",
    ]
    lines += _weighted(numbers)
    if numbers["simulated_feedback"]:
        count = numbers["simulated_feedback"]
        lines += ["", f"**Simulated:** {count} of these {numbers['feedback']} feedback rows were made by simulated users, not by people."]
    if numbers["agents"]:
        lines += ["", "| agent | executions | with feedback | rating | corrections |", "|---|---|---|---|---|"]
        lines += [
            f"| {row['agent']} | {row['executions']} | {_percent(row['feedback_rate'])} | {_number(row['avg_rating'])} | {row['corrections']} |"
            for row in numbers["agents"]
        ]
    if numbers["issues"]:
        lines += ["", "| issue | count | share | change |", "|---|---|---|---|"]
        lines += [f"| {row['category']} | {row['count']} | {_percent(row['share'])} | {row['change']:+d} |" for row in numbers["issues"]]
    if numbers["feedback_without_execution"]:
        lines += ["", f"{numbers['feedback_without_execution']} feedback rows wait for their execution and are counted nowhere above."]
    return "\n".join(lines) + "\n"


def _weighted(numbers: Mapping[str, Any]) -> list[str]:
    """What rater weights change, where they change a digit that is shown, and how many raters have next to no weight."""
    up, down = numbers["thumbs_up"], numbers["thumbs_down"]
    pairs = [("average rating", _number, numbers["weighted_rating"], numbers["avg_rating"])]
    pairs.append(("share of thumbs up", _percent, numbers["weighted_thumbs_up_share"], up / (up + down) if up + down else None))
    lines = [f"Weighted by how far raters are trusted, the {name} is {show(new)} instead of {show(raw)}." for name, show, new, raw in pairs
             if new is not None and show(new) != show(raw)]  # fmt: skip
    if numbers["distrusted_raters"]:
        lines.append(f"{numbers['distrusted_raters']} raters of this week have next to no weight.")
    return ["", " ".join(lines)] if lines else []


def report_path(artifacts: str, organization: str, week: str) -> str:
    """Where the page of a week is kept below the artifact store."""
    return f"{artifacts.rstrip('/')}/reports/{organization}/{week}.md"


def write_report(artifacts: str, numbers: Mapping[str, Any]) -> str:
    """Stores the page in the artifact store (an fsspec URL) and returns its path."""
    path = report_path(artifacts, numbers["organization"], numbers["week"])
    with fsspec.open(path, "w", encoding="utf-8", auto_mkdir=True) as page:
        page.write(week_markdown(numbers))
    return path


def _number(value: float | None) -> str:
    return "no evidence" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "no evidence" if value is None else f"{100 * value:.1f} %"


def _change(numbers: Mapping[str, Any], name: str, scale: float = 1, unit: str = "") -> str:
    value = numbers["change"][name]
    if value is None:
        return "–"
    scaled = value * scale
    return f"{scaled:+.0f}{unit}" if isinstance(value, int) else f"{scaled:+.2f}{unit}"
