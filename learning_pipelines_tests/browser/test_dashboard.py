"""The Dashboard page and <learning-dashboard>: the numbers people see are those of the rows, live, filtered by the address, without barriers.

Belongs here: what is on the page. Not here: the route's numbers (api/test_dashboard.py), charts as such (test_charts.py).
"""

from __future__ import annotations

import datetime as dt
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from learning_pipelines.feedback.importing import import_file, window_now
from learning_pipelines.settings import Settings
from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.browser.conftest import Visit

NOW = dt.datetime.now(dt.UTC)
Rows = list[dict[str, Any]]


def load(site: Api, kind: str, rows: Rows) -> None:
    """Imports rows as the operator does."""
    path = site.settings.home / f"{kind}-{random.random()}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with site.database.connect("pipeline") as connection:
        assert import_file(connection, "default", kind, path, window=window_now(site.settings.start_date, site.settings.zone)).rejected == 0


@pytest.fixture(scope="module")
def site_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Pages of other origins may ask."""
    limits = "key=100000/second,user=100000/second,address=100000/second"
    return Settings(home=tmp_path_factory.mktemp("site"), database_url=None, cors_origins="*", rate_limits=limits)


@pytest.fixture(scope="module")
def said(site: Api) -> tuple[Rows, Rows]:
    """400 executions of desk and helper over 40 days, and what was said about two of three."""
    seeded = random.Random(3)
    executions: Rows = []
    feedback: Rows = []
    for number in range(400):
        at = (NOW - dt.timedelta(days=seeded.randrange(40), minutes=1)).isoformat()
        agent = "helper" if number % 4 == 0 else "desk"
        executions.append({"execution_id": f"r{number}", "agent": agent, "input": "q", "output": "a", "created_at": at})
        if number % 3 == 0:
            continue
        one: dict[str, Any] = {"feedback_id": f"f{number}", "execution_id": f"r{number}", "user": f"u{number % 9}", "created_at": at}
        kind = seeded.choice(("star_rating", "star_rating", "thumbs_up", "thumbs_down", "report_issue", "correction"))
        if kind == "star_rating":
            one |= {"rating": seeded.choice((2, 3, 4, 5, 5)), "dimensions": {"accuracy": seeded.randint(1, 5), "clarity": seeded.randint(2, 5)}}
        if kind == "report_issue":
            one["issue_categories"] = seeded.sample(("incorrect", "incomplete", "tone"), 2)
        if kind == "correction":
            one["correction_text"] = "Better <b>so</b>."
        feedback.append({**one, "feedback_type": kind, **({"simulated": True} if number % 50 == 1 else {})})
    load(site, "executions", executions)
    load(site, "feedback", feedback)
    pending = [{"example_id": f"x{n}", "agent": "desk", "input_text": f"q{n}", "original_output": "a", "expected_output": f"b{n}"} for n in range(3)]
    load(site, "examples", [*pending, {**pending[0], "example_id": "x9", "input_text": "q9", "review_status": "approved"}])
    return executions, feedback


def tile(page: Page, title: str) -> Locator:
    return page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=title, exact=True))


def within(rows: Rows, days: int, agents: dict[str, str], agent: str | None = None) -> Rows:
    first = NOW.date() - dt.timedelta(days=days - 1)
    return [row for row in rows if dt.datetime.fromisoformat(row["created_at"]).date() >= first and agent in (None, agents[row["execution_id"]])]


@pytest.mark.parametrize(("query", "agent", "days"), [("", None, 30), ("?agent=helper&days=7", "helper", 7)])
def test_the_numbers_on_the_page_are_those_of_the_rows(site: Api, said: tuple[Rows, Rows], visit: Visit, query: str, agent: str | None, days: int) -> None:
    page = visit(f"/{query}", role="user", user="uma")
    agents = {row["execution_id"]: row["agent"] for row in said[0]}
    ran, told = (within(rows, days, agents, agent) for rows in said)
    stars = [row["rating"] for row in told if "rating" in row]
    up, down = (sum(row["feedback_type"] == kind for row in told) for kind in ("thumbs_up", "thumbs_down"))
    expect(tile(page, "Feedback rate")).to_contain_text(f"{100 * len(told) / len(ran):.1f} %")
    expect(tile(page, "Feedback rate")).to_contain_text(f"of {len(ran)} executions")
    expect(tile(page, "Average rating (1 to 5)")).to_contain_text(f"{sum(stars) / len(stars):.2f}")
    expect(tile(page, "Average rating (1 to 5)")).to_contain_text(f"of {len(stars)} ratings")
    expect(tile(page, "Thumbs up")).to_contain_text(f"of {up + down} thumbs: {up} up, {down} down")
    expect(tile(page, "Corrections")).to_contain_text(re.compile(rf"^Corrections{sum('correction_text' in row for row in told)}of {len(told)} feedback"))
    issues = Counter(name for row in told for name in row.get("issue_categories", []))
    for name, count in issues.items():
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name, exact=True))
        expect(row.get_by_role("cell").nth(0)).to_have_text(str(count))
        expect(row.get_by_role("cell").nth(1)).to_have_text(f"{100 * count / issues.total():.1f} %")
    page.locator("summary").first.click()
    per_day = Counter(row["created_at"][:10] for row in told if "rating" in row)
    table = page.get_by_role("figure", name="Average rating per day").get_by_role("row")
    assert [int(row.split("\t")[-1]) for row in table.all_inner_texts()[1:] if row.split("\t")[-1] != "0"] == [per_day[day] for day in sorted(per_day)]
    expect(tile(page, "Examples waiting for review")).to_contain_text("3" if agent is None else "0")


def test_targets_are_told_by_words_and_links_lead_to_what_is_behind_a_number(said: tuple[Rows, Rows], visit: Visit) -> None:
    page = visit("/?days=90", role="user", user="uma")
    expect(tile(page, "Feedback rate")).to_contain_text("above target 20 %")
    expect(tile(page, "Average rating (1 to 5)").locator(".badge")).to_have_text(re.compile("target 4.0"))
    expect(tile(page, "Examples waiting for review").get_by_role("link", name="Annotate")).to_have_attribute("href", "/annotate")
    expect(page.get_by_role("link", name="Executions rated 2 or less")).to_have_attribute("href", "/executions?rating_max=2&days=90")
    expect(page.get_by_role("link", name="incorrect")).to_have_attribute("href", "/executions?issue=incorrect&days=90")
    expect(page.get_by_text("were marked as simulated by whoever sent them")).to_be_visible()
    page.get_by_role("link", name="helper", exact=True).click()
    expect(page).to_have_url(re.compile(r"\?agent=helper&days=90$"))
    expect(page.get_by_label("Agent", exact=True)).to_have_value("helper")


def test_filters_live_in_the_address_and_an_agent_that_is_no_more_is_told(said: tuple[Rows, Rows], visit: Visit) -> None:
    page = visit("/", role="user", user="uma")
    page.get_by_label("Agent", exact=True).select_option("desk")
    page.get_by_label("Period").select_option("7")
    expect(page).to_have_url(re.compile("agent=desk&days=7"))
    expect(page.get_by_role("region", name="Agents").get_by_role("rowheader")).to_have_text(["desk"])
    page.go_back()
    expect(page.get_by_label("Period")).to_have_value("30")
    page.goto(page.url.split("?")[0] + "?agent=gone")
    expect(page.get_by_role("alert")).to_contain_text("gone")


def test_new_feedback_appears_by_itself_and_touches_nothing_else(site: Api, said: tuple[Rows, Rows], visit: Visit) -> None:
    page = visit("/", role="user", user="uma")
    expect(tile(page, "Corrections")).to_be_visible()
    element = page.locator("learning-dashboard")
    element.evaluate("element => element.setAttribute('every', '1')")
    page.get_by_text("The numbers as a table").first.click()
    link = page.get_by_role("link", name="helper", exact=True)
    link.focus()
    link.evaluate("link => { window.kept = link.closest('tr'); }")
    before = _feedback(page)
    load(site, "executions", [{"execution_id": "late", "agent": "desk", "input": "q", "output": "a"}])
    load(site, "feedback", [{"execution_id": "late", "feedback_type": "thumbs_up", "user": "zoe"}])
    element.evaluate("element => element.refresh()")
    expect(tile(page, "Corrections")).to_contain_text(f"of {before + 1} feedback")
    assert page.evaluate("kept.isConnected")
    expect(link).to_be_focused()
    expect(page.get_by_role("figure", name="Average rating per day").get_by_role("table")).to_be_visible()


def test_a_failure_is_told_the_numbers_stay_and_it_recovers_by_itself(said: tuple[Rows, Rows], visit: Visit) -> None:
    page = visit("/", role="user", user="uma")
    expect(tile(page, "Corrections")).to_be_visible()
    page.locator("learning-dashboard").evaluate("element => element.setAttribute('every', '1')")
    page.route("**/api/learning/dashboard**", lambda route: route.abort())
    page.locator("learning-dashboard").evaluate("element => element.refresh()")
    expect(page.get_by_text("cannot be reached")).to_contain_text("The numbers below are those of")
    expect(tile(page, "Corrections")).to_be_visible()
    page.unroute("**/api/learning/dashboard**")
    expect(page.get_by_text("cannot be reached")).to_have_count(0)
    expect(page.get_by_text("Last asked at")).to_be_visible()


def test_a_hidden_tab_asks_nothing_and_asks_at_once_when_it_is_seen_again(said: tuple[Rows, Rows], visit: Visit) -> None:
    page = visit("/", role="user", user="uma")
    expect(tile(page, "Corrections")).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/dashboard?" in request.url else None)
    hide = """hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
        document.dispatchEvent(new Event('visibilitychange')); }"""
    page.locator("learning-dashboard").evaluate("element => element.setAttribute('every', '0.1')")
    page.evaluate(hide, True)
    page.wait_for_timeout(500)
    assert asked == []
    page.evaluate(hide, False)
    page.wait_for_timeout(500)
    assert len(asked) >= 1


def test_the_element_works_on_a_page_of_another_origin_with_a_token(site: Api, said: tuple[Rows, Rows], visit: Visit) -> None:
    page = visit("/healthz", bypass_csp=True)
    page.goto(f"{site.url.replace('127.0.0.1', 'localhost')}/healthz")  # another origin to the browser
    page.evaluate(
        """async ([service, token]) => {
            await import(`${service}/api/learning/web/elements/learning-dashboard.js`);
            const element = document.createElement("learning-dashboard");
            for (const [name, value] of [["token", token], ["agent", "desk"], ["theme", "dark"]]) element.setAttribute(name, value);
            element.style.setProperty("--learning-accent", "rgb(1, 2, 3)");
            document.body.replaceChildren(element);
        }""",
        [site.url, site.key("user", user="ada")],
    )
    expect(tile(page, "Feedback rate")).to_contain_text("above target 20 %")
    expect(page.locator("canvas").first).to_be_visible()
    assert page.locator("learning-dashboard").get_by_role("link").count() == 0
    assert page.locator("learning-dashboard summary").first.evaluate("one => getComputedStyle(one).getPropertyValue('--accent')") == "rgb(1, 2, 3)"
    page.locator("learning-dashboard").evaluate("element => element.setAttribute('agent', 'gone')")
    expect(page.get_by_text("There is no such agent")).to_be_visible()
    expect(tile(page, "Feedback rate")).to_be_hidden()


def test_a_period_without_anything_says_what_to_do_next(site: Api, said: tuple[Rows, Rows], visit: Visit) -> None:
    load(site, "agents", [{"agent": "idle", "system_prompt": "Wait."}])
    page = visit("/?agent=idle", role="user", user="uma")
    expect(page.get_by_text("Nothing was asked and nothing was said")).to_contain_text("embed the widget <feedback-collector>")
    expect(tile(page, "Average rating (1 to 5)")).to_contain_text("no evidence")
    expect(tile(page, "Average rating (1 to 5)").locator(".badge")).to_be_hidden()
    expect(page.get_by_text("Nobody gave stars in this period")).to_be_visible()


def test_the_page_is_without_barriers_and_fits_a_telephone(
    said: tuple[Rows, Rows], visit: Visit, axe: Callable[[Page], list[str]], shot: Callable[[Page, str], Path]
) -> None:
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 320)):
        page = visit("/", role="user", user="uma", color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce")
        page.wait_for_function("() => performance.getEntriesByName('dashboard-drawn').length > 0")
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shot(page, f"dashboard-{scheme}-{width}")


def _feedback(page: Page) -> int:
    found = re.search(r"of (\d+) feedback", tile(page, "Corrections").inner_text())
    assert found is not None
    return int(found[1])
