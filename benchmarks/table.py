"""The README's table of benchmarks, made of the results: `make bench-table`.

Belongs here: rows and their words, the place between the marks. Not here: running anything, what stands in a result (record.py).

Per figure the median of its rounds, with the least and the largest where there are several. The last column but one divides our median by the peer's.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.record import BUSY, OURS, PROJECT, RESULTS, Figure, Result, newest
from benchmarks.registry import BENCHMARKS, Benchmark

README = PROJECT / "README.md"
BEGIN, END = "<!-- benchmarks: made by `make bench-table` -->", "<!-- end of benchmarks -->"
HEAD = ("benchmark", "what", "ours", "beside it", "ours ÷ theirs", "run")


def update(readme: Path = README, results: Path = RESULTS) -> None:
    readme.write_text(placed(readme.read_text(encoding="utf-8"), results), encoding="utf-8")


def placed(text: str, results: Path = RESULTS) -> str:
    """The text with today's table between the marks."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"the README has to hold {BEGIN!r} and {END!r} once each")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return f"{before}{BEGIN}\n\n{table(results)}\n\n{END}{after}"


def table(results: Path = RESULTS) -> str:
    """Every benchmark of the registry: its headlines, or that it has no result."""
    lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    for one in BENCHMARKS.values():
        lines += _rows(one, newest(one.name, results))
    return "\n".join(lines)


def _rows(one: Benchmark, result: Result | None) -> list[str]:
    if result is None:
        return [f"| {one.name} | {one.measures} | not run on this version | {one.beside} | | |"]
    rows = []
    for name in headlines(one, result):
        figures = {figure.who: figure for figure in result.figures if figure.name == name}
        own, others = figures.pop(OURS, None), list(figures.values())
        run = about(one, result) if not rows else "〃"
        for place, other in enumerate(others or [None]):
            ratio = "" if own is None or other is None else divided(own, other)
            beside = "" if other is None else f"{other.who}: {shown(other)}"
            cells = [one.name, name, "" if own is None else shown(own)] if place == 0 else ["", "", ""]
            rows.append(f"| {' | '.join([*cells, beside, ratio, run if place == 0 else ''])} |")
    return rows or [f"| {one.name} | {one.measures} | {len(result.figures)} figures | {one.beside} | | {about(one, result)} |"]


def headlines(one: Benchmark, result: Result) -> list[str]:
    """Names of the result's figures that stand in the table, in the registry's order."""
    names = list(dict.fromkeys(figure.name for figure in result.figures))
    return list(dict.fromkeys(name for pattern in one.headlines for name in names if re.fullmatch(pattern, name)))


def about(one: Benchmark, result: Result) -> str:
    """Size, conditions and version of a run. Where figures are counts and scores, conditions do not matter."""
    size = {"full": "", "quick": "**quick**, ", "own": f"`{' '.join(result.arguments)}`, "}[result.size]
    before, after = result.busy
    beside = f" but for niced work ({', '.join(f'{share:.0%}' for share in result.yielding)})" if max(result.yielding) >= BUSY else ""
    machine = f"{result.machine['cores']} cores, {f'quiet{beside}' if result.quiet else f'**busy** ({before:.0%}, {after:.0%})'}"
    return f"{size}{'counts' if one.exact else machine}, {result.date}, {result.git}, seed {result.seed}"


def divided(own: Figure, other: Figure) -> str:
    """Our median by theirs; nothing of differences in points, nor where one is not above zero."""
    return number(own.median / other.median) if own.unit != "points" and min(own.median, other.median) > 0 else ""


def shown(figure: Figure) -> str:
    """Median, least and largest round, unit."""
    spread = f" ({number(min(figure.rounds))}–{number(max(figure.rounds))}, {len(figure.rounds)} rounds)" if len(figure.rounds) > 1 else ""
    return f"{number(figure.median)}{f' {figure.unit}' if figure.unit else ''}{spread}"


def number(value: float) -> str:
    """Three digits that count; whole where it is large."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
