"""The asset rater_weights: what it reports, checks that can fail, when it is asked for, and that other jobs bring it up to date.

Belongs here: the asset and its run requests. Not here: weights themselves (feedback/test_trust_refresh.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import dagster as dg
import pytest

from learning_pipelines.defs import sensors
from learning_pipelines.defs.feedback import rater_weights
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, checks_of, metadata_of
from learning_pipelines_tests.feedback.rows import execution, said, table

MOMENT = (dt.datetime.now(dt.UTC) - dt.timedelta(days=2)).isoformat()


def materialize(store: Store, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return dg.materialize([rater_weights], resources={"store": store}, instance=instance)


@pytest.fixture
def rated(desk: None, load: Load) -> None:
    """Twelve people each like another answer."""
    load("executions", [execution(f"e{i}", created_at=MOMENT) for i in range(12)])
    load("feedback", [said(f"f{i}", f"e{i}", user=f"user{i}", created_at=MOMENT) for i in range(12)])


def test_it_reports_counts(rated: None, store: Store, instance: dg.DagsterInstance) -> None:
    metadata = metadata_of(materialize(store, instance), "rater_weights")
    assert (metadata["dagster/row_count"], metadata["raters_judged"], metadata["weights_moved"], metadata["distrusted"]) == (12, 12, 0, 0)
    assert {name for name, value in metadata.items() if isinstance(value, str)} == {"dagster/table_name"}


def test_its_checks_pass_on_sound_rows(rated: None, store: Store, instance: dg.DagsterInstance) -> None:
    assert checks_of(materialize(store, instance)) == {"weights_in_range": True, "few_are_distrusted": True}


def test_a_signal_out_of_range_fails_the_check(rated: None, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    materialize(store, instance)
    pipeline.execute("""UPDATE rater_weights SET signals = signals || '{"burst": 1.5}' WHERE user_id = (SELECT id FROM users LIMIT 1)""")
    assert checks_of(materialize(store, instance)) == {"weights_in_range": False, "few_are_distrusted": True}


def test_many_distrusted_raters_are_a_warning(rated: None, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    materialize(store, instance)
    pipeline.execute("UPDATE rater_weights SET weight = 0 WHERE user_id IN (SELECT id FROM users ORDER BY external_id LIMIT 3)")
    (failed,) = [one for one in materialize(store, instance).get_asset_check_evaluations() if not one.passed]
    assert (failed.check_name, failed.severity, failed.metadata["failures"].value) == ("few_are_distrusted", dg.AssetCheckSeverity.WARN, 3)


def asked_for(store: Store, instance: dg.DagsterInstance, cursor: str | None = None) -> Any:
    return sensors.new_feedback(dg.build_sensor_context(instance=instance, cursor=cursor, resources={"store": store}))


def test_new_feedback_asks_for_weights_once_and_weights_do_not_ask_for_themselves(
    rated: None, load: Load, store: Store, instance: dg.DagsterInstance, pipeline: Connection
) -> None:
    first = asked_for(store, instance)
    assert [one.job_name for one in first.run_requests].count("weights_refresh") == 1
    pipeline.execute("""INSERT INTO outbox (organization_id, agent_id, kind, row_id, happened_at)
        SELECT organization_id, id, 'rater_weights', 'moved', now() FROM agents""")
    assert [one.job_name for one in asked_for(store, instance, first.cursor).run_requests] == ["metrics_refresh"]


def test_executions_alone_ask_for_no_weights(desk: None, load: Load, store: Store, instance: dg.DagsterInstance) -> None:
    load("executions", [execution("e1", created_at=MOMENT)])
    assert "weights_refresh" not in [one.job_name for one in asked_for(store, instance).run_requests]


def test_the_job_and_every_other_one_bring_weights_up_to_date(rated: None, run_job: Materialize, pipeline: Connection) -> None:
    run_job("cleanup")
    assert len(table(pipeline, "rater_weights")) == 12
    pipeline.execute("DELETE FROM rater_weights")
    pipeline.execute("DELETE FROM outbox_positions")
    run_job("weights_refresh")
    assert len(table(pipeline, "rater_weights")) == 12
