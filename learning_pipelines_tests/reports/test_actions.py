"""Suggested actions: three at most, harm first, each with the number it rests on.

Belongs here: reports/actions.py. Not here: the numbers (test_week.py).
"""

from __future__ import annotations

from learning_pipelines.reports.actions import suggested
from learning_pipelines_tests.reports.sample import numbers


def test_harm_comes_first_and_three_are_enough() -> None:
    assert [(one["rank"], one["key"]) for one in suggested(numbers())] == [(1, "drift"), (2, "failed_runs"), (3, "failing_checks")]


def test_every_action_names_its_number_its_query_and_a_place() -> None:
    found = numbers()
    for one in suggested(found, most=20):
        assert one["number"][0].isdigit() or one["number"].startswith(("alpha", "no evidence"))
        assert one["query"] in found["queries"] and one["place"] in ("/", "/annotate", "/executions", "/training", "/docs")


def test_without_harm_the_way_to_more_evidence_is_shown() -> None:
    found = numbers()
    found["serving"] = [one for one in found["serving"] if one["n"] and not one["alarm"]]
    found["incidents"] = [{**one, "count": 0, "by_name": []} for one in found["incidents"]]
    found["learning"]["waiting_for_approval"] = 0
    assert [one["key"] for one in suggested(found)] == ["rising", "quality", "review"]


def test_where_all_is_well_nothing_is_suggested() -> None:
    found = numbers()
    found |= {"serving": [], "issues": [], "milestones": [], "agreement": [], "headline": [{**one, "verdict": "reached"} for one in found["headline"]]}
    found["incidents"] = [{**one, "count": 0, "by_name": []} for one in found["incidents"]]
    found["learning"]["waiting_for_approval"] = found["examples"]["waiting_for_review"] = 0
    assert suggested(found) == []


def test_checks_that_passed_again_are_no_work() -> None:
    found = numbers()
    (checks,) = [one for one in found["incidents"] if one["key"] == "failing_checks"]
    (action,) = [one for one in suggested(found, most=20) if one["key"] == "failing_checks"]
    assert (action["number"], "references_hold" in action["text"], "every_chunk_is_found" in action["text"]) == ("1 failing check", True, False)
    checks["by_name"] = [{**one, "still_failing": 0} for one in checks["by_name"]]
    assert "failing_checks" not in [one["key"] for one in suggested(found, most=20)]
