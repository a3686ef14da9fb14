"""What `make audit` concludes from pip-audit's answer.

Belongs here: its words and its exit. Not here: pip-audit itself, which is tried by `make audit`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from learning_pipelines_tests.audit import judged, main

CLEAN = {"name": "click", "version": "8.3.0", "vulns": []}
BROKEN = {"name": "old", "version": "1.0", "vulns": [{"id": "PYSEC-2020-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "torch", "skip_reason": "Dependency not found on PyPI"}


def test_a_vulnerable_package_is_named_with_where_it_is_mended() -> None:
    asked, vulnerable, unknown = judged({"dependencies": [CLEAN, BROKEN, UNKNOWN, {"name": "learning-pipelines", "skip_reason": "editable"}]})
    assert asked == 2 and unknown == ["torch"]
    assert vulnerable == ["old 1.0: PYSEC-2020-1; mended in ['1.1']"]


@pytest.mark.parametrize(("packages", "code", "said"), [
    ([CLEAN], 0, "1 packages asked about, 0 with"), ([CLEAN, BROKEN], 1, "PYSEC-2020-1"), ([UNKNOWN] * 9, 1, "Not audited"),
])  # fmt: skip
def test_nothing_is_called_sound_that_nobody_was_asked_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], packages: list[dict[str, object]], code: int, said: str
) -> None:
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps({'dependencies': packages})}\nEND\n")
    program.chmod(0o755)
    assert main(str(program)) == code
    assert said in capsys.readouterr().out
