"""The week's numbers as a Markdown page.

Belongs here: layout. Not here: computing anything, wording of single numbers (wording.py), where files are kept (files.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learning_pipelines.reports import wording


def week_markdown(numbers: Mapping[str, Any]) -> str:
    """What to do next, headline figures, agents, issues, learning, queries; what has nothing behind it reads "no evidence"."""
    interval = numbers["rating_interval"]
    spread = f"95 % {interval[0]:.2f}–{interval[1]:.2f}, " if interval else ""
    rating = f"{_number(numbers['avg_rating'])} ({spread}n = {numbers['ratings']})"
    rate, targets = _percent(numbers["feedback_rate"]), numbers["targets"]
    lines = [
        f"# Week {numbers['week']} · {numbers['organization']}",
        f"{numbers['starts']} to {numbers['ends']} ({numbers['timezone']})",
        "",
        *_actions(numbers),
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
        lines += ["", "| issue | count | share | change | direction |", "|---|---|---|---|---|"]
        lines += [f"| {row['category']} | {row['count']} | {_percent(row['share'])} | {row['change']:+d} | {row['verdict']} |" for row in numbers["issues"]]
    if numbers["feedback_without_execution"]:
        lines += ["", f"{numbers['feedback_without_execution']} feedback rows wait for their execution and are counted nowhere above."]
    for section in (_evidence, _milestones, _learnt, _serving, _experiments, _cost, _incidents, _queries):
        lines += section(numbers)
    return "\n".join(lines) + "\n"


def _actions(numbers: Mapping[str, Any]) -> list[str]:
    steps = [f"{one['rank']}. {one['text']} ({one['number']}; {one['place']})" for one in numbers["actions"]]
    alarms = [
        f"**Drift alarm:** the {one['kind']} of {one['agent']} (version {one['version']}) answers {one['score']:.3f} of {one['n']} held-out items, "
        f"{one['first_score']:.3f} in {one['first_week']}." for one in numbers["serving"] if one["alarm"]
    ]  # fmt: skip
    return [*(line for alarm in alarms for line in (alarm, "")), *(["What to do next:", "", *steps, ""] if steps else [])]


def _evidence(numbers: Mapping[str, Any]) -> list[str]:
    rows = [
        f"| {row['label']} | {wording.value(row['value'], row['unit'])} | {wording.interval(row['interval'], row['unit']) or '–'} | "
        f"{wording.count(row['n'])} {row['of']} | {wording.changes(row)} | {row['verdict'] or ''} |" for row in numbers["headline"]
    ]  # fmt: skip
    return ["", "## With intervals", "", "| number | value | 95 % interval | of | change on the week before | target |", "|---|---|---|---|---|---|", *rows]


def _milestones(numbers: Mapping[str, Any]) -> list[str]:
    goals = [
        f"- {one['name']} (until {wording.day(one['due'])}): {one['approved']} of {one['target']} approved, {one['verdict']}" for one in numbers["milestones"]
    ]  # fmt: skip
    agreed = [
        f"- {one['agent']}, {one['raters']}, {one['period']}: alpha {wording.value(one['alpha'], 'score')} "
        f"({wording.interval(one['interval'], 'score') or one['reason'] or 'no interval'}) on {one['examples']} examples" for one in numbers["agreement"]
    ]  # fmt: skip
    return ["", "## Examples and reviews", "", *(goals or ["- Goals: no evidence, there was no example yet."]), *(agreed or ["- Agreement: no evidence."])]


def _learnt(numbers: Mapping[str, Any]) -> list[str]:
    found = numbers["learning"]
    lines = ["", "## What was learnt", "", f"{found['tests']} tests, {found['proposed']} proposed, {found['adopted']} adopted, {found['rejected']} rejected, "
             f"{found['waiting_for_approval']} wait for approval."]  # fmt: skip
    if found["proposals"]:
        lines += ["", "| agent | kind | state | before | after | gain | relative gain | against 10 % |", "|---|---|---|---|---|---|---|---|"]
    return lines + [
        f"| {one['agent']} | {one['kind']} | {one['state']} | {wording.value(one['before'], 'score', 3)} | {wording.value(one['after'], 'score', 3)} | "
        f"{wording.change(one['gain'], 'share')} ({wording.interval(one['interval'], 'share')}) | {wording.value(one['relative_gain'], 'share')} | "
        f"{one['verdict_on_target']} |" for one in found["proposals"]
    ]  # fmt: skip


def _serving(numbers: Mapping[str, Any]) -> list[str]:
    lines = [
        f"- {one['agent']}, {one['kind']}: {one['reason']}" if one["reason"] else
        f"- {one['agent']}, {one['kind']} version {one['version']}: {one['metric']} {one['score']:.3f} ({wording.interval(one['interval'], 'score')}) on "
        f"{one['n']} held-out items of set {one['set']}{'; drift alarm' if one['alarm'] else ''}" for one in numbers["serving"]
    ]  # fmt: skip
    return ["", "## What serves now", "", *(lines or ["No evidence: what served was not scored in this week."])]


def _experiments(numbers: Mapping[str, Any]) -> list[str]:
    found = numbers["experiments"]
    lines = [
        f"- {one['name']} ({one['agent']}): {one['decision']}, {one['metric']} {wording.value(one['difference'], 'score', 3)} "
        f"({wording.interval(one['interval'], 'score')})" for one in found["decided"]
    ]  # fmt: skip
    return ["", "## Experiments", "", f"{len(found['decided'])} decided, {found['running']} running.", *(["", *lines] if lines else [])]


def _cost(numbers: Mapping[str, Any]) -> list[str]:
    found = numbers["cost"]
    money = f"no evidence ({found['unpriced_answers']} answers without a price)" if found["unpriced_answers"] else wording.value(found["cost_usd"], "usd")
    spent = f"{money}, {found['requests']} requests, {found['input_tokens']} tokens in, {found['output_tokens']} out"
    return ["", "## Cost of learning", "", f"{spent}; {found['training_runs']} training runs took {wording.seconds(found['training_seconds'])}."]


def _incidents(numbers: Mapping[str, Any]) -> list[str]:
    lines = ["", "## Data quality", ""]
    for one in numbers["incidents"]:
        lines.append(f"- {one['label']}: {wording.NONE if one['count'] is None else one['count']}")
        lines += [f"  - {named['name']}: {wording.failures(named)}" for named in one.get("by_name", ())]  # reports of earlier versions do not name them
    return lines


def _queries(numbers: Mapping[str, Any]) -> list[str]:
    shown = [line for name, text in sorted(numbers["queries"].items()) for line in (f"### {name}", "", "```sql", text, "```", "")]
    return ["", "## Queries", "", "Each gives its numbers again, run as learning_pipeline with `search_path = learning`.", "", *shown,
            *(f"- {note}" for note in numbers["notes"])]  # fmt: skip


def _weighted(numbers: Mapping[str, Any]) -> list[str]:
    """What rater weights change, where they change a digit that is shown, and how many raters have next to no weight."""
    up, down = numbers["thumbs_up"], numbers["thumbs_down"]
    pairs = [("average rating", _number, numbers["weighted_rating"], numbers["avg_rating"])]
    pairs.append(("share of thumbs up", _percent, numbers["weighted_thumbs_up_share"], up / (up + down) if up + down else None))
    lines = [f"Weighted by how far raters are trusted, the {name} is {show(new)} instead of {show(raw)}." for name, show, new, raw in pairs
             if new is not None and show(new) != show(raw)]  # fmt: skip
    if numbers["distrusted_raters"] is None:
        lines.append(f"Raters of next to no weight: {wording.NONE}, feedback of this week lies in the archive.")
    elif numbers["distrusted_raters"]:
        lines.append(f"{numbers['distrusted_raters']} raters of this week have next to no weight.")
    return ["", " ".join(lines)] if lines else []


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
