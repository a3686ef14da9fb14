"""What serves, scored anew each week: on the same items, by really asking, with an alarm when the model behind the endpoint has changed.

Belongs here: reports/serving_scores.py and drift.py. Not here: the asset (defs/test_reports.py), metrics.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import psycopg
import pytest
from scipy.stats import binom

from learning_pipelines.examples.datasets import refresh_dataset
from learning_pipelines.reports.drift import LEVEL, LOOKS, drift
from learning_pipelines.reports.serving_scores import score_week
from learning_pipelines.reports.week import week_numbers
from learning_pipelines.retrieval.encoders import Encoders
from learning_pipelines.retrieval.knowledge import ensure_base
from learning_pipelines.retrieval.queries import refresh_queries
from learning_pipelines.settings import Settings
from learning_pipelines.storage import serving_scores as storage
from learning_pipelines.storage import tenants
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.serving_scores import Score
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.conftest import Load, ShareEncoder
from learning_pipelines_tests.fake_endpoint import FakeEndpoint, refuses, says
from learning_pipelines_tests.feedback.rows import agent_ref, table
from learning_pipelines_tests.retrieval.judging import BY_TEXT, SHARES

LABELS = ["invoice", "payroll", "refund"]
WEEKS = [dt.date(2026, 11, 2) + dt.timedelta(weeks=place) for place in range(4)]


class Model:
    """Answers rightly, except where the question's number leaves no rest by `wrong_every` (0: never)."""

    def __init__(self) -> None:
        self.wrong_every = 0

    def __call__(self, handler: Any, body: dict[str, Any]) -> None:
        question = body["messages"][-1]["content"]
        number = int("".join(filter(str.isdigit, question)))
        right = next(label for label in LABELS if label in question)
        wrong = self.wrong_every and number % self.wrong_every == 0
        says(json.dumps({"answer": LABELS[(LABELS.index(right) + 1) % 3] if wrong else right}))(handler, body)


@pytest.fixture
def model() -> Iterator[tuple[FakeEndpoint, Model]]:
    endpoint, model = FakeEndpoint(), Model()
    endpoint.always = model
    with endpoint.running():
        yield endpoint, model


@pytest.fixture
def settings(tmp_path: Path, model: tuple[FakeEndpoint, Model], monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("OPENAI_BASE_URL", model[0].base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    return Settings(home=tmp_path, duplicate_cosine=None, task_model="fake", report_items=30)


def examples(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [
        {"example_id": f"x{number:03}", "agent": "desk", "input_text": f"about the {LABELS[number % 3]} of case {number:03}", "user": f"u{number}",
         "expected_output": LABELS[number % 3], "review_status": "approved", "example_type": "positive"}
        for number in range(first, first + count)
    ]  # fmt: skip


def dataset(connection: Connection, agent: AgentRef) -> None:
    refresh_dataset(connection, agent, rule=BY_TEXT, shares=SHARES)


@pytest.fixture
def desk(load: Load, pipeline: Connection) -> AgentRef:
    load("agents", [{"agent": "desk", "system_prompt": "Name the subject.", "labels": LABELS, "metric": {"type": "exact_match"}}])
    load("examples", examples(150))
    agent = agent_ref(pipeline)
    dataset(pipeline, agent)
    return agent


def prompt_score(connection: Connection, agent: AgentRef, settings: Settings, week: dt.date, **options: Any) -> Score | None:
    return score_week(connection, agent, settings, week, **options)["prompt"]


def test_the_production_prompt_is_asked_about_held_out_items_and_the_score_is_kept(
    desk: AgentRef, pipeline: Connection, settings: Settings, model: tuple[FakeEndpoint, Model]
) -> None:
    found = prompt_score(pipeline, desk, settings, WEEKS[0])
    assert found is not None and (found.score, found.calls, found.version, found.model, found.drift) == (1.0, 30, 1, "fake", {})
    (held,) = table(pipeline, "serving_sets")
    splits = {row["example_id"]: row["split"] for row in table(pipeline, "dataset_examples")}
    assert {splits[name] for name in held["items"]} == {"test"} and (len(held["items"]), held["reason"]) == (30, "first score")
    assert prompt_score(pipeline, desk, settings, WEEKS[0]) is None  # once measured, it stays
    assert len(model[0].requests) == 30


def test_a_model_that_changed_behind_its_name_raises_the_alarm_though_every_answer_is_kept_in_the_cache(
    desk: AgentRef, pipeline: Connection, settings: Settings, model: tuple[FakeEndpoint, Model]
) -> None:
    prompt_score(pipeline, desk, settings, WEEKS[0])
    same = prompt_score(pipeline, desk, settings, WEEKS[1])
    assert same is not None and (same.drift["p"], same.drift["alarm"]) == (1.0, False)
    model[1].wrong_every = 2
    changed = prompt_score(pipeline, desk, settings, WEEKS[2])
    assert changed is not None and changed.drift["alarm"] and changed.drift["worse"] >= 9 and changed.set_number == 1
    assert table(pipeline, "llm_responses") == [] and len(model[0].requests) == 90
    (shown,) = [one for one in week_numbers(pipeline, "default", WEEKS[2], ZoneInfo("UTC"))["serving"] if one["kind"] == "prompt"]
    assert (shown["alarm"], shown["first_score"], shown["first_week"]) == (True, 1.0, WEEKS[0].isoformat())


def test_no_level_of_the_gate_is_spent_and_no_answer_is_stored(desk: AgentRef, pipeline: Connection, settings: Settings) -> None:
    prompt_score(pipeline, desk, settings, WEEKS[0])
    assert [table(pipeline, name) for name in ("acceptance_tests", "acceptance_test_items", "prompt_evaluations", "llm_responses")] == [[]] * 4
    assert {row["run_id"]: row["requests"] for row in table(pipeline, "llm_usage")} == {"serving_scores": 30}


def test_another_version_begins_anew_on_the_same_set(desk: AgentRef, load: Load, pipeline: Connection, settings: Settings) -> None:
    prompt_score(pipeline, desk, settings, WEEKS[0])
    load("agents", [{"agent": "desk", "system_prompt": "Say what it is about.", "labels": LABELS, "metric": {"type": "exact_match"}}])
    found = prompt_score(pipeline, desk, settings, WEEKS[1])
    assert found is not None and (found.version, found.set_number, found.drift) == (2, 1, {})


def test_new_examples_change_nothing_and_erased_ones_need_the_next_set(
    desk: AgentRef, load: Load, database: Database, pipeline: Connection, settings: Settings
) -> None:
    prompt_score(pipeline, desk, settings, WEEKS[0])
    load("examples", examples(60, first=150))
    dataset(pipeline, desk)
    again = prompt_score(pipeline, desk, settings, WEEKS[1])
    assert again is not None and again.set_number == 1
    (held,) = table(pipeline, "serving_sets")
    with psycopg.connect(database.admin_url, options="-c search_path=learning -c session_replication_role=replica") as erasing:
        erasing.execute("DELETE FROM dataset_examples WHERE example_id = %s", [held["items"][0]])
    after = prompt_score(pipeline, desk, settings, WEEKS[2])
    assert after is not None and (after.set_number, after.drift) == (2, {})
    assert {row["number"]: row["reason"] for row in table(pipeline, "serving_sets")}[2] == "items of the set before are gone or changed"


def test_an_endpoint_that_is_down_leaves_no_evidence_and_the_next_run_measures(
    desk: AgentRef, pipeline: Connection, settings: Settings, model: tuple[FakeEndpoint, Model]
) -> None:
    model[0].always = refuses(401)
    down = prompt_score(pipeline, desk, settings, WEEKS[0])
    assert down is not None and down.scores == () and "could not be asked" in down.reason
    model[0].always = model[1]
    found = prompt_score(pipeline, desk, settings, WEEKS[0])
    assert found is not None and found.score == 1.0
    assert storage.measured(pipeline, desk, "prompt", WEEKS[0])


def test_an_earlier_week_and_a_limit_of_0_are_not_measured(
    desk: AgentRef, pipeline: Connection, settings: Settings, model: tuple[FakeEndpoint, Model]
) -> None:
    late = prompt_score(pipeline, desk, settings, WEEKS[0], closed=False)
    off = prompt_score(pipeline, desk, settings.model_copy(update={"report_items": 0}), WEEKS[1])
    assert late is not None and off is not None and model[0].requests == []
    tenants.keep_settings(pipeline, "default", {"report_items": 6})  # of the organization, before that of the installation
    few = prompt_score(pipeline, desk, settings, WEEKS[2])
    assert few is not None and len(few.scores) == len(model[0].requests) == 6
    assert (late.reason, off.reason) == ("what served in an earlier week cannot be asked any more", "LEARNING_REPORT_ITEMS is 0")


def test_a_year_of_looks_at_a_model_that_does_not_change_raises_a_false_alarm_less_than_once_in_twenty_years() -> None:
    rng, years, items = np.random.default_rng(1), 2_000, 60
    truth = rng.beta(4, 2, size=(years, 1, items))  # each item's own chance of a right answer from a model that is not deterministic
    first, weeks = rng.random((years, 1, items)) < truth, rng.random((years, 52, items)) < truth
    worse, better = (first & ~weeks).sum(axis=2), (~first & weeks).sum(axis=2)
    p = binom.sf(worse - 1, worse + better, 0.5)
    assert drift(first[0, 0].astype(float), weeks[0, 0].astype(float))["p"] == pytest.approx(p[0, 0])
    assert (p <= LEVEL / LOOKS).any(axis=1).mean() <= LEVEL


def test_a_fall_by_a_fifth_of_a_hundred_items_is_seen_in_its_first_week_nine_times_of_ten() -> None:
    rng, seen = np.random.default_rng(2), 0
    for _ in range(100):
        first = (rng.random(100) < 0.85).astype(float)
        now = np.where(rng.random(100) < 0.22, 0.0, first)
        seen += drift(first, now)["alarm"]
    assert seen >= 90


def test_the_serving_index_is_scored_on_the_judgements_of_the_day_its_set_was_frozen(
    load: Load, pipeline: Connection, tmp_path: Path, share_encoder: ShareEncoder
) -> None:
    settings = Settings(home=share_encoder(tmp_path / "home"), duplicate_cosine=None, report_items=30)
    load("agents", [{"agent": "help"}])
    agent = agent_ref(pipeline, "help")
    topics = {f"d{place}": f"{word} form number {place}" for place, word in enumerate(("invoice", "payroll", "refund", "passport", "garden", "parking") * 6)}
    load("documents", [{"document_id": name, "text": f"Everything about the {text}."} for name, text in topics.items()])
    load("retrieval_feedback", [
        {"agent": "help", "query": f"where is the {text}", "retrieved": [name, "d0"], "relevant": [name], "user": f"u{name}"} for name, text in topics.items()
    ])  # fmt: skip
    refresh_queries(pipeline, agent, rule=BY_TEXT, shares=SHARES)
    with Encoders(settings) as encoders:
        ensure_base(pipeline, agent.organization_id, encoders)
    first = score_week(pipeline, agent, settings, WEEKS[0])["index"]
    assert first is not None and first.score is not None, first
    assert 0 < first.score <= 1 and first.metric == "ndcg@10" and first.set_number == 1 and first.calls == 0
    pipeline.execute("UPDATE documents SET is_active = false")
    again = score_week(pipeline, agent, settings, WEEKS[1])["index"]
    assert again is not None and again.reason == "the agent has no documents"
    pipeline.execute("UPDATE documents SET is_active = true")
    same = score_week(pipeline, agent, settings, WEEKS[2])["index"]
    assert same is not None and (same.score, same.drift["alarm"], same.drift["p"]) == (first.score, False, 1.0)
