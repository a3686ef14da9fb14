"""What goes of learnt behaviour, of searches and of looks at ended experiments, and what never does.

Belongs here: version_retention.py on real rows. Not here: index versions (retrieval/), the clean-up as a whole (defs/test_jobs.py).
"""

from __future__ import annotations

import datetime as dt
from uuid import uuid4

import pytest

from learning_pipelines.storage import version_retention
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, table

OLD = dt.timedelta(0)


@pytest.fixture(autouse=True)
def _desk(load: Load) -> None:
    load("agents", [AGENT])


def versions(pipeline: Connection, topic: str = "") -> list[int]:
    return sorted(row["number"] for row in table(pipeline, "behavior_versions", f"topic = '{topic}'"))


def test_the_newest_versions_of_each_topic_stay_and_what_serves_or_is_proposed(pipeline: Connection) -> None:
    agent = agent_ref(pipeline)
    ours = [agent.organization_id, agent.agent_id]
    for number in range(1, 9):
        pipeline.execute(
            """INSERT INTO behavior_versions (organization_id, agent_id, kind, number, topic, created_at)
            VALUES (%s, %s, 'playbook', %s, %s, now() - interval '9 days')""",
            [*ours, number, "month" if number == 1 else ""],
        )
    pipeline.execute("INSERT INTO behavior_labels (organization_id, agent_id, kind, label, number) VALUES (%s, %s, 'playbook', 'previous', 3)", ours)
    pipeline.execute(
        """INSERT INTO proposals (organization_id, agent_id, kind, verdict, subject, incumbent)
        VALUES (%s, %s, 'playbook', 'better', '{"version": 4}', '{}')""",
        ours,
    )
    assert version_retention.prune_behavior(pipeline, agent, 2, OLD) == 3
    assert (versions(pipeline, "month"), versions(pipeline)) == ([1], [3, 4, 7, 8])
    assert version_retention.prune_behavior(pipeline, agent, 2, OLD) == 0


def test_young_versions_stay(pipeline: Connection) -> None:
    agent = agent_ref(pipeline)
    for number in (1, 2, 3):
        pipeline.execute(
            "INSERT INTO behavior_versions (organization_id, agent_id, kind, number) VALUES (%s, %s, 'policy', %s)",
            [agent.organization_id, agent.agent_id, number],
        )
    assert version_retention.prune_behavior(pipeline, agent, 1, dt.timedelta(days=7)) == 0


def test_dropped_candidates_of_old_searches_go_and_winners_stay(pipeline: Connection) -> None:
    agent = agent_ref(pipeline)
    for days, status in ((200, "completed"), (200, "running"), (10, "completed")):
        run = uuid4()
        pipeline.execute(
            """INSERT INTO training_runs (organization_id, id, agent_id, training_type, status, created_at)
            VALUES (%s, %s, %s, 'prompt_optimization', %s, now() - make_interval(days => %s))""",
            [agent.organization_id, run, agent.agent_id, status, days],
        )
        for name, winner in (("won", True), ("lost", False)):
            pipeline.execute(
                """INSERT INTO prompt_candidates (organization_id, training_run_id, name, agent_id, strategy, items, outcome, is_winner)
                VALUES (%s, %s, %s, %s, 'edits', 1, 'done', %s)""",
                [agent.organization_id, run, name, agent.agent_id, winner],
            )
    assert version_retention.prune_candidates(pipeline, dt.timedelta(days=180)) == 1
    assert sorted(row["name"] for row in table(pipeline, "prompt_candidates")) == ["lost", "lost", "won", "won", "won"]


def test_of_an_experiment_that_ended_long_ago_one_look_a_day_stays_and_every_decision(pipeline: Connection) -> None:
    agent, experiment = agent_ref(pipeline), uuid4()
    pipeline.execute(
        """INSERT INTO learning_experiments (organization_id, id, agent_id, name, status, ended_at)
        VALUES (%s, %s, %s, 'old', 'completed', now() - interval '200 days')""",
        [agent.organization_id, experiment, agent.agent_id],
    )
    for hour, decision, final in ((1, "inconclusive", False), (2, "rollback", False), (3, "inconclusive", False), (4, "inconclusive", True)):
        pipeline.execute(
            """INSERT INTO experiment_decisions (organization_id, experiment_id, decision, final, reason, evidence, decided_by, decided_at)
            VALUES (%s, %s, %s, %s, 'r', '{}', 'job', timestamptz '2025-01-01' + make_interval(hours => %s))""",
            [agent.organization_id, experiment, decision, final, hour],
        )
    assert version_retention.prune_looks(pipeline, dt.timedelta(days=300)) == 0
    assert version_retention.prune_looks(pipeline, dt.timedelta(days=180)) == 2
    assert [row["decision"] for row in sorted(table(pipeline, "experiment_decisions"), key=lambda row: row["id"])] == ["rollback", "inconclusive"]
