"""`learning-pipelines keys`: made once, shown once, listed without their secrets, revoked for good.

Belongs here: what is printed and stored. Not here: what a key may do (api/test_authentication.py), revoking while a service runs (test_end_to_end.py).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from learning_pipelines_tests.cli.command_line import call


def test_a_key_names_its_organization_and_is_shown_once(home: Path) -> None:
    made = call(home, "keys", "create", "--role", "expert", "--organization", "keys-1", "--user", "ada", "--json")
    assert made.code == 0
    assert re.fullmatch(r"lp_keys-1_[A-Za-z0-9_-]{43}", made.document["key"])
    listed = call(home, "keys", "list", "--organization", "keys-1", "--json")
    (one,) = listed.document["keys"]
    assert (one["key_id"], one["role"], one["user"], one["revoked_at"]) == (made.document["key_id"], "expert", "ada", None)
    assert made.document["key"].split("_", 2)[2] not in listed.out + listed.err


def test_a_revoked_key_stays_listed_and_cannot_be_revoked_twice(home: Path) -> None:
    made = call(home, "keys", "create", "--role", "user", "--organization", "keys-2", "--json").document
    revoked = [call(home, "keys", "revoke", made["key_id"], "--organization", "keys-2", "--json").document["changed"] for _ in range(2)]
    assert revoked == [True, False]
    assert call(home, "keys", "list", "--organization", "keys-2", "--json").document["keys"][0]["revoked_at"]


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        (["create", "--role", "king"], "user, expert, trainer"), (["create"], "--role"),
        (["create", "--role", "user", "--organization", "Not A Slug"], "organization"),
        (["list", "--organization", "nobody"], "no organization"), (["revoke", "not-an-id", "--organization", "keys-1"], "keys list"),
        (["revoke", "00000000-0000-0000-0000-000000000000", "--organization", "keys-1"], "keys list"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_the_next_step(home: Path, typed: list[str], word: str) -> None:
    call(home, "keys", "create", "--role", "user", "--organization", "keys-1")
    ended = call(home, "keys", *typed)
    assert (ended.code, ended.out) == (2, "")
    assert word in ended.err


def test_a_key_of_another_organization_cannot_be_revoked(home: Path) -> None:
    made = call(home, "keys", "create", "--role", "user", "--organization", "keys-3", "--json").document
    assert call(home, "keys", "revoke", made["key_id"], "--organization", "keys-1").code == 2
    assert call(home, "keys", "list", "--organization", "keys-3", "--json").document["keys"][0]["revoked_at"] is None
