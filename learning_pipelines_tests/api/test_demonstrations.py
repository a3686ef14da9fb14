"""Demonstrations over HTTP: who may vouch for whom, new versions, whose right was withdrawn.

Belongs here: POST /demonstrations. Not here: what a demonstration must be (feedback/test_demonstrations.py), roles of routes (test_authentication.py).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from learning_pipelines_tests.api.serving import Api, make_agents
from learning_pipelines_tests.api.test_authentication import bearer
from learning_pipelines_tests.behavior.shown import demonstration


@pytest.fixture
def key(api: Api) -> str:
    return api.key("expert")


def role(api: Api, user: str) -> str | None:
    with api.database.connect("pipeline") as connection:
        row = connection.execute("SELECT role FROM users WHERE external_id = %s", [user]).fetchone()
    return None if row is None else str(row[0])


def plain_user(api: Api, name: str) -> None:
    """Somebody who gave feedback once."""
    said = {"execution_id": f"run of {name}", "agent": "desk", "feedback_type": "thumbs_up", "user": name}
    assert api.post("/feedback", said, api.key()).status_code == 201
    assert role(api, name) == "user"


def stored(api: Api, name: str) -> Any:
    with api.database.connect("pipeline") as connection:
        return connection.execute("SELECT version, is_active, outcome FROM demonstrations WHERE id = %s", [name]).fetchone()


def test_an_application_vouches_for_the_expert_it_names(api: Api, key: str) -> None:
    plain_user(api, "vouched")
    assert api.post("/demonstrations", demonstration("vouched", expert="vouched"), key).status_code == 201
    assert role(api, "vouched") == "expert"


def test_whoever_acts_for_one_person_vouches_for_nobody_else(api: Api) -> None:
    plain_user(api, "friend")
    for number, credential in enumerate((bearer(sub="mallory", role="expert"), bearer(sub="mallory", role="admin"), api.key("expert", user="mallory"))):
        answer = api.post("/demonstrations", demonstration(f"m{number}", expert="friend"), credential)
        assert (answer.status_code, answer.json()["field"]) == (403, "expert")
        assert stored(api, f"m{number}") is None
    assert role(api, "friend") == "user"


def test_an_expert_shows_in_their_own_name(api: Api) -> None:
    plain_user(api, "fay")
    assert api.post("/demonstrations", demonstration("of fay"), bearer(sub="fay", role="expert")).status_code == 201
    assert role(api, "fay") == "expert"


def test_a_plain_user_makes_nobody_an_expert(api: Api) -> None:
    plain_user(api, "gus")
    for credential in (bearer(sub="gus"), api.key("user"), api.key("trainer"), api.key("user", user="gus")):
        assert api.post("/demonstrations", demonstration("of gus", expert="gus"), credential).status_code == 403
    assert (role(api, "gus"), stored(api, "of gus")) == ("user", None)


def test_whose_right_was_withdrawn_is_told_so(api: Api, key: str) -> None:
    assert api.post("/demonstrations", demonstration("w1", expert="wim"), key).status_code == 201
    with api.database.connect("pipeline") as connection:
        connection.execute("UPDATE users SET role = 'user', expertise_withdrawn_at = now() WHERE external_id = 'wim'")
    for credential in (key, bearer(sub="wim", role="expert")):
        answer = api.post("/demonstrations", demonstration("w2", expert="wim"), credential)
        assert (answer.status_code, answer.json()["field"]) == (403, "expert")
    assert api.post("/demonstrations", demonstration("w1", expert="wim"), key).json()["status"] == "unchanged"
    assert (role(api, "wim"), stored(api, "w2")) == ("user", None)


def test_a_new_version_replaces_the_old_one(api: Api, key: str) -> None:
    bodies = [demonstration("v1"), demonstration("v2", replaces="v1", outcome="failure")]
    assert [api.post("/demonstrations", body, key).status_code for body in bodies] == [201, 201]
    assert [api.post("/demonstrations", body, key).json()["status"] for body in bodies] == ["unchanged", "unchanged"]
    assert (stored(api, "v1"), stored(api, "v2")) == ((1, False, "success"), (2, True, "failure"))


@pytest.mark.parametrize(
    ("body", "status"), [({"replaces": "nothing"}, 422), ({"replaces": "base", "agent": "helper"}, 422), ({"replaces": "past"}, 409)]
)  # fmt: skip
def test_a_version_of_nothing_is_refused_by_its_field(api: Api, key: str, body: dict[str, Any], status: int) -> None:
    for one in (demonstration("past"), demonstration("base", replaces="past")):
        assert api.post("/demonstrations", one, key).status_code == 201
    answer = api.post("/demonstrations", demonstration("refused", **body), key)
    assert (answer.status_code, answer.json()["field"]) == (status, "replaces")
    assert stored(api, "refused") is None


def test_of_many_that_replace_one_at_once_one_does(api: Api, key: str) -> None:
    assert api.post("/demonstrations", demonstration("busy"), key).status_code == 201
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: api.post("/demonstrations", demonstration(f"busy{n}", replaces="busy"), key).status_code, range(8)))
    assert sorted(answers) == [201] + [409] * 7


def test_another_organizations_demonstration_cannot_be_replaced(api: Api, key: str) -> None:
    assert api.post("/demonstrations", demonstration("ours"), key).status_code == 201
    theirs = api.key("expert", "theirs")
    make_agents(api, "theirs", "desk")
    assert api.post("/demonstrations", demonstration("theirs", replaces="ours"), theirs).status_code == 422
    assert stored(api, "ours") == (1, True, "success")
