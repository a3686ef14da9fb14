"""What is said when PostgreSQL's own programs fail at a dump: the cause without quoted rows, and what helps against it.

Belongs here: reading their complaints. Not here: dumps of an installation (defs/test_backup.py).
"""

from __future__ import annotations

import io

import pytest

from learning_pipelines.storage.dump import _advice, _first_error


@pytest.mark.parametrize(("said", "cause", "advice"), [
    ("pg_dump: error: aborting because of server version mismatch\npg_dump: detail: server version: 18", "server version mismatch", "client programs"),
    ('psql:<stdin>:4: ERROR:  could not extend file "base/5/1": No space left on device.\nDETAIL: x', "No space left on device", "Free space"),
    ("pg_dump: error: query would be affected by row-level security policy for table \"users\"", "row-level security", "learning-pipelines verify"),
    ('psql:<stdin>:9: ERROR:  duplicate key value\nDETAIL:  Key (email)=(ada@example.org) already exists.', "duplicate key value", "Nothing of it was kept"),
    ("connection closed", "connection closed", "then try again"), ("", "it says nothing", "then try again"),
])  # fmt: skip
def test_a_complaint_becomes_its_cause_and_what_helps(said: str, cause: str, advice: str) -> None:
    stream = io.BytesIO(said.encode())
    assert cause in _first_error(stream) and advice in _advice(stream)
    assert "ada@example.org" not in _first_error(stream)
