"""A real Chromium against the real service: `site` runs it, `visit` opens pages as somebody, `axe` looks for barriers, `shot` keeps a picture.

Belongs here: fixtures of browser tests. Not here: rows of one page, assertions about one page.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from learning_pipelines.settings import PROJECT, Settings
from learning_pipelines_tests.api.serving import Api, make_agents, serving
from learning_pipelines_tests.conftest import MakeDatabase

NPM = Path(__file__).parent / "node_modules"
SHOTS = Path(os.environ.get("LEARNING_SCREENSHOTS", PROJECT / "test-artifacts" / "screenshots"))
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
Visit = Callable[..., Page]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The installed browser, headless; without one the tests are skipped."""
    path = os.environ.get("LEARNING_CHROMIUM") or next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("No Chromium: install Debian's package chromium, or name a browser in LEARNING_CHROMIUM.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of the module's service; a module may override this fixture."""
    home = tmp_path_factory.mktemp("site")
    return Settings(home=home, database_url=None, rate_limits="key=100000/second,user=100000/second,address=100000/second")


@pytest.fixture(scope="module")
def site(make_database: MakeDatabase, site_settings: Settings) -> Iterator[Api]:
    """A running service over a database of this module's own, with the agents desk and helper of the organization default."""
    with make_database() as database, serving(database, site_settings) as running:
        running.key()
        make_agents(running, "default", "desk", "helper")
        yield running


@pytest.fixture
def contexts(chromium: Browser) -> Iterator[list[BrowserContext]]:
    """Contexts that end with the test."""
    opened: list[BrowserContext] = []
    yield opened
    for context in opened:
        context.close()


@pytest.fixture
def visit(chromium: Browser, contexts: list[BrowserContext], site: Api) -> Iterator[Visit]:
    """`visit("/annotate", role="expert", user="edda")` opens a page of the site as that person, in a context of its own (a browser of its own).

    Without a role nobody is signed in. More options are those of `new_context` (color_scheme, viewport, locale …). When the test ends, no page may
    have had an uncaught error or broken its content security policy.
    """
    wrong: list[str] = []

    def open_page(path: str, role: str | None = None, user: str | None = None, organization: str = "default", **options: Any) -> Page:
        context = chromium.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(15_000)
        if role is not None:
            made = site.post("/session", {}, site.key(role, organization, user))
            assert made.status_code == 201, made.text
            context.add_cookies([{"name": "learning_session", "value": made.cookies["learning_session"], "url": site.url, "httpOnly": True}])
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"{path}: {error}"))
        page.on("console", lambda message: _broken(message, path, wrong))
        page.goto(f"{site.url}{path}")
        return page

    yield open_page
    assert wrong == []


def _broken(message: ConsoleMessage, path: str, wrong: list[str]) -> None:
    if message.type == "error" and ("Content Security Policy" in message.text or "Uncaught" in message.text):
        wrong.append(f"{path}: {message.text}")


@pytest.fixture(scope="session")
def npm() -> Path:
    """The folder of packages from npm; without them the tests are skipped."""
    if not (NPM / "axe-core").is_dir():
        pytest.skip("The packages from npm are missing: `make test-browser` installs them where npm is installed.")
    return NPM


@pytest.fixture
def axe(npm: Path) -> Callable[[Page], list[str]]:
    """What axe finds wrong on a page by WCAG 2.2 A and AA and its best practices, one line per rule and place. Shadow roots are looked into."""
    source = (npm / "axe-core" / "axe.min.js").read_text()

    def run(page: Page) -> list[str]:
        page.evaluate(source)  # not by a script element, which the page's policy would rightly refuse
        found = json.loads(page.evaluate("async () => JSON.stringify((await axe.run(document)).violations)"))
        return [f"{one['id']} ({one['impact']}): {node['target']} {node['failureSummary']}" for one in found for node in one["nodes"]]

    return run


@pytest.fixture
def shot() -> Callable[[Page, str], Path]:
    """Keeps a picture of the whole page under a name, for people to look at."""

    def keep(page: Page, name: str) -> Path:
        SHOTS.mkdir(parents=True, exist_ok=True)
        path = SHOTS / f"{name}.png"
        page.screenshot(path=path, full_page=True)
        return path

    return keep
