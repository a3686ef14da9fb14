"""Corrections as an asset: counts without anybody's words, and a warning when something learnt is corrected again.

Belongs here: the asset correction_patterns, its check. Not here: judging and clustering (behavior/), the command line (cli/).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from learning_pipelines.behavior.corrections import rules_making
from learning_pipelines.defs.corrections import correction_patterns, correction_rules
from learning_pipelines.defs.serve import corrected_again
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.behavior.corrected import LABELS, Desk
from learning_pipelines_tests.behavior.test_recurrence import learn
from learning_pipelines_tests.behavior.test_rules import corrected, minding
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import checks_of, metadata_of

DESK = "default/desk"


@pytest.fixture
def classifier(pipeline: Connection, load: Load) -> Desk:
    desk = Desk(pipeline, load, LABELS)
    for user, days in (("ada", 60), ("bob", 50), ("eve", 45)):
        desk.corrected(f"secret message of {user}", "card_lost", "card_stolen", user, days_ago=days)
    return desk


def materialized(store: Store, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("agents", [DESK])
    return dg.materialize([correction_patterns], partition_key=DESK, instance=instance, resources={"store": store}, raise_on_error=True)


def test_metadata_counts_clusters_kinds_and_weeks_and_quotes_nobody(classifier: Desk, store: Store, instance: dg.DagsterInstance) -> None:
    classifier.corrected("one of this week", "card_lost", "pin_blocked", "ada")
    result = materialized(store, instance)
    found = metadata_of(result, "correction_patterns")
    names = ("dagster/row_count", "corrections", "new_corrections", "new_clusters", "several_people", "learnt", "recurring", "kind: label")
    assert [found[name] for name in names] == [2, 4, 4, 2, 1, 0, 0, 4]
    today = dt.datetime.now(dt.UTC).date()
    assert found[f"week: {today - dt.timedelta(days=today.weekday())}"] == 1
    said = repr(found) + "".join(repr(event) for event in instance.all_logs(result.run_id))
    assert not any(word in said for word in ("secret message", "card_stolen", "pin_blocked"))
    assert checks_of(result) == {"learnt_corrections_do_not_recur": True}
    assert metadata_of(materialized(store, instance), "correction_patterns")["new_corrections"] == 0


def test_without_corrections_the_run_says_so(load: Load, pipeline: Connection, store: Store, instance: dg.DagsterInstance) -> None:
    Desk(pipeline, load, LABELS)
    run = instance.get_run_by_id(materialized(store, instance).run_id)
    assert run is not None
    assert (run.tags["learning/status"], "nobody corrected" in run.tags["learning/reason"]) == ("skipped", True)


def test_what_recurs_after_it_was_learnt_warns_in_the_check_and_in_status(
    classifier: Desk, store: Store, instance: dg.DagsterInstance
) -> None:
    classifier.refresh()
    for days in (50, 20):
        classifier.executed(100, days_ago=days)
    learn(classifier, days_ago=30)
    for number in range(12):
        classifier.corrected(f"later message {number}", "card_lost", "card_stolen", f"user{number}", days_ago=10)
    result = materialized(store, instance)
    assert checks_of(result) == {"learnt_corrections_do_not_recur": False}
    (event,) = result.get_asset_check_evaluations()
    assert event.severity == dg.AssetCheckSeverity.WARN
    assert metadata_of(result, "correction_patterns")["newly_recurring"] == 1
    (problem,) = corrected_again(classifier.connection, None)
    assert problem.startswith("1 thing that desk had learnt is corrected again")
    assert corrected_again(classifier.connection, "elsewhere") == []


def test_rules_are_made_tested_and_proposed_with_numbers_that_stored_scores_give_again(
    pipeline: Connection, load: Load, database: Database, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(pipeline, load, LABELS)
    corrected(desk)

    def scoring(*given: Any) -> Any:
        return lambda serving, items, account: lambda texts, wanted: [float(minding(texts, item) == item.expected) for item in wanted]

    monkeypatch.setattr(rules_making, "_scoring", scoring)
    store = Store(Settings(home=tmp_path / "home", timezone="UTC", duplicate_cosine=None, planned_effect=0.9), database)
    instance.add_dynamic_partitions("agents", [DESK])
    given: dict[str, Any] = {"partition_key": DESK, "instance": instance, "resources": {"store": store}}
    result = dg.materialize([correction_rules], **given)
    found = metadata_of(result, "correction_rules")
    assert (found["rules: proposed"], found["held-out corrections, score before"], found["held-out corrections, score after"]) == (1, 0.0, 1.0)
    assert checks_of(result) == {"rules_help_on_held_out_corrections": True}
    assert not any(word in repr(found) for word in ("thief", "card_stolen"))
    again = instance.get_run_by_id(dg.materialize([correction_rules], **given).run_id)
    assert again is not None
    assert "nothing changed since training run" in again.tags["learning/reason"]
