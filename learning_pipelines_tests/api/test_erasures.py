"""Erasing over HTTP: who may ask, what is answered when, and that credentials of the person end with the request.

Belongs here: the routes, the process they start. Not here: what is erased (feedback/erasure/).
"""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from learning_pipelines.api import erasures
from learning_pipelines.feedback.erasure import worker
from learning_pipelines.feedback.erasure.certificate import checksum
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.storage import erasure_requests
from learning_pipelines_tests.api.conftest import MakeSettings
from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.api.test_authentication import bearer


def seen(api: Api, name: str) -> None:
    """Somebody of whom an execution is stored."""
    body = {"execution_id": f"run-of-{name}", "agent": "desk", "input": "q", "output": "a", "user": name}
    assert api.post("/executions", body, api.key("user")).status_code in (200, 201)


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """In the place of the process that erases one that ends at once and does nothing."""
    started: list[UUID] = []

    def start(settings: Any, database: Any, erasure_id: UUID) -> subprocess.Popen[bytes]:
        started.append(erasure_id)
        return subprocess.Popen([sys.executable, "-c", "import sys; sys.exit(1)"])

    monkeypatch.setattr(worker, "start", start)
    return started


def test_an_admin_erases_a_person_and_gets_the_certificate(api: Api) -> None:
    seen(api, "ada")
    admin = api.key("admin")
    answer = api.ask("DELETE", "/users/ada", admin)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["checksum"] == checksum(document) and document["requested_by"] == "admin" and document["organization"] == "default"
    state = api.get(f"/erasures/{document['certificate_id']}", admin).json()
    assert state["state"] == "done" and state["certificate"] == document
    assert api.ask("DELETE", "/users/ada", admin).status_code == 404


def test_what_its_process_does_not_end_is_answered_with_where_to_look(api: Api, no_process: list[UUID]) -> None:
    seen(api, "bob")
    admin = api.key("admin")
    answer = api.ask("DELETE", "/users/bob", admin)
    assert answer.status_code == 202
    assert answer.json()["state"] == "requested" and no_process == [UUID(answer.json()["erasure_id"])]
    assert api.get(answer.json()["status_url"].removeprefix("/api/learning"), admin).json()["certificate"] is None
    again = api.ask("DELETE", "/users/bob", admin)
    assert again.json() == answer.json()


def test_what_takes_longer_is_answered_before_it_ends(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    seen(api, "slow")
    processes = []

    def start(settings: Any, database: Any, erasure_id: UUID) -> subprocess.Popen[bytes]:
        processes.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
        return processes[-1]

    monkeypatch.setattr(worker, "start", start)
    monkeypatch.setattr(erasures, "WAIT_SECONDS", 0.3)
    try:
        assert api.ask("DELETE", "/users/slow", api.key("admin")).status_code == 202
    finally:
        processes[0].kill()
        processes[0].wait()


def test_where_no_process_can_be_started_the_request_stays(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any) -> None:
        raise OSError("no process")

    seen(api, "cay")
    monkeypatch.setattr(worker, "start", fails)
    answer = api.ask("DELETE", "/users/cay", api.key("admin"))
    assert answer.status_code == 202
    with api.database.connect("pipeline") as connection:
        assert UUID(answer.json()["erasure_id"]) in {one.id for one in erasure_requests.nobodys(connection, 0)}


def test_a_service_with_no_login_but_its_own_leaves_it_to_the_sensor(make_settings: MakeSettings, no_process: list[UUID]) -> None:
    service = SimpleNamespace(settings=make_settings(api_database_url="postgresql://learning_api@localhost/learning"))
    assert erasures._start(service, UUID(int=1)) is None and no_process == []  # type: ignore[arg-type]


def test_nobody_but_an_admin_may(api: Api, no_process: list[UUID]) -> None:
    seen(api, "dan")
    for role in ("user", "expert", "trainer", "experimenter"):
        assert api.ask("DELETE", "/users/dan", api.key(role)).status_code == 403
        assert api.get("/erasures/00000000-0000-0000-0000-000000000000", api.key(role)).status_code == 403
    assert no_process == []


def test_unknown_names_and_ids_are_404(api: Api, no_process: list[UUID]) -> None:
    admin = api.key("admin")
    answer = api.ask("DELETE", "/users/nobody-at-all", admin)
    assert answer.status_code == 404 and answer.json()["field"] == "user_id"
    assert api.get("/erasures/00000000-0000-0000-0000-000000000000", admin).status_code == 404
    assert api.get("/erasures/none", admin).status_code == 422


def test_a_person_of_another_organization_is_not_found(both: Api, no_process: list[UUID]) -> None:
    admin = both.key("admin", "ours")
    assert both.ask("DELETE", "/users/ada-THEIRS-ALONE", admin).status_code == 404
    theirs = both.ask("DELETE", "/users/ada-THEIRS-ALONE", both.key("admin", "theirs"))
    assert theirs.status_code == 202
    assert both.get(f"/erasures/{theirs.json()['erasure_id']}", admin).status_code == 404


def test_keys_tokens_and_sessions_of_the_person_end_with_the_request(api: Api, no_process: list[UUID]) -> None:
    key, token = api.key("user", user="eve"), bearer(sub="eve", iat=dt.datetime.now(dt.UTC))
    execution, _ = api.service.tokens.for_execution("default", "run-of-eve", "eve", 600)
    session, _, _ = api.service.tokens.for_session("default", "eve", "user", 600)
    seen(api, "eve")
    said = {"feedback_id": "eve-says", "execution_id": "run-of-eve", "feedback_type": "thumbs_up"}
    assert api.get("/executions", key).status_code == api.get("/executions", token).status_code == 200
    assert api.ask("DELETE", "/users/eve", api.key("admin")).status_code == 202
    with api.database.connect("pipeline") as connection:
        assert connection.execute("SELECT is_active FROM users WHERE external_id = 'eve'").fetchone() == (False,)
    fresh = bearer(sub="eve", iat=dt.datetime.now(dt.UTC) + dt.timedelta(seconds=-2))
    deadline = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=10)
    while api.get("/executions", key).status_code != 401 and dt.datetime.now(dt.UTC) < deadline:
        pass  # what is known of a key is believed for a second
    assert api.get("/executions", key).status_code == 401
    assert api.get("/executions", fresh).status_code == 401
    assert api.post("/feedback", said, execution).status_code == 401
    assert api.ask("GET", "/session", cookies={"learning_session": session}).status_code == 401


def test_a_token_issued_after_the_erasure_is_of_a_new_person(api: Api) -> None:
    seen(api, "fay")
    before, silent = bearer(sub="fay", iat=dt.datetime.now(dt.UTC) - dt.timedelta(seconds=5)), bearer(sub="fay")
    assert api.get("/executions", silent).status_code == 200
    assert api.ask("DELETE", "/users/fay", api.key("admin")).status_code == 200
    asked = dt.datetime.now(dt.UTC)
    assert api.get("/executions", before).status_code == 401
    assert api.get("/executions", bearer(sub="fay", jti="another")).status_code == 401  # it does not say when it was issued
    with api.database.connect("pipeline") as connection:  # as if the request lay some seconds back: a token knows whole seconds
        connection.execute("UPDATE erased_names SET asked_at = asked_at - interval '10 seconds' WHERE organization_id = %s", [organization_id("default")])
    assert api.get("/executions", bearer(sub="fay", iat=asked, jti="new")).status_code == 200
