"""A playbook in plain language, as text or Markdown.

Belongs here: wording and layout. Not here: what is said (playbook.py).

Names that applications gave (types, keys) may hold anything: in Markdown they stand in code spans that their own characters cannot end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from learning_pipelines.behavior.patterns.shares import Share
from learning_pipelines.behavior.patterns.transitions import START
from learning_pipelines.behavior.playbooks.conditions import NAMEABLE_FROM
from learning_pipelines.behavior.playbooks.playbook import Argument, Avoid, Branch, Playbook, Step
from learning_pipelines.behavior.task import END

LONGEST = 80
MOST_IDS = 3


def markdown(playbook: Playbook) -> str:
    """The whole playbook with the evidence behind each step."""
    lines = [f"# Playbook: {_plain(playbook.task_type) or 'all tasks'}", "", _origin(playbook), ""]
    for number, step in enumerate(playbook.steps):
        lines += [f"## {number}. {_code(step.type)}" if number else "## Begin", "", *_step(playbook, step), ""]
    lines += ["## End", "", *_end(playbook), ""]
    lines += ["## Avoid", "", *_avoid(playbook), ""]
    if playbook.seldom:
        lines += ["## Seldom", "", "Too rare to say more: " + ", ".join(f"{_code(kind)} ({count})" for kind, count in playbook.seldom) + ".", ""]
    lines += ["## Evidence", "", *_evidence(playbook)]
    return "\n".join(lines) + "\n"


def text(playbook: Playbook) -> str:
    """The same without Markdown's signs, for a terminal."""
    found = []
    for line in markdown(playbook).splitlines():
        heading = re.match(r"(#+) (.*)", line)
        plain = (heading.group(2) if heading else line).replace("`", "").replace("**", "")
        found += [plain, "=" * len(plain)] if heading and heading.group(1) == "#" else [plain]
    return re.sub(r"\n\n\n+", "\n\n", "\n".join(found)) + "\n"


def _origin(playbook: Playbook) -> str:
    low, middle, high = playbook.lengths
    by = f" of {_many(playbook.experts, 'expert')}" if playbook.experts else ""
    length = _many(middle, "step") if low == high else f"{_many(middle, 'step')} (half of them {low} to {high})"
    said = f"From {_many(playbook.demonstrations, 'successful demonstration')}{by}; usually {length}. Shares come with 95 % intervals."
    if playbook.approved < NAMEABLE_FROM:
        said += " Words of tasks and values of arguments are not named: they are, once experts approved the demonstrations' examples in review."
    if playbook.left_out:
        said += f" {playbook.left_out} further steps are beyond the limits and were not looked at."
    return said


def _step(playbook: Playbook, step: Step) -> list[str]:
    lines = []
    if step.type != START:
        who = f", by {_many(step.experts, 'expert')}" if step.experts else ""
        lines.append(f"Done in {_of(step.support, 'demonstrations')}{who}.")
        if step.arguments:
            lines += ["", "Given:", *(f"- {_argument(one)}" for one in step.arguments)]
        lines += ["", "Then:"]
    lines += [f"- {_branch(branch, alone=len(step.branches) == 1)}" for branch in step.branches]
    if step.contested is not None:
        sides = ", ".join(f"{_next(after)} ({_many(experts, 'expert')})" for after, experts in step.contested.sides)
        times = "once" if step.contested.situations == 1 else f"in {step.contested.situations} situations"
        lines += ["", f"**Experts contradict each other here**: {times} they did different things in the same place: {sides}."]
    return lines


def _branch(branch: Branch, *, alone: bool) -> str:
    first, *others = branch.ways
    lead = "" if alone else "otherwise: " if branch.when is None else f"if {branch.when.in_words()}: "
    said = f"{lead}{_next(first.after)} ({_of(first.share, 'times')})"
    if others:
        left = first.share.of - first.share.count - sum(one.share.count for one in others)
        ways = [f"{_next(one.after)} {_times(one.share.count)}" for one in others] + ([f"something else {_times(left)}"] if left > 0 else [])
        said += f"; also seen: {', '.join(ways)}"
    return said + "."


def _argument(one: Argument) -> str:
    often = "always" if one.given.count == one.given.of else f"in {one.given.count} of {one.given.of}"
    if one.constant:
        what = f"always {_quoted(one.values[0])}" if one.values else "always the same value"
    elif one.values:
        what = f"one of {', '.join(_quoted(value) for value in one.values)}"
    else:
        what = {"task": "as the task states it", "earlier": "as an earlier step brought it", "": "varies"}[one.source]
    return f"{_code(one.key)} ({often}): {what}"


def _end(playbook: Playbook) -> list[str]:
    ends = [(step, way) for step in playbook.steps for way in _final(step)]
    if not ends:
        return ["No step is usually the last."]
    lines = []
    for step, count in sorted(ends, key=lambda one: (-one[1], one[0].type)):
        after = "Nothing was done at all" if step.type == START else f"After {_code(step.type)}"
        lines.append(f"- {after}: {count} of {playbook.demonstrations} demonstrations ended there.")
    return lines


def _final(step: Step) -> list[int]:
    count = sum(way.share.count for branch in step.branches for way in branch.ways if way.after == END)
    return [count] if count else []


def _avoid(playbook: Playbook) -> list[str]:
    if not playbook.failures:
        return ["No failed demonstration is known, so nothing can be said."]
    sure = [one for one in playbook.avoid if one.sure]
    watched = [one for one in playbook.avoid if not one.sure]
    lines = [f"- {_avoided(one)}" for one in sure]
    if not sure:
        lines.append(f"Nothing was significantly more frequent in the {_many(playbook.failures, 'failure')} than in successes.")
    if watched:
        lines += ["", "Worth watching (q is the share of chance findings to be expected up to there):", *(f"- {_avoided(one)}" for one in watched)]
    return lines


def _avoided(one: Avoid) -> str:
    names = [_code(kind) for kind in one.types if kind not in (START, END)]
    if one.how == "omitted":
        what = f"Leaving out {names[0]}"
    else:
        what = f"Doing {', then '.join(names)}" if names else "Doing nothing"
        what = what if one.types[0] != START or not names else f"Beginning with {what[len('Doing '):]}"
        what = what if one.types[-1] != END or not names else f"{what}, and ending there"
    return f"{what}: in {_of(one.failed, 'failures', interval=False)}, in {_of(one.succeeded, 'successes', interval=False)} (q = {one.q:.2g})"


def _evidence(playbook: Playbook) -> list[str]:
    lines = []
    for step in playbook.steps:
        where = "Begin" if step.type == START else _code(step.type)
        lines.append(f"- {where}: {_ids(step.named, step.support.count)}")
        for branch in step.branches:
            when = "" if branch.when is None else f" if {branch.when.in_words()}"
            lines += [f"  - {_next(way.after)}{when}: {_ids(way.named, way.demonstrations)}" for way in branch.ways[:1]]
    return lines


def _ids(named: Sequence[str], count: int) -> str:
    shown = ", ".join(_code(one) for one in named[:MOST_IDS])
    return shown + (f" and {count - MOST_IDS} more" if count > MOST_IDS else "")


def _next(after: str) -> str:
    return "**end**" if after == END else _code(after)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _of(share: Share, what: str, *, interval: bool = True) -> str:
    said = f"{share.count} of {share.of} {what}"
    return f"{said}, {share.low:.0%}–{share.high:.0%}" if interval and share.of else said


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _plain(value: str) -> str:
    flat = " ".join(value.split())
    return flat if len(flat) <= LONGEST else f"{flat[: LONGEST - 1]}…"


def _code(name: str) -> str:
    """A code span: a backtick of the name's own would end it."""
    return f"`{_plain(name).replace('`', '´') or ' '}`"


def _quoted(value: str) -> str:
    return f"“{_plain(value).replace('`', '´')}”"

