"""The prompt benchmark's table from its raw rounds: right answers per task, calls, paired differences of ours to every peer.

Belongs here: arithmetic and Markdown. Not here: running anything.

An item may be a test item under several seeds, so the bounds come from a bootstrap that draws items, not answers (cluster bootstrap, within tasks).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

OURS = "ours"
DRAWS, LEVEL = 4_000, 0.95
NAMES = {
    "majority": "majority class, no model", "vote": "vote of the 5 nearest, no model", "start": "the starting prompt", "gepa": "gepa 0.1.4, templated proposer",
    "gepa-reflection": "gepa 0.1.4, the model reflects", "dspy-mipro": "dspy 3.4.1 MIPROv2 (light)",
    "dspy-random-search": "dspy 3.4.1 BootstrapFewShotWithRandomSearch", "dspy-knn": "dspy 3.4.1 KNNFewShot", OURS: "**ours**",
}  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """Share of right answers, first minus second, on the same items; `p` is McNemar's exact two-sided one over all answers."""

    points: float
    low: float
    high: float
    only_first: int
    only_second: int
    p: float


def difference(cells: Sequence[dict[str, Any]], first: str, second: str, tasks: Sequence[str], draws: int = DRAWS) -> Difference | None:
    """Pooled over the given tasks and the seeds that both methods have, every answer weighing the same. None without any."""
    found = {(cell["task"], cell["seed"], cell["method"]): cell for cell in cells if cell["error"] is None}
    sums: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    won = lost = 0
    for (task, seed, method), one in found.items():
        other = found.get((task, seed, second))
        if method != first or task not in tasks or other is None:
            continue
        if one["items"] != other["items"]:
            raise ValueError(f"{first} and {second} were tested on different items of {task}, seed {seed}")
        for name, a, b in zip(one["items"], one["right"], other["right"], strict=True):
            sums[task][name][0] += int(a) - int(b)
            sums[task][name][1] += 1
            won, lost = won + (a and not b), lost + (b and not a)
    if not sums:
        return None
    drawn = _bootstrapped([np.array(list(items.values())) for items in sums.values()], draws)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    answers = sum(count for items in sums.values() for _, count in items.values())
    return Difference(100 * (won - lost) / answers, 100 * float(low), 100 * float(high), won, lost, mcnemar(won, lost))


def _bootstrapped(tasks: list[Any], draws: int) -> Any:
    """`draws` pooled differences; items are drawn with replacement within their task, each with all its answers."""
    generator = np.random.default_rng(0)
    total, answers = np.zeros(draws), np.zeros(draws)
    for items in tasks:
        times = generator.multinomial(len(items), np.full(len(items), 1 / len(items)), size=draws)
        total, answers = total + times @ items[:, 0], answers + times @ items[:, 1]
    return total / answers


def mcnemar(won: int, lost: int) -> float:
    """Exact two-sided p that both are right equally often (McNemar 1947, binomial form)."""
    fewer = sum(math.comb(won + lost, wins) for wins in range(min(won, lost) + 1))
    return min(1.0, 2 * fewer / 2 ** (won + lost))


def markdown(results: dict[str, Any]) -> str:
    cells = results["cells"]
    tasks = list(dict.fromkeys(cell["task"] for cell in cells))
    methods = [name for name in NAMES if any(cell["method"] == name for cell in cells)]
    return "\n\n".join(part for part in (_heading(results), _scores(cells, tasks, methods), _differences(cells, tasks, methods)) if part)


def _heading(results: dict[str, Any]) -> str:
    about = results["about"]
    sizes = {cell["task"]: "{task} {train} + {validation} labelled, {test} test, {labels} labels".format(**cell) for cell in results["cells"]}
    seeds = sorted({cell["seed"] for cell in results["cells"]})
    said = f"Right answers in %; {about['calls']} calls, seeds {', '.join(map(str, seeds))}; {'; '.join(sizes.values())}."
    return f"{said} {about.get('model', '')}, {about.get('machine', '')}."


def _scores(cells: Sequence[dict[str, Any]], tasks: Sequence[str], methods: Sequence[str]) -> str:
    rows = [f"| method | {' | '.join(tasks)} | task calls | reflection calls | seconds of the model |", f"|---|{'---|' * len(tasks)}---|---|---|"]
    for method in methods:
        mine = [cell for cell in cells if cell["method"] == method]
        shown = [_score([cell for cell in mine if cell["task"] == task]) for task in tasks]
        search = [cell["counts"].get("search", {}).get("calls", 0) for cell in mine]
        reflection = [cell["counts"].get("reflection", {}).get("calls", 0) for cell in mine]
        cpu = sum(cell["model_cpu_seconds"] for cell in mine) / len(mine)
        rows.append(f"| {NAMES[method]} | {' | '.join(shown)} | {_range(search)} | {_range(reflection)} | {cpu:.0f} |")
    return "\n".join(rows)


def _score(cells: Sequence[dict[str, Any]]) -> str:
    """The mean over seeds, and how many seeds where it is not the error."""
    done = [cell for cell in cells if cell["error"] is None]
    if not done:
        return f"error: {cells[0]['error']}" if cells else "–"
    right = [100 * sum(cell["right"]) / len(cell["right"]) for cell in done]
    return f"{sum(right) / len(right):.1f} ({', '.join(f'{one:.0f}' for one in right)})"


def _range(numbers: Sequence[int]) -> str:
    return f"{min(numbers)}" if min(numbers) == max(numbers) else f"{min(numbers)}–{max(numbers)}"


def _differences(cells: Sequence[dict[str, Any]], tasks: Sequence[str], methods: Sequence[str]) -> str:
    if OURS not in methods:
        return ""
    rows = [f"| ours minus | pooled [95 %] | {' | '.join(tasks)} |", f"|---|---|{'---|' * len(tasks)}"]
    for method in methods:
        if method != OURS and (pooled := difference(cells, OURS, method, tasks)) is not None:
            single = [_shown(difference(cells, OURS, method, [task])) for task in tasks]
            rows.append(f"| {NAMES[method]} | {_shown(pooled)} | {' | '.join(single)} |")
    return "\n".join(rows)


def _shown(found: Difference | None) -> str:
    return "–" if found is None else f"{found.points:+.1f} [{found.low:+.1f}, {found.high:+.1f}]"
