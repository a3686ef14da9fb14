"""The one wrapper around Chart.js: what is drawn, what is said of it, the table, the theme, no numbers at all.

Belongs here: charts as such. Not here: the pages that show them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from learning_pipelines_tests.browser.conftest import Visit

_SHOW = """async (given) => {
    const { chart } = await import("/api/learning/web/ui/charts.js");
    const main = document.getElementById("main");
    main.replaceChildren(...given.map(chart));
    window.figures = [...main.children];
}"""
_DAYS = [f"{day} Nov" for day in range(1, 31)]
_LINE = {
    "title": "Average rating per day", "labels": _DAYS, "labelsName": "Day", "min": 1, "max": 5, "targets": [{"name": "target 4.0", "value": 4.0}],
    "series": [{
        "name": "Mean", "values": [None if day in (4, 5, 9, 11) else 3.5 + day / 40 for day in range(30)],
        "low": [3.2 + day / 40 for day in range(30)], "high": [3.8 + day / 40 for day in range(30)], "counts": [100 + day for day in range(30)],
    }],
}  # fmt: skip
_SEQUENTIAL = {
    "title": "Difference", "labels": [100, 250, 700, 1500], "labelsName": "Units", "targets": [{"name": "no difference", "value": 0}],
    "series": [{"name": "Difference", "values": [0.3, 0.2, 0.15, 0.12], "low": [-0.4, -0.1, 0.01, 0.05], "high": [1.0, 0.5, 0.29, 0.19]}],
}  # fmt: skip
_BARS = {
    "title": "Scores", "kind": "bar", "horizontal": True, "labels": ["exact <b>match</b>", "tone"], "min": 0, "max": 1,
    "series": [
        {"name": "serving", "values": [0.6, 0.7], "low": [0.5, 0.6], "high": [0.7, 0.8]},
        {"name": "candidate", "values": [0.8, 0.75], "low": [0.7, 0.6], "high": [0.9, 0.9]},
    ],
}  # fmt: skip
_STACKED = {
    "title": "Feedback per day", "kind": "stacked", "labels": _DAYS[:7],
    "series": [{"name": "up", "values": [1, 2, 3, 4, 5, 6, 7], "color": "good"}, {"name": "down", "values": [7, 6, 5, 4, 3, 2, 1], "color": "bad"}],
}  # fmt: skip
_EMPTY = {"title": "Nothing yet", "labels": ["1 Nov"], "series": [{"name": "Mean", "values": [None]}], "empty": "Embed the widget first."}
_INK = """figure => {
    const canvas = figure.querySelector("canvas");
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.reduce((sum, value, at) => at % 4 === 3 ? sum : sum + value, 0);
}"""


def _shown(visit: Visit, charts: list[dict[str, object]], scheme: str = "light", width: int = 1280) -> Page:
    page = visit("/reports", role="user", user="uma", color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce")
    page.wait_for_selector("h1")
    page.evaluate(_SHOW, charts)
    page.wait_for_function("count => [...document.querySelectorAll('canvas')].filter(one => one.width > 0 && one.style.width).length === count", arg=sum(
        any(value is not None for value in one["series"][0]["values"]) for one in charts  # type: ignore[index]
    ))  # fmt: skip
    return page


def test_charts_are_without_barriers_in_both_schemes(visit: Visit, axe: Callable[[Page], list[str]], shot: Callable[[Page, str], Path]) -> None:
    for scheme, width in (("light", 1280), ("dark", 320)):
        page = _shown(visit, [_LINE, _SEQUENTIAL, _BARS, _STACKED, _EMPTY], scheme, width)
        page.evaluate("document.getElementById('main').prepend(Object.assign(document.createElement('h1'), {textContent: 'Charts'}))")
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shot(page, f"charts-{scheme}")


def test_a_chart_says_its_gist_and_holds_its_numbers_as_a_table(visit: Visit) -> None:
    page = _shown(visit, [_LINE, _EMPTY])
    name = page.locator("canvas").get_attribute("aria-label")
    assert name == (
        "Average rating per day. Mean: 26 values, first 3.50 (1 Nov), last 4.22 (30 Nov), least 3.50 (1 Nov), greatest 4.22 (30 Nov). target 4.0 4.00"
    )
    page.get_by_text("The numbers as a table").first.click()
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="1 Nov", exact=True))
    expect(row.get_by_role("cell")).to_have_text(["3.50", "[3.20, 3.80]", "100"])
    expect(page.get_by_role("row").filter(has_text="5 Nov").first).to_contain_text("no evidence")
    expect(page.get_by_role("figure", name="Nothing yet")).to_contain_text("Embed the widget first.")
    assert page.locator("canvas").count() == 1


def test_other_numbers_keep_the_table_open_and_equal_ones_touch_nothing(visit: Visit) -> None:
    page = _shown(visit, [_STACKED])
    page.get_by_text("The numbers as a table").click()
    page.evaluate("given => { window.row = document.querySelector('tbody tr'); figures[0].update(given); }", _STACKED)
    assert page.evaluate("row.isConnected")
    page.evaluate("given => figures[0].update(given)", {**_STACKED, "series": [{"name": "up", "values": [9] * 7}]})
    expect(page.get_by_role("table")).to_be_visible()
    expect(page.get_by_role("cell").first).to_have_text("9.00")


def test_a_chart_is_drawn_anew_when_the_theme_changes(visit: Visit) -> None:
    page = _shown(visit, [_LINE])
    figure = page.locator("figure")
    light = figure.evaluate(_INK)
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(300)
    dark = figure.evaluate(_INK)
    assert dark != light
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    page.wait_for_timeout(300)
    assert figure.evaluate(_INK) == light


def test_a_chart_library_of_the_page_around_stays_its_own_and_a_lost_one_leaves_the_table(visit: Visit) -> None:
    page = visit("/reports", role="user", user="uma")
    page.wait_for_selector("h1")
    page.evaluate("window.Chart = 'theirs'")
    page.evaluate(_SHOW, [_STACKED])
    page.wait_for_function("() => document.querySelector('canvas')?.style.width")
    assert page.evaluate("window.Chart") == "theirs"
    other = visit("/reports", role="user", user="uma")
    other.wait_for_selector("h1")
    other.route("**/chart.umd.min.js", lambda route: route.abort())
    other.evaluate(_SHOW, [_STACKED])
    expect(other.get_by_text("The chart could not be drawn; the table holds its numbers.")).to_be_visible()
    expect(other.get_by_role("table")).to_be_visible()
