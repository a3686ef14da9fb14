"""Charts of a report as SVG that follows the colours of its page: values over weeks with their intervals and a target, shares as bars.

Belongs here: drawing. Not here: which numbers, the table beside each chart (templates/report.html.j2). No colour is named here: classes are, so that one
drawing serves light, dark and paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 220, 44, 12, 14, 30
Week = Mapping[str, Any]


def over_weeks(history: Sequence[Week], key: str, interval: str, *, low: float, high: float, target: float | None, title: str, write: str) -> str:
    """One point per week that has a value, its interval as a band, gaps where there is none. `write`: a format for values, such as `{:.1f}`."""
    step = (WIDTH - LEFT - RIGHT) / max(len(history) - 1, 1)

    def x(place: int) -> float:
        return LEFT + step * place

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (min(max(value, low), high) - low) / (high - low))

    parts = [_axis(y(value), write.format(value)) for value in (low, (low + high) / 2, high)]
    if target is not None:
        parts.append(f'<line class="target" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(target):.1f}" y2="{y(target):.1f}"/>')
    for run in _runs(history, key):
        bounds = [(place, history[place][interval]) for place in run if history[place][interval] is not None]
        if len(bounds) > 1:
            edge = [f"{x(place):.1f},{y(pair[1]):.1f}" for place, pair in bounds] + [f"{x(place):.1f},{y(pair[0]):.1f}" for place, pair in reversed(bounds)]
            parts.append(f'<polygon class="band" points="{" ".join(edge)}"/>')
        elif bounds:
            place, pair = bounds[0]
            parts.append(f'<line class="whisker" x1="{x(place):.1f}" x2="{x(place):.1f}" y1="{y(pair[0]):.1f}" y2="{y(pair[1]):.1f}"/>')
        parts.append(f'<polyline class="line" points="{" ".join(f"{x(place):.1f},{y(history[place][key]):.1f}" for place in run)}"/>')
        parts += [f'<circle class="dot" cx="{x(place):.1f}" cy="{y(history[place][key]):.1f}" r="3"/>' for place in run]
    for place in sorted({0, len(history) // 2, len(history) - 1}):
        anchor = "start" if place == 0 else "end" if place == len(history) - 1 else "middle"
        parts.append(f'<text x="{x(place):.1f}" y="{HEIGHT - 10}" text-anchor="{anchor}">{escape(str(history[place]["week"]))}</text>')
    return _frame("".join(parts), title, HEIGHT)


def bars(rows: Sequence[tuple[str, float, float]], title: str, names: tuple[str, str]) -> str:
    """Two bars per row (label, now, before), `names` in the legend."""
    most = max((value for _, now, before in rows for value in (now, before)), default=0) or 1
    left, height = 110, 28 + 30 * len(rows)
    parts = [
        f'<rect class="now" x="{left}" y="4" width="10" height="10"/><text x="{left + 15}" y="13">{escape(names[0])}</text>'
        f'<rect class="before" x="{left + 110}" y="4" width="10" height="10"/><text x="{left + 125}" y="13">{escape(names[1])}</text>'
    ]
    for place, (label, now, before) in enumerate(rows):
        top = 24 + 30 * place
        parts.append(f'<text x="{left - 8}" y="{top + 14}" text-anchor="end">{escape(label)}</text>')
        for name, value, offset in (("now", now, 0), ("before", before, 12)):
            width = (WIDTH - left - 60) * value / most
            parts.append(f'<rect class="{name}" x="{left}" y="{top + offset}" width="{width:.1f}" height="10"/>')
            parts.append(f'<text class="small" x="{left + width + 5:.1f}" y="{top + offset + 9}">{value:g}</text>')
    return _frame("".join(parts), title, height)


def _runs(history: Sequence[Week], key: str) -> list[list[int]]:
    """Stretches of weeks without a gap."""
    runs: list[list[int]] = []
    for place, week in enumerate(history):
        if week[key] is None:
            continue
        if runs and runs[-1][-1] == place - 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs


def _axis(y: float, label: str) -> str:
    line = f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return f'{line}<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'


def _frame(inner: str, title: str, height: int) -> str:
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">{inner}</svg>'
