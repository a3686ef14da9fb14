"""What metrics are: each by its name, ratios with what they are totals of.

Belongs here: experiments/metrics.py. Not here: how values are collected (test_collecting.py), statistics (test_exact.py, test_asymptotic.py).
"""

from __future__ import annotations

import pytest

from learning_pipelines.errors import BadInput
from learning_pipelines.experiments.metrics import GUARDRAILS, METRICS, Metric, _ratio, metric


def test_a_ratio_is_one_total_over_another() -> None:
    made = _ratio("waits", -1, "waited", "executions", "Waits per execution.")
    assert made == Metric("waits", "ratio", -1, "Waits per execution.", numerator="waited", denominator="executions")
    assert made.value == "" and metric("latency_ms") == _ratio("latency_ms", -1, "latency_ms", "latency_count", "Milliseconds per execution.")


def test_a_metric_has_its_name_and_one_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    assert all(metric(name).name == name for name in (*METRICS, *GUARDRAILS))
    with pytest.raises(BadInput, match=r"'speed' is no metric\. There are thumbs, rating, "):
        metric("speed")
