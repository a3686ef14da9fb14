"""The secret that an installation signs its tokens with where nobody set one: made once, for its owner alone, the same for every worker.

Belongs here: what lies in the home. Not here: what tokens permit (test_authentication.py).
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from learning_pipelines.api.problems import Problem
from learning_pipelines.api.tokens import EXECUTION, Tokens
from learning_pipelines.settings import Settings


def tokens(home: Path) -> Tokens:
    return Tokens(Settings(home=home, database_url=None, token_secret=None))


def test_a_token_is_good_after_a_restart_and_in_no_other_installation(tmp_path: Path) -> None:
    token, _ = tokens(tmp_path / "one").for_execution("default", "e1", None, 60)
    assert tokens(tmp_path / "one").read_own(token, EXECUTION).execution == "e1"
    with pytest.raises(Problem, match="not accepted"):
        tokens(tmp_path / "other").read_own(token, EXECUTION)


def test_workers_that_start_at_once_share_one_secret_that_only_its_owner_reads(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def made(_: int) -> str:
        start.wait()
        return tokens(tmp_path / "home")._secret

    with ThreadPoolExecutor(8) as pool:
        (secret,) = set(pool.map(made, range(8)))
    assert len(secret) >= 64
    (kept,) = (tmp_path / "home").iterdir()
    assert (kept.name, kept.stat().st_mode & 0o777, kept.read_text()) == ("token_secret", 0o600, secret)
