"""The gate on recorded outputs of a real model under two prompts, for which it is known where the second one helps and harms."""

from __future__ import annotations

import pytest

from learning_pipelines.acceptance.gate import Verdict
from learning_pipelines_tests.acceptance.prompt_outputs import DATA, MISSING, verdicts

pytestmark = pytest.mark.skipif(not DATA.is_file(), reason=MISSING)


def test_harm_no_evidence_and_gains_are_told_apart() -> None:
    found = verdicts()
    assert found["word_sorting"].verdict is Verdict.WORSE
    assert found["word_sorting"].p_worse == pytest.approx(0.002, abs=0.001)
    assert found["salient_translation_error_detection"].verdict is Verdict.NO_EVIDENCE
    better = {task for task, evidence in found.items() if evidence.verdict is Verdict.BETTER}
    assert better >= {task for task, evidence in found.items() if evidence.difference >= 0.15}
    assert len(better) >= 11
    for evidence in found.values():
        assert evidence.low <= evidence.difference <= evidence.high
