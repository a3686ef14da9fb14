"""What protects the service and what people wrote: limits, headers, CORS, logs, targets that settings may not name, a database that is away.

Belongs here: behaviour around every route. Not here: credentials (test_authentication.py), tenants (test_isolation.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from learning_pipelines.api import middleware
from learning_pipelines.api.app import create_app
from learning_pipelines.api.limits import Limits
from learning_pipelines.api.tokens import Tokens
from learning_pipelines.errors import BadInput
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.outbound import permitted_url
from learning_pipelines.storage import sessions
from learning_pipelines_tests.api.conftest import MakeSettings
from learning_pipelines_tests.api.serving import BASE, Api, listening, make_agents, serving
from learning_pipelines_tests.conftest import MakeDatabase

THUMB = {"execution_id": "run", "agent": "desk", "feedback_type": "thumbs_up"}


@pytest.fixture
def limited(api: Api, make_settings: MakeSettings) -> Iterator[Api]:
    """The same database behind low limits."""
    with serving(api.database, make_settings(rate_limits="key=5/minute,user=3/minute,address=8/minute")) as running:
        yield running


def statuses(api: Api, credential: str | None, times: int) -> list[int]:
    return [api.get("/stats", credential).status_code for _ in range(times)]


def test_a_key_is_limited_for_itself(limited: Api) -> None:
    first, second = limited.key(), limited.key()
    assert statuses(limited, first, 7) == [200] * 5 + [429] * 2
    assert statuses(limited, second, 1) == [200]


def test_who_is_refused_is_told_when_to_come_back(limited: Api) -> None:
    key = limited.key()
    refused = [limited.get("/stats", key) for _ in range(6)][-1]
    assert (refused.status_code, refused.headers["content-type"]) == (429, "application/problem+json")
    assert 1 <= int(refused.headers["retry-after"]) <= 60


def test_a_person_is_limited_whatever_token_they_use(limited: Api) -> None:
    tokens = [limited.service.tokens.for_execution("default", "run", "ada", 60 + extra)[0] for extra in range(4)]
    assert [limited.post("/feedback", THUMB, token).status_code for token in tokens] == [201] * 3 + [429]


def test_an_address_without_valid_credentials_is_limited(limited: Api) -> None:
    assert statuses(limited, "lp_default_" + "x" * 43, 10) == [401] * 8 + [429] * 2


@pytest.mark.parametrize("setting", ["key", "key=", "key=fast", "planet=5/second", "key=5/second;user=5/second"])
def test_a_limit_that_cannot_be_read_is_named(setting: str) -> None:
    with pytest.raises(BadInput, match="LEARNING_RATE_LIMITS"):
        Limits(setting)


def test_a_body_that_is_too_large_is_refused_before_it_is_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_LIMIT", 1000)
    key = api.key()
    announced = api.ask("POST", "/feedback", key, content=b"x" * 1001)
    chunked = api.ask("POST", "/feedback", key, content=iter([b"x" * 600, b"x" * 600]))
    assert [(answer.status_code, answer.headers["content-type"]) for answer in (announced, chunked)] == [(413, "application/problem+json")] * 2
    assert api.post("/feedback", THUMB, key).status_code == 201


@pytest.mark.parametrize("path", [f"{BASE}/stats", "/healthz", f"{BASE}/nothing-here", "/openapi.json"])
def test_every_answer_has_the_security_headers(api: Api, path: str) -> None:
    headers = api.get(path, raw=True).headers
    assert (headers["x-content-type-options"], headers["x-frame-options"], headers["referrer-policy"]) == ("nosniff", "DENY", "no-referrer")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert len(headers["x-request-id"]) == 32


def test_without_origins_no_page_of_another_site_may_read(api: Api) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in api.ask("OPTIONS", "/feedback", headers=asked).headers
    assert "access-control-allow-origin" not in api.get("/stats", api.key(), headers={"Origin": "https://evil.example"}).headers


def test_only_listed_origins_are_let_in(api: Api, make_settings: MakeSettings) -> None:
    with serving(api.database, make_settings(cors_origins="https://desk.example, https://other.example")) as running:
        for origin, allowed in (("https://desk.example", "https://desk.example"), ("https://evil.example", None)):
            asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
            assert running.ask("OPTIONS", "/feedback", headers=asked).headers.get("access-control-allow-origin") == allowed
            assert running.get("/stats", api.key(), headers={"Origin": origin}).headers.get("access-control-allow-origin") == allowed


def test_no_word_of_a_person_and_no_secret_is_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = api.key()
    said = {"execution_id": "secret-run", "agent": "desk", "feedback_type": "correction", "correction_text": "MY PRIVATE WORDS", "feedback_text": "PRIVATE"}
    api.post("/feedback", said, key)
    api.post("/feedback", {**said, "rating": "MY PRIVATE WORDS"}, key)
    api.get("/prompts/desk?input=MY%20PRIVATE%20WORDS", key)
    api.get("/stats", "lp_default_" + "s" * 43)
    logged = [record.getMessage() for record in caplog.records if record.name.startswith(("learning_pipelines", "uvicorn", "psycopg"))]
    assert any('"path":"/api/learning/feedback"' in line for line in logged)
    assert not [line for line in logged if "PRIVATE" in line or key.split("_", 2)[2] in line or "s" * 43 in line]


# Every change leaves a trace that cannot be changed.


def audited(api: Api, subject: str) -> list[tuple[Any, ...]]:
    with api.database.connect("pipeline") as connection:
        return connection.execute(
            """SELECT actor, action, subject_kind, fields, before_hash IS NOT NULL, after_hash IS NOT NULL
            FROM audit_log WHERE subject_id = %s ORDER BY id""",
            [subject],
        ).fetchall()


def test_a_change_is_audited_with_who_what_and_which_fields(api: Api) -> None:
    admin = api.key("admin")
    written = api.post("/prompts/helper", {"messages": [{"role": "system", "content": "Be brief."}]}, admin).json()["version"]
    api.ask("PUT", "/prompts/helper/labels/production", admin, json={"version": int(written)})
    ((actor, *version),) = audited(api, f"helper/{written}")
    assert actor.startswith("key:") and version == ["written", "prompt_version", ["messages"], False, True]
    assert audited(api, "helper/production") == [(actor, "moved", "prompt_label", ["version"], True, True)]


def test_a_refused_change_leaves_no_trace(api: Api) -> None:
    api.ask("PUT", "/prompts/helper/labels/never", api.key("admin"), json={"version": 99})
    assert audited(api, "helper/never") == []


@pytest.mark.parametrize("role", ["api", "pipeline"])
@pytest.mark.parametrize("change", ["UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"])
def test_the_audit_cannot_be_changed(api: Api, role: Any, change: str) -> None:
    with api.database.connect(role) as connection, connection.transaction():
        sessions.act_as(connection, sessions.Acting(organization_id("default"), None, "admin", True))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(change)


# Addresses of settings.


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/latest", "http://[fe80::1]/jwks", "http://[fe80::1%25eth0]/jwks", "http://2852039166/", "http://0xA9FEA9FE/", "http://[::ffff:169.254.169.254]/"],
)
def test_a_setting_may_not_lead_to_a_link_local_address(url: str) -> None:
    with pytest.raises(BadInput, match=r"LEARNING_JWKS_URL.*link-local"):
        permitted_url(url, "LEARNING_JWKS_URL")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://x", "https://", "x"])
def test_a_setting_must_be_an_address(url: str) -> None:
    with pytest.raises(BadInput, match="LEARNING_WEBHOOK_URL"):
        permitted_url(url, "LEARNING_WEBHOOK_URL")


def test_ordinary_addresses_are_permitted() -> None:
    for url in ("http://127.0.0.1:8080/jwks", "https://10.0.0.1/", "http://localhost/"):
        assert permitted_url(url, "X") == url


def test_keys_of_a_link_local_identity_provider_are_not_fetched(make_settings: MakeSettings) -> None:
    tokens = Tokens(make_settings(jwks_url="http://169.254.169.254/jwks"))
    with pytest.raises(BadInput, match="link-local"):
        tokens.read_bearer("x.y.z")


# A database that is away or slow.


def test_a_database_that_is_away_is_answered_503_and_comes_back(make_database: MakeDatabase, make_settings: MakeSettings) -> None:
    with make_database() as database, serving(database, make_settings()) as running:
        key = running.key()
        make_agents(running, "default", "desk")
        assert running.post("/feedback", THUMB, key).status_code == 201
        name = psycopg.conninfo.conninfo_to_dict(database.admin_url)["dbname"]
        elsewhere = psycopg.conninfo.make_conninfo(database.admin_url, dbname="postgres")
        with psycopg.connect(elsewhere, autocommit=True) as session:
            session.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")  # type: ignore[arg-type]
            session.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            answers = [running.post("/feedback", THUMB, key), running.get("/stats", key), running.get("/readyz", raw=True)]
            assert [answer.status_code for answer in answers] == [503] * 3
            assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
            assert running.get("/healthz", raw=True).status_code == 200
            session.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")  # type: ignore[arg-type]
        assert running.post("/feedback", THUMB, key).status_code == 201


def test_an_application_without_its_database_starts_and_says_so(make_settings: MakeSettings) -> None:
    away = make_settings(database_url="postgresql://nobody:x@127.0.0.1:9/nothing")
    with listening(create_app(away)) as url:
        assert httpx.get(f"{url}/healthz").status_code == 200
        assert httpx.get(f"{url}/readyz", timeout=30).status_code == 503
