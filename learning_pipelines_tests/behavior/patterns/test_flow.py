"""The Mermaid chart: counts on the arrows, rare ones folded, and no name can break out of its label."""

from __future__ import annotations

import re

import pytest

from learning_pipelines.behavior.patterns.flow import LONGEST, anonymous, escaped, flowchart
from learning_pipelines.behavior.patterns.transitions import transitions
from learning_pipelines.behavior.task import Action, Shown
from learning_pipelines_tests.behavior.patterns.made import many

LINE = re.compile(r"""    (?:n\d+\["[^"\n`<>&]+"\]|n\d+\(\["(?:begin|end)"\]\)|n\d+ -->\|"\d+ of \d+"\| n\d+|rare\["[\w ,]+"\])""")
NASTY = [
    'say "hello"', "a]b[c", "a --> b", "end", "x|y|z", "```\n%%{init: {}}%%", "<script>alert(1)</script>", "style n0:#f00;", "A & B; graph TD", "#35;#quot;",
    "überweisen → 送金 🏦", "a" * 255, "\u202egnp.exe", "line\nbreak\ttab", "`**bold**`", "classDef x:#;", "\\", "'", "{}", "(())", " ", "​",
]  # fmt: skip


def test_counts_stand_on_the_arrows() -> None:
    chart = flowchart(transitions([*many(3, "ab"), *many(1, "ac")]))
    assert chart.startswith("flowchart TD\n")
    assert '    n0(["begin"])' in chart and '    n1["a"]' in chart and 'n1 -->|"3 of 4"| n2' in chart


@pytest.mark.parametrize("name", NASTY)
def test_any_name_is_safe_in_its_label(name: str) -> None:
    chart = flowchart(transitions([Shown("one", "task", (Action(name), Action("other"), Action(name)))]))
    assert all(LINE.fullmatch(line) for line in chart.splitlines()[1:]), chart


def test_a_label_reads_as_the_name_once_its_numbers_are_characters_again() -> None:
    name = 'say "hello" → [x]; <b>#1</b>'
    assert re.sub(r"#(\d+);", lambda match: chr(int(match[1])), escaped(name)) == name


def test_long_names_are_cut() -> None:
    assert len(escaped("a" * 255).replace("#8230;", "…")) == LONGEST


def test_rare_arrows_are_folded_into_a_count() -> None:
    chart = flowchart(transitions([*many(97, "ab"), *many(1, "ac"), *many(1, "ad"), *many(1, "ae")]))
    assert '"1 of 100"' not in chart and 'rare["3 rarer ways, 3 times in all"]' in chart


def test_the_chart_of_many_types_stays_small() -> None:
    shown = [Shown(f"{first}{second}", "t", (Action(first), Action(second))) for first in "abcdefghijkl" for second in "abcdefghijkl"]
    assert flowchart(transitions(shown)).count("-->") <= 40


def test_names_that_are_not_identifiers_are_numbered_where_nobodys_words_may_stand() -> None:
    names = anonymous(["look_up", "Ask Ms Miller: why?", "http.get /x", "Überweisung"])
    assert names == {"Ask Ms Miller: why?": "action 1", "Überweisung": "action 2"}
