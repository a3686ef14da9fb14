"""The nine React hooks on the page of somebody else, with React 18 and 19 from npm, in StrictMode, against the real service from another origin.

Belongs here: client/react.js and its types. Not here: the client alone (test_client.py). Dagster is away: a stand-in answers for the one run.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from learning_pipelines.examples.datasets import refresh_dataset
from learning_pipelines.settings import Settings
from learning_pipelines.storage.tenants import agents
from learning_pipelines_tests.api.reviewing import count, examples, load
from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.browser.local_servers import DagsterRuns, answering
from learning_pipelines_tests.examples.approved import SHARES, TEXT_ONLY

HOST = Path(__file__).parent / "hooks"
REACT = {"18": ["--alias:react=react-18", "--alias:react-dom=react-dom-18"], "19": []}
OpenHost = Callable[[], Page]


@pytest.fixture(scope="module")
def bundles(npm: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The host page, bundled once per version of React, by esbuild."""
    made = {}
    for version, aliases in REACT.items():
        out = tmp_path_factory.mktemp("bundles") / f"host-{version}.js"
        options = ["--bundle", "--format=esm", "--target=es2022", "--jsx=automatic", '--define:process.env.NODE_ENV="development"', f"--outfile={out}"]
        done = subprocess.run(
            [npm / ".bin" / "esbuild", HOST / "host.jsx", *options, *aliases], cwd=HOST, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        made[f"/host-{version}.js"] = out.read_bytes()
    return made


@pytest.fixture(scope="module")
def host_port(bundles: dict[str, bytes]) -> Iterator[int]:
    def answer(path: str, _: bytes) -> tuple[str, bytes]:
        if path in bundles:
            return "text/javascript", bundles[path]
        page = f'<!doctype html><html lang="en"><title>Host</title><div id="host"></div><script type="module" src="/host-{path[1:]}.js"></script></html>'
        return "text/html", page.encode()

    with answering(answer) as port:
        yield port


@pytest.fixture(scope="module")
def dagster() -> DagsterRuns:
    return DagsterRuns()


@pytest.fixture(scope="module")
def site_settings(host_port: int, dagster: DagsterRuns, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    limits = "key=100000/second,user=100000/second,address=100000/second"
    with answering(dagster) as port:
        home = tmp_path_factory.mktemp("site")
        yield Settings(home=home, database_url=None, rate_limits=limits, cors_origins=f"http://127.0.0.1:{host_port}", dagster_port=port)


@pytest.fixture(scope="module")
def filled(site: Api) -> Api:
    """Executions, one feedback, and a dataset."""
    load(site, "executions", [{"execution_id": f"run-{n}", "agent": "desk", "input": "When?", "output": "On the 10th.", "user": "ada"} for n in (2, 18, 19)])
    load(site, "feedback", [{"feedback_id": "f-2", "execution_id": "run-2", "feedback_type": "report_issue", "issue_categories": ["tone"], "user": "ada"}])
    examples(site, 3, review_status="approved")
    with site.database.connect("pipeline") as connection:
        (agent,) = agents(connection, "default", "desk")
        refresh_dataset(connection, agent, rule=TEXT_ONLY, shares=SHARES)
    return site


@pytest.fixture(params=sorted(REACT))
def react(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def host(chromium: Browser, filled: Api, host_port: int, react: str) -> Iterator[OpenHost]:
    """Opens the host page as an administrator of its own; no error and no warning of React may be left on its console."""
    said: list[str] = []
    context = chromium.new_context()
    context.set_default_timeout(15_000)

    def open_page() -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") and "status of 422" not in message.text else None)
        page.goto(f"http://127.0.0.1:{host_port}/{react}#service={filled.url}&token={filled.key('admin', user=f'ann-{react}')}")
        expect(page.get_by_role("heading", name=f"React {react}.")).to_be_visible()
        return page

    yield open_page
    context.close()
    assert said == []


def test_what_is_sent_renews_what_was_asked(host: OpenHost) -> None:
    page = host()
    total = page.get_by_label("Feedback of the agent")
    expect(total).to_contain_text("desk: ")
    expect(page.get_by_label("Issues")).to_contain_text("tone")
    before = int(total.inner_text().removeprefix("desk: "))
    page.get_by_role("button", name="Wrong tone").click()
    expect(page.get_by_label("Sent")).to_have_text("stored")
    expect(total).to_have_text(f"desk: {before + 1}")
    expect(page.get_by_label("Issues")).to_have_text(f"tone {before + 1}")


def test_a_refusal_is_told_with_its_field_and_forgotten_on_request(host: OpenHost) -> None:
    page = host()
    page.get_by_role("button", name="Nine stars").click()
    expect(page.get_by_label("Sent")).to_contain_text("rating: ")
    page.get_by_role("button", name="Forget").click()
    expect(page.get_by_label("Sent")).to_have_text("")


def test_a_verdict_takes_its_item_out_of_the_queue_and_counts(host: OpenHost, site: Api) -> None:
    (example,) = examples(site)
    page = host()
    button = page.get_by_role("button", name=f"Approve {example}", exact=True)
    expect(button).to_be_visible()
    approved = int(page.get_by_label("Approved").inner_text())
    button.click()
    expect(button).to_have_count(0)
    expect(page.get_by_label("Approved")).to_have_text(str(approved + 1))


def test_optimizing_a_prompt_is_followed_until_it_ends(host: OpenHost, dagster: DagsterRuns) -> None:
    page = host()
    expect(page.get_by_label("Datasets")).to_have_text("desk v1")
    page.get_by_role("button", name="Optimize").click()
    expect(page.get_by_role("button", name="Optimize")).to_be_disabled()
    expect(page.get_by_label("Run")).to_have_text("skipped: 2 executions, 50 are needed")
    expect(page.get_by_label("Progress")).to_have_attribute("value", "1")
    expect(page.get_by_role("button", name="Optimize")).to_be_enabled()
    asked = dagster.asked
    page.wait_for_timeout(200)
    assert dagster.asked == asked == len(dagster.STATES), "it is asked about after its end"


def test_a_demonstration_is_stored_once(host: OpenHost, site: Api) -> None:
    page = host()
    before = count(site, "demonstrations")
    page.get_by_role("button", name="Demonstrate").click()
    expect(page.get_by_label("Demonstrated")).not_to_have_text("")
    assert count(site, "demonstrations") == before + 1


def test_a_late_answer_never_replaces_a_newer_one(host: OpenHost) -> None:
    page = host()
    expect(page.get_by_label("Feedback of the agent")).to_contain_text("desk: ")
    held: list[Route] = []
    page.route("**/feedback/stats/desk?*", lambda route: held.append(route))
    page.get_by_role("button", name="Ask again").click()
    page.get_by_role("button", name="Other agent").click()
    expect(page.get_by_label("Feedback of the agent")).to_have_text("helper: 0")
    assert len(held) == 1
    page.unroute_all()
    page.wait_for_timeout(100)
    expect(page.get_by_label("Feedback of the agent")).to_have_text("helper: 0")


def test_what_is_no_longer_shown_stops_asking(host: OpenHost) -> None:
    page = host()
    expect(page.get_by_label("Feedback of the agent")).to_contain_text("desk: ")
    page.route("**/feedback/stats/desk?*", lambda route: None)
    page.get_by_role("button", name="Ask again").click()
    with page.expect_event("requestfailed", lambda request: "/feedback/stats/" in request.url) as failed:
        page.get_by_role("button", name="Show or hide").click()
    assert "ERR_ABORTED" in (failed.value.failure or "")
    page.unroute_all()
    page.get_by_role("button", name="Show or hide").click()
    expect(page.get_by_label("Feedback of the agent")).to_contain_text("desk: ")


def test_the_types_fit_what_is_written_with_them(npm: Path) -> None:
    done = subprocess.run(["node", npm / "typescript/bin/tsc", "-p", HOST / "tsconfig.json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
