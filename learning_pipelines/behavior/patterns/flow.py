"""A Mermaid flowchart of how a kind of task goes: action types as boxes, how often one follows the other on the arrows.

Belongs here: the source text of the chart, safe whatever a type is called. Not here: counting (transitions.py), drawing it (whoever shows it).

In a quoted label Mermaid takes #NN; for the character with this number. Everything but letters, digits, space and _ . / - is written so: a label can then
end neither its quotes nor its line, opens no Markdown, HTML or directive, and does not meet Mermaid's own rewriting of `style …:#…;`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from learning_pipelines.behavior.patterns.transitions import START, Transition
from learning_pipelines.behavior.task import END

MOST_ARROWS, RARE = 40, 0.05
LONGEST = 60
_PLAIN = frozenset(" _./-")
IDENTIFIER = re.compile(r"[A-Za-z0-9_.:/ -]{1,80}")
"""What a name looks like that an application gave, not a person's words."""


def flowchart(found: Sequence[Transition], label: Callable[[str], str] = str) -> str:
    """The chart of one group's transitions. Arrows that are rare (below 5 % of what follows, unless it is the most frequent there) or beyond the 40 most
    frequent are folded into one line that counts them. `label`: what a type is shown as."""
    shown = _frequent(found)
    folded = [one for one in found if one not in shown]
    names = list(dict.fromkeys([START, *(name for one in shown for name in (one.before, one.after) if name != END), END]))
    ids = {name: f"n{number}" for number, name in enumerate(names)}
    lines = ["flowchart TD", *(f"    {_box(ids[name], name, label)}" for name in names)]
    lines += [f'    {ids[one.before]} -->|"{one.confidence.count} of {one.confidence.of}"| {ids[one.after]}' for one in shown]
    if folded:
        times = sum(one.confidence.count for one in folded)
        lines.append(f'    rare["{len(folded)} rarer ways, {times} times in all"]')
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """A label: at most LONGEST characters, of which all but the harmless are written as numbers."""
    flat = " ".join("".join(one if unicodedata.category(one)[0] != "C" else " " for one in text).split())
    cut = flat if len(flat) <= LONGEST else f"{flat[: LONGEST - 1]}…"
    return "".join(one if one.isalnum() or one in _PLAIN else f"#{ord(one)};" for one in cut) or "#63;"


def anonymous(names: Sequence[str]) -> dict[str, str]:
    """What names are shown as where nobody's words may stand: identifiers as they are, others as action 1, action 2, … in the order given."""
    others = [name for name in dict.fromkeys(names) if not IDENTIFIER.fullmatch(name) and name not in (START, END)]
    return {name: f"action {number}" for number, name in enumerate(others, start=1)}


def _frequent(found: Sequence[Transition]) -> list[Transition]:
    best: dict[str, Transition] = {}
    for one in found:
        if one.before not in best or one.confidence.count > best[one.before].confidence.count:
            best[one.before] = one
    enough = [one for one in found if one.confidence.value >= RARE or one is best[one.before]]
    most = {id(one) for one in sorted(enough, key=lambda one: (-one.confidence.count, one.before, one.after))[:MOST_ARROWS]}
    return [one for one in enough if id(one) in most]


def _box(identity: str, name: str, label: Callable[[str], str]) -> str:
    if name in (START, END):
        return f'{identity}(["{"begin" if name == START else "end"}"])'
    return f'{identity}["{escaped(label(name))}"]'
