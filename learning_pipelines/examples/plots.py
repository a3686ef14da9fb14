"""Small plots of numbers as SVG, for the metadata of assets: a few kB each, without a plotting library.

Belongs here: drawing. Not here: which numbers. No plot holds text that people wrote.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, MARGIN = 480, 240, 36
COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed")
Point = tuple[float, float]


def histogram(counts: Sequence[int], low: float = 0.0, high: float = 1.0) -> str:
    """Bars of equal width over low..high."""
    top, width = max([*counts, 1]), (WIDTH - 2 * MARGIN) / max(len(counts), 1)
    bars = "".join(
        f'<rect x="{MARGIN + place * width:.1f}" y="{_y(count / top):.1f}" width="{width * 0.9:.1f}" height="{_y(0) - _y(count / top):.1f}"/>'
        for place, count in enumerate(counts)
    )
    return _frame(f'<g fill="{COLOURS[0]}">{bars}</g>', x=(f"{low:g}", f"{high:g}"), y=("0", str(top)))


def reliability(bins: Sequence[Sequence[float]]) -> str:
    """Share of approvals over mean score per bin ([score, share, count]), all 0..1, on the diagonal of perfect calibration."""
    most = max((count for _, _, count in bins), default=1)
    line = f'<line x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}" stroke="#9ca3af" stroke-dasharray="4"/>'
    dots = "".join(
        f'<circle cx="{_x(score):.1f}" cy="{_y(share):.1f}" r="{2 + 4 * count / most:.1f}" fill="{COLOURS[0]}"/>' for score, share, count in bins
    )
    return _frame(line + _path([(score, share) for score, share, _ in bins], COLOURS[0]) + dots, x=("0", "1"), y=("0", "1"))


def lines(series: Mapping[str, Sequence[float | None]], labels: Sequence[str], low: float = 0.0, high: float = 1.0) -> str:
    """One line per series over the same labels, values low..high, gaps where there is none; a legend with the names of the series."""
    drawn = []
    for number, (name, values) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = [
            (place / max(len(labels) - 1, 1), (min(max(value, low), high) - low) / (high - low)) for place, value in enumerate(values) if value is not None
        ]
        dots = "".join(f'<circle cx="{_x(x):.1f}" cy="{_y(y):.1f}" r="2.5" fill="{colour}"/>' for x, y in points)
        drawn.append(_path(points, colour) + dots + f'<text x="{MARGIN + 8}" y="{14 + 12 * number}" fill="{colour}">{name}</text>')
    return _frame("".join(drawn), x=(labels[0], labels[-1]) if labels else ("", ""), y=(f"{low:g}", f"{high:g}"))


def markdown(svg: str, title: str) -> str:
    """The plot as a Markdown image that needs no server."""
    return f"![{title}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _x(share: float) -> float:
    return MARGIN + share * (WIDTH - 2 * MARGIN)


def _y(share: float) -> float:
    return HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN)


def _path(points: Sequence[Point], colour: str) -> str:
    if len(points) < 2:
        return ""
    joined = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)
    return f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _frame(inner: str, x: tuple[str, str], y: tuple[str, str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="11">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
        f'<path d="M{MARGIN},{MARGIN / 2} V{HEIGHT - MARGIN} H{WIDTH - MARGIN / 2}" fill="none" stroke="#374151"/>{inner}'
        f'<text x="{MARGIN}" y="{HEIGHT - MARGIN + 16}">{x[0]}</text><text x="{WIDTH - MARGIN}" y="{HEIGHT - MARGIN + 16}" text-anchor="end">{x[1]}</text>'
        f'<text x="{MARGIN - 6}" y="{HEIGHT - MARGIN}" text-anchor="end">{y[0]}</text><text x="{MARGIN - 6}" y="{MARGIN}" text-anchor="end">{y[1]}</text></svg>'
    )
