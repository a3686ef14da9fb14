"""The page of a report: one file that needs nothing else, in which nothing is markup that somebody wrote.

Belongs here: reports/page.py, charts. Not here: how it looks in a browser (browser/test_reports.py).
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from learning_pipelines.reports.markdown import week_markdown
from learning_pipelines.reports.page import content_policy, week_html
from learning_pipelines_tests.reports.sample import numbers

LINK = "https://learning.example.org"


class _Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def seen(page: str) -> list[tuple[str, dict[str, Any]]]:
    parser = _Seen()
    parser.feed(page)
    return parser.tags


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    tags = seen(week_html(numbers(), LINK))
    assert {tag for tag, _ in tags} & {"script", "link", "img", "iframe", "form", "object"} == set()
    assert [name for _, attributes in tags for name in attributes if name.startswith("on") or name in ("style", "src")] == []
    assert "url(" not in week_html(numbers(), LINK)


def test_every_link_within_the_page_leads_somewhere() -> None:
    tags = seen(week_html(numbers(), LINK))
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    inside = {attributes["href"][1:] for tag, attributes in tags if tag == "a" and attributes["href"].startswith("#")}
    assert inside <= set(ids) and len(inside) > 8
    outside = {attributes["href"] for tag, attributes in tags if tag == "a" and not attributes["href"].startswith("#")}
    assert all(href.startswith(f"{LINK}/") for href in outside)


def test_names_that_look_like_markup_are_shown_as_they_are() -> None:
    evil = "<script>alert(1)</script>"
    found = numbers()
    found["agents"][0]["agent"] = found["serving"][0]["agent"] = found["experiments"]["decided"][0]["name"] = evil
    found["queries"]["feedback"] = f"SELECT '{evil}'"
    page = week_html(found, LINK)
    assert evil not in page and page.count("&lt;script&gt;alert(1)") >= 4


def test_the_policy_it_is_served_with_allows_its_own_styles_and_nothing_else() -> None:
    rest = "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    assert re.fullmatch(rf"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]{{44}}'; {rest}", content_policy())


def test_a_drift_alarm_stands_at_the_top() -> None:
    page = week_html(numbers(), LINK)
    assert 0 < page.index("Drift alarm:") < page.index('class="cards"')


def test_failing_checks_are_named_and_lead_to_their_query_and_reports_that_do_not_name_them_still_open() -> None:
    found = numbers()
    part = week_html(found, LINK).split('id="incidents"')[1].split("</section>")[0]
    assert "learning_examples:references_hold: " in part and "2, 1 still failing</a>" in part and 'href="#query-failures"' in part
    found["incidents"] = [{name: value for name, value in one.items() if name != "by_name"} for one in found["incidents"]]
    part = week_html(found, LINK).split('id="incidents"')[1].split("</section>")[0]
    assert "references_hold" not in part and "Checks of the data that failed, each once until it passes: " in part
    assert "references_hold" not in week_markdown(found).split("## Data quality")[1]
