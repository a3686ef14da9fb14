"""/metrics: what the scheduler measured, also while the database is away; and the alert rules and the dashboard that read it.

Belongs here: the route and the files in operations/. Not here: measuring (storage/test_operating.py, defs/test_operating.py).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from learning_pipelines.api.app import create_app
from learning_pipelines.api.operating import GAUGES
from learning_pipelines.settings import PROJECT
from learning_pipelines.storage import operating
from learning_pipelines.storage.operating import Sample
from learning_pipelines_tests.api.conftest import MakeSettings
from learning_pipelines_tests.api.serving import Api, listening, make_agents, serving
from learning_pipelines_tests.conftest import MakeDatabase

OPERATIONS = PROJECT / "operations"
MEASURED = [Sample(name, 0.5, {label: "7" if label == "days" else "cleanup" for label in labels}) for name, (_, labels) in GAUGES.items()]


@pytest.fixture(scope="module")
def scraped(make_database: MakeDatabase, make_settings: MakeSettings) -> str:
    """What is answered after a request of an organization with an agent, and after numbers were measured."""
    with make_database() as database, serving(database, make_settings()) as running:
        key = running.key(organization="acme")
        make_agents(running, "acme", "billing")
        body = {"execution_id": "e1", "agent": "billing", "input": "VAT?", "output": "Form 7.", "user": "ada@example.org"}
        assert running.post("/executions", body, key).status_code == 201
        assert running.get("/search", key, params={"q": "VAT", "agent": "billing"}).status_code < 500
        with database.connect("pipeline") as connection:
            operating.write(connection, MEASURED)
        return str(running.get("/metrics", raw=True).text)


def names(text: str) -> set[str]:
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


def test_every_number_that_is_measured_is_shown(scraped: str) -> None:
    assert names(scraped) >= {f"learning_{name}" for name in GAUGES} | {"learning_database_up", "learning_numbers_age_seconds", "learning_exposures_waiting"}
    assert 'learning_feedback_rate{days="7"} 0.5\n' in scraped
    assert "learning_database_up 1.0\n" in scraped


def test_nobody_and_no_organization_is_named(scraped: str) -> None:
    assert not re.search(r"acme|billing|ada@", scraped)
    labels = {label for family in text_string_to_metric_families(scraped) for sample in family.samples for label in sample.labels}
    assert labels == {"days", "job", "sensor", "method", "route", "status", "kind", "le"}


def test_metrics_answer_while_the_database_is_away(make_settings: MakeSettings) -> None:
    away = make_settings(database_url="postgresql://nobody:x@127.0.0.1:9/nothing")
    with listening(create_app(away)) as url:
        answer = httpx.get(f"{url}/metrics", timeout=30)
    assert (answer.status_code, "learning_database_up 0.0\n" in answer.text) == (200, True)
    assert "learning_feedback_rate" not in answer.text


def test_the_database_is_looked_at_once_for_many_scrapes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Any] = []
    read = operating.read
    monkeypatch.setattr(operating, "read", lambda connection: looks.append(1) or read(connection))
    for _ in range(5):
        assert api.get("/metrics", raw=True).status_code == 200
    assert len(looks) <= 1


def expressions() -> list[str]:
    rules = yaml.safe_load((OPERATIONS / "alerts.yml").read_text())["groups"][0]["rules"]
    panels = json.loads((OPERATIONS / "grafana.json").read_text())["panels"]
    return [rule["expr"] for rule in rules] + [target["expr"] for panel in panels for target in panel.get("targets", [])]


def test_every_metric_that_rules_and_dashboard_name_is_in_the_answer(scraped: str) -> None:
    asked = {name for expression in expressions() for name in re.findall(r"learning_\w+", expression)}
    assert len(asked) > 20
    assert asked - names(scraped) == set()


def test_every_measured_number_is_on_the_dashboard() -> None:
    shown = json.loads((OPERATIONS / "grafana.json").read_text())["panels"]
    text = json.dumps([panel.get("targets") for panel in shown])
    assert [name for name in GAUGES if f"learning_{name}" not in text] == []


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    for rule in yaml.safe_load((OPERATIONS / "alerts.yml").read_text())["groups"][0]["rules"]:
        assert {"summary", "advice"} <= set(rule["annotations"]) and rule["labels"]["severity"] in ("page", "ticket", "notice"), rule["alert"]


def test_promtool_accepts_the_rules_and_they_tell_what_they_should() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    for checked in (["check", "rules", str(OPERATIONS / "alerts.yml")], ["test", "rules", str(Path(__file__).with_name("alerts_test.yml"))]):
        done = subprocess.run([promtool, *checked], capture_output=True, text=True, check=False)
        assert (done.returncode, "SUCCESS" in done.stdout) == (0, True), done.stdout + done.stderr


def test_the_panels_lie_beside_each_other_and_not_on_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((OPERATIONS / "grafana.json").read_text())["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
