"""Every route, asked with ids of another tenant: nothing of theirs is read, nothing of theirs changes.

Belongs here: the walk over the OpenAPI document. Not here: tables and policies (storage/test_isolation.py).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from learning_pipelines.api.app import create_app
from learning_pipelines.api.keys import ROLES
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.api.tenants import MARK, SAME, theirs

METHODS = ("get", "post", "put", "delete", "patch")


def operations(api: Api) -> list[tuple[str, str, dict[str, Any]]]:
    document = create_app(api.settings).openapi()
    return [(method, path, operation) for path, methods in document["paths"].items() for method, operation in methods.items() if method in METHODS]


def named(api: Api) -> dict[str, list[str]]:
    """What may stand in a path, by the parameter's name: their own ids first."""
    with api.database.connect("pipeline") as connection:
        row = connection.execute("SELECT id::text FROM agents WHERE organization_id = %s AND slug = 'desk'", [organization_id("theirs")]).fetchone()
        proposal = connection.execute("SELECT id::text FROM proposals WHERE organization_id = %s", [organization_id("theirs")]).fetchone()
        experiment = connection.execute("SELECT id::text FROM learning_experiments WHERE organization_id = %s", [organization_id("theirs")]).fetchone()
    assert row is not None and proposal is not None and experiment is not None
    return {
        "agent_id": [row[0], f"{MARK}-agent"], "execution_id": [f"run-{MARK}"], "feedback_id": [f"said-run-{MARK}"], "user_id": [f"ada-{MARK}"],
        "week": ["2026-W47"], "run_id": ["00000000-0000-0000-0000-000000000000"], "label": ["production"], "id": [f"example-{MARK}"],
        "example_id": [f"example-{MARK}"], "proposal_id": [proposal[0]], "experiment_id": [experiment[0]], "trace_id": [f"run-{MARK}"], "version": ["3"],
        "form": ["html"],
    }  # fmt: skip


def paths(template: str, names: dict[str, list[str]]) -> list[str]:
    found = [template]
    for name in [part.strip("{}").split(":")[0] for part in template.split("/") if part.startswith("{")]:
        assert name in names or name.endswith("_id"), f"{template}: what is {name}? Add it to `named`."
        found = [path.replace(f"{{{name}}}", value) for path in found for value in names.get(name, names["id"])]
    return found


def bodies(operation: dict[str, Any]) -> list[Any]:
    """The document's own example, with their ids in it, and with the id that both use."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return [None]
    example = content.get("example")
    if example is None and "$ref" in content.get("schema", {}):
        example = content["schema"].get("example")
    text = json.dumps(example if example is not None else {})
    return [json.loads(text.replace("run-1", name).replace("ex-1", f"example-{MARK}").replace("fb-1", "said-new")) for name in (f"run-{MARK}", SAME)]


@pytest.mark.parametrize("path", [f"/executions/run-{MARK}", f"/lineage/feedback/said-run-{MARK}", f"/prompts/{MARK}-agent", f"/feedback/stats/{MARK}-agent"])
def test_what_only_they_have_is_not_there_for_us_and_is_for_them(both: Api, path: str) -> None:
    assert both.get(path, both.key("admin", "ours")).status_code == 404
    assert both.get(path, both.key("admin", "theirs")).status_code == 200


def test_an_id_that_both_use_leads_to_ones_own(both: Api) -> None:
    assert both.get(f"/executions/{SAME}", both.key("admin", "ours")).json()["input"] == "question ours"
    assert both.get(f"/executions/{SAME}", both.key("admin", "theirs")).json()["input"] == f"question {MARK}"
    assert both.get("/prompts/desk", both.key("user", "ours")).json()["messages"][0]["content"] == "ours"


def test_a_key_of_theirs_with_our_name_in_it_is_refused(both: Api) -> None:
    assert both.get("/stats", both.key("admin", "theirs").replace("lp_theirs_", "lp_ours_")).status_code == 401


def test_a_person_with_role_user_sees_their_own_rows_only(both: Api) -> None:
    token, _ = both.service.tokens.for_execution("ours", SAME, "ada-ours", 60)
    ada, bob = (bearer(user) for user in ("ada-ours", "bob"))
    assert {row["user"] for row in both.get("/executions", ada).json()["executions"]} == {"ada-ours"}
    assert both.get("/executions", bob).json()["executions"] == []
    assert both.get(f"/executions/{SAME}", bob).status_code == 404
    assert both.get(f"/lineage/feedback/said-{SAME}", bob).status_code == 404
    assert both.get(f"/lineage/feedback/said-{SAME}", ada).status_code == 200
    assert both.get("/feedback/stats/desk", bob).json()["total_feedback"] == both.get("/feedback/stats/desk", ada).json()["total_feedback"] >= 2
    assert both.get("/executions", token).status_code == 403


@pytest.mark.parametrize("role", ROLES)
def test_no_route_reads_or_changes_anything_of_another_tenant(both: Api, role: str) -> None:
    key, names, before = both.key(role, "ours"), named(both), theirs(both)
    asked, leaks = 0, []
    for method, template, operation in operations(both):
        for path in paths(template, names):
            for body in bodies(operation):
                query = {"agent": f"{MARK}-agent", "user": f"ada-{MARK}", "session_id": MARK, "unit": MARK, "q": MARK} if method == "get" else {}
                for params in ({}, query) if query else ({},):
                    answer = both.ask(method.upper(), path, key, raw=True, json=body, params=params)
                    asked += 1
                    named_by_us = answer.text.replace(f"example-{MARK}", "").replace(f"run-{MARK}", "").replace(f"ada-{MARK}", "").replace(f"{MARK}-agent", "")
                    if MARK in named_by_us or (answer.status_code >= 500 and answer.status_code != 503):
                        leaks.append((method, path, answer.status_code, answer.text[:300]))
    assert leaks == []
    assert asked > 40
    assert theirs(both) == before


def bearer(user: str) -> str:
    from learning_pipelines_tests.api.test_authentication import bearer as made

    return str(made(sub=user, organization="ours"))
