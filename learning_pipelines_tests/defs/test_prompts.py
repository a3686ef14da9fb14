"""Prompt optimization as a job: a better prompt is proposed, luck is not, and what cannot be done ends skipped or failed and spends nothing twice.

Belongs here: the four assets with a model of known behaviour. Not here: search, gate, registry (their own folders).

The model is a fake, spoken to over the real protocol: it answers with the label of the demonstration that shares its subject with the
question, else always with the first label. So demonstrations help exactly as far as they are near, and nothing else does.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import dagster as dg
import pytest

from learning_pipelines.acceptance.approval import OPERATOR, approve
from learning_pipelines.defs.launch import _why
from learning_pipelines.prompts import agent_metric, optimization
from learning_pipelines.prompts.hygiene import Fault
from learning_pipelines.prompts.prompt import content_hash
from learning_pipelines.settings import Settings
from learning_pipelines.storage import prompts
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load, ShareEncoder
from learning_pipelines_tests.defs.conftest import Materialize, checks_of, metadata_of
from learning_pipelines_tests.fake_endpoint import FakeEndpoint, raw, refuses, says
from learning_pipelines_tests.feedback.rows import agent_ref, table

DESK = "default/desk"
ASSETS = ("prompt_performance", "prompt_candidates", "prompt_evaluations", "optimized_prompts")
LABELS = ["invoice", "payroll", "vat", "audit", "refund"]
SUBJECTS = {
    "invoice": "bill", "payroll": "wages of the staff", "vat": "sales tax return", "audit": "visit of the auditors", "refund": "money back"
}  # fmt: skip
WAYS = ["please help with the {0}", "question about the {0}", "the {0} is late", "who looks after the {0}", "i do not understand the {0}", "is the {0} ready"]
PLACES = ["in Graz", "in Linz", "in Bern", "in Ulm", "in Jena", "in Kiel", "in Bonn", "in Gera", "in Hof"]


def answer(handler: Any, body: dict[str, Any]) -> None:
    """The fake model's way to answer."""
    allowed = body["response_format"]["json_schema"]["schema"]["properties"]["answer"]["enum"]
    *before, question = body["messages"]
    shown = [(one["content"], other["content"]) for one, other in itertools.pairwise(before) if (one["role"], other["role"]) == ("user", "assistant")]
    subject = next((text for text in SUBJECTS.values() if text in question["content"]), None)
    known = [re.sub(r'.*"answer": ?"([^"]*)".*', r"\1", label) for text, label in shown if subject and subject in text]
    counted = (sum(len(message["content"]) for message in body["messages"]) // 4, 2, 0)
    says(json.dumps({"answer": known[-1] if known and known[-1] in allowed else allowed[0]}), tokens=counted)(handler, body)


@pytest.fixture
def model() -> Iterator[FakeEndpoint]:
    endpoint = FakeEndpoint()
    endpoint.always = answer
    with endpoint.running():
        yield endpoint


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, share_encoder: ShareEncoder) -> Path:
    return share_encoder(tmp_path_factory.mktemp("prompts"))


@pytest.fixture
def store(database: Database, home: Path, model: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    return Store(Settings(home=home, timezone="UTC", duplicate_cosine=None, task_model="fake", min_executions=3), database)


def examples(count: int, label: Callable[[int, str], str] = lambda _, label: label) -> list[dict[str, Any]]:
    """Approved examples of different people, none of them near another."""
    texts = [(way.format(f"{SUBJECTS[name]}") + f" {place}", name) for place in PLACES for way in WAYS for name in LABELS]
    return [
        {"example_id": f"x{number:03}", "agent": "desk", "input_text": text, "expected_output": label(number, name), "user": f"u{number}",
         "review_status": "approved", "example_type": "positive"}
        for number, (text, name) in enumerate(texts[:count])
    ]  # fmt: skip


@pytest.fixture
def desk(load: Load) -> None:
    """An agent with a poor prompt, a few executions of today and 200 approved examples."""
    load("agents", [{"agent": "desk", "system_prompt": "Sort the message.", "labels": LABELS, "metric": {"type": "exact_match"}}])
    load("executions", [{"execution_id": f"e{number}", "agent": "desk", "input": f"hello {number}", "output": "invoice"} for number in range(3)])
    load("examples", examples(200))


def reason_of(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> str:
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    return run.tags.get("learning/reason", "")


def test_a_better_prompt_is_proposed_with_its_numbers_and_serves_once_approved(desk: None, run_job: Materialize, pipeline: Connection) -> None:
    result = run_job("prompt_optimization", DESK)
    assert checks_of(result) == {
        **checks_of(result), "counts_every_execution": True, "verdict_recomputes": True, "beats_current_prompt": True, "no_copied_examples": True
    }  # fmt: skip
    (proposal,) = table(pipeline, "proposals")
    assert (proposal["verdict"], proposal["state"], proposal["dagster_run_id"]) == ("better", "open", result.run_id)
    found = metadata_of(result, "optimized_prompts")
    assert found["difference"] > 0.3 and found["low"] > 0 and found["p_value"] <= found["alpha"]
    shown = [repr(value) for asset in ASSETS for value in metadata_of(result, asset).values()]
    assert not any(text in one for one in shown for text in (*PLACES, *SUBJECTS.values()))  # numbers and ids, no text of anybody
    agent = agent_ref(pipeline)
    assert prompts.label_target(pipeline, agent, "production") == 1  # nothing learnt serves before somebody approves it
    approve(pipeline, agent.organization_id, proposal["id"], "immediate", OPERATOR)
    assert prompts.label_target(pipeline, agent, "production") == found["version"] == 2
    assert (table(pipeline, "training_runs")[0]["status"], table(pipeline, "training_runs")[0]["review_status"]) == ("completed", "approved")


def test_with_shuffled_answers_nothing_is_proposed(desk: None, load: Load, pipeline: Connection, run_job: Materialize, instance: dg.DagsterInstance) -> None:
    load("agents", [{"agent": "luck", "system_prompt": "Sort the message.", "labels": LABELS}])
    load("executions", [{"execution_id": f"l{number}", "agent": "luck", "input": f"hello {number}", "output": "invoice"} for number in range(3)])
    drawn = random.Random(7)
    load("examples", [row | {"agent": "luck", "example_id": f"l{row['example_id']}"} for row in examples(200, lambda *_: drawn.choice(LABELS))])
    result = run_job("prompt_optimization", "default/luck")
    assert result.success and table(pipeline, "proposals") == []
    assert {row["origin"] for row in table(pipeline, "prompt_versions")} == {"imported"}
    assert re.match("no evidence|worse|no candidate", reason_of(result, instance))
    assert table(pipeline, "training_runs")[0]["status"] == "completed"


def test_length_that_the_least_effect_does_not_pay_for_spends_no_test(
    desk: None, store: Store, run_job: Materialize, pipeline: Connection, instance: dg.DagsterInstance
) -> None:
    object.__setattr__(store, "settings", store.settings.model_copy(update={"min_effect": 0.95, "planned_effect": 0.99}))
    result = run_job("prompt_optimization", DESK)  # demonstrations gain about .8
    assert reason_of(result, instance).startswith("no candidate did better")
    assert table(pipeline, "acceptance_tests") == [] and table(pipeline, "proposals") == []


def test_on_unchanged_examples_a_second_run_is_skipped_and_spends_nothing(
    desk: None, load: Load, run_job: Materialize, pipeline: Connection, instance: dg.DagsterInstance, model: FakeEndpoint
) -> None:
    model.always = says(json.dumps({"answer": "vat"}))  # nothing helps: no proposal, the prompt stays
    complaints = [{"feedback_id": f"f{n}", "execution_id": f"e{n}", "feedback_type": "report_issue", "issue_categories": ["incorrect"]} for n in range(2)]
    load("feedback", complaints[:1])
    run_job("prompt_optimization", DESK)
    load("feedback", complaints)  # one more of the same: nothing to learn from
    asked, tests = len(model.requests), len(table(pipeline, "acceptance_tests"))
    again = run_job("prompt_optimization", DESK)
    assert "nothing changed" in reason_of(again, instance)
    assert (len(model.requests), len(table(pipeline, "acceptance_tests"))) == (asked, tests)


def test_a_constant_model_gets_the_share_of_its_label_whatever_the_prompt(
    desk: None, run_job: Materialize, pipeline: Connection, model: FakeEndpoint
) -> None:
    model.always = says(json.dumps({"answer": "vat"}))
    run_job("prompt_optimization", DESK)
    rows = pipeline.execute(
        """SELECT avg((c.content ->> 'expected_output' = 'vat')::int) FROM dataset_examples d JOIN example_contents c USING (organization_id, content_hash)
        WHERE d.split = 'validation'"""
    ).fetchone()
    assert rows is not None
    full = [row["mean_score"] for row in table(pipeline, "prompt_candidates", "on_front OR is_winner")]
    assert full == [pytest.approx(float(rows[0]))] * len(full)
    assert table(pipeline, "proposals") == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("DELETE FROM agent_executions", "0 executions in the last 30 days, 3 are needed"),
        ("UPDATE learning_examples SET review_status = 'pending'", "0 approved examples, 10 are needed: approve 10 more"),
        ("DELETE FROM prompt_labels", "no prompt with the label production"),
        ("UPDATE learning_examples SET review_status = 'pending' WHERE id > 'x100'", "are needed to see a gain of 0.3 with 80 % power: approve about"),
        ("UPDATE agents SET learning_enabled = false", "learning is disabled"),
    ],
)
def test_what_is_missing_is_said_and_no_model_asked(
    change: str, reason: str, desk: None, run_job: Materialize, pipeline: Connection, instance: dg.DagsterInstance, model: FakeEndpoint
) -> None:
    pipeline.execute(change)  # type: ignore[call-overload]
    result = run_job("prompt_optimization", DESK)
    assert result.success and reason in reason_of(result, instance)
    assert (model.requests, table(pipeline, "acceptance_tests"), table(pipeline, "training_runs")) == ([], [], [])


def test_a_run_that_is_going_when_learning_is_switched_off_ends_skipped_without_a_test_and_can_be_gone_on_with(
    desk: None, run_job: Materialize, pipeline: Connection, instance: dg.DagsterInstance, model: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_and_switch_off(*given: Any) -> None:
        take(*given)
        pipeline.execute("UPDATE agents SET learning_enabled = false")

    take = optimization.take_written
    monkeypatch.setattr(optimization, "take_written", take_and_switch_off)
    prompts.add_written(pipeline, agent_ref(pipeline), messages := [{"role": "system", "content": "Sort well."}], None, content_hash(messages, {}), None)
    result = run_job("prompt_optimization", DESK, tags={"learning/candidate": "2"})
    assert result.success and "learning was switched off for this agent while the run was going" in reason_of(result, instance)
    (run,) = table(pipeline, "training_runs")
    assert (run["status"], model.requests, table(pipeline, "acceptance_tests"), table(pipeline, "proposals")) == ("failed", [], [], [])


def test_a_budget_is_kept_to_the_call_and_covers_the_test(desk: None, run_job: Materialize, pipeline: Connection, model: FakeEndpoint) -> None:
    run_job("prompt_optimization", DESK, tags={"learning/budget": "180"})
    assert 100 < len(model.requests) <= 180
    assert table(pipeline, "acceptance_tests")[0]["verdict"] == "better"


def test_a_budget_below_the_test_is_refused_before_anything_is_asked(
    desk: None, run_job: Materialize, instance: dg.DagsterInstance, model: FakeEndpoint
) -> None:
    result = run_job("prompt_optimization", DESK, tags={"learning/budget": "20"})
    assert "does not cover the test" in reason_of(result, instance) and model.requests == []


def test_an_account_that_runs_dry_fails_the_run_which_then_resumes_and_pays_nothing_twice(
    desk: None, run_job: Materialize, pipeline: Connection, model: FakeEndpoint
) -> None:
    model.replies.extend([answer] * 150)
    model.always = refuses(402, "no credit left")
    failed = run_job("prompt_optimization", DESK, raise_on_error=False)
    (run,) = table(pipeline, "training_runs")
    assert (failed.success, run["status"]) == (False, "failed") and "no credit left" in run["error"]
    assert prompts.label_target(pipeline, agent_ref(pipeline), "production") == 1
    refused, model.always = len(model.requests) - 150, answer
    assert run_job("prompt_optimization", DESK).success
    (resumed,) = table(pipeline, "training_runs")
    assert (resumed["id"], resumed["status"]) == (run["id"], "completed")
    answered = [json.dumps(body, sort_keys=True) for body in (*model.requests[:150], *model.requests[150 + refused :])]
    assert len(answered) == len(set(answered))
    spent = pipeline.execute("SELECT sum(requests), sum(answers) FROM llm_usage WHERE run_id = %s", [str(run["id"])]).fetchone()
    assert spent is not None and int(spent[0]) == len(model.requests)
    assert len(table(pipeline, "proposals")) == 1


@pytest.mark.parametrize(
    "reply", [says(""), raw("<html>maintenance</html>", "text/html"), says("I am sorry, I cannot help with that.")], ids=["empty", "html", "refusal"]
)
def test_a_model_that_answers_garbage_changes_nothing(reply: Any, desk: None, run_job: Materialize, pipeline: Connection, model: FakeEndpoint) -> None:
    model.always = reply
    run_job("prompt_optimization", DESK, raise_on_error=False)
    (run,) = table(pipeline, "training_runs")
    assert run["status"] in ("completed", "failed") and (run["status"] == "completed" or run["error"])
    assert table(pipeline, "proposals") == [] and prompts.label_target(pipeline, agent_ref(pipeline), "production") == 1


def test_a_wrong_key_fails_with_the_cause(desk: None, run_job: Materialize, pipeline: Connection, model: FakeEndpoint) -> None:
    model.always = refuses(401, "bad key")
    result = run_job("prompt_optimization", DESK, raise_on_error=False)
    assert not result.success and _why(result).startswith("The language model at")  # in our own words: `run --json` says it as the reason
    (run,) = table(pipeline, "training_runs")
    assert run["status"] == "failed" and "OPENAI_API_KEY" in run["error"]


def test_a_version_written_by_hand_meets_the_same_gate(
    desk: None, run_job: Materialize, pipeline: Connection, instance: dg.DagsterInstance, model: FakeEndpoint
) -> None:
    agent = agent_ref(pipeline)
    messages = [{"role": "system", "content": "Sort the message with great care and say one word."}]
    with pipeline.transaction():
        number, _ = prompts.add_written(pipeline, agent, messages, None, content_hash(messages, {}), None)
    result = run_job("prompt_optimization", DESK, tags={"learning/candidate": str(number)})
    (test,) = table(pipeline, "acceptance_tests")
    assert (test["verdict"], table(pipeline, "proposals")) == ("no evidence", [])
    assert reason_of(result, instance).startswith("no evidence: 0 of")
    assert len(model.requests) == 2 * len(table(pipeline, "acceptance_test_items"))
    listed = prompts.list_versions(pipeline, agent)[0]
    assert (listed["version"], listed["verdict"], listed["score"]) == (number, "no evidence", test["evidence"]["candidate_mean"])


def test_what_was_approved_just_now_is_in_what_the_run_learns_from(
    desk: None, load: Load, run_job: Materialize, pipeline: Connection, model: FakeEndpoint
) -> None:
    run_job("dataset_refresh", DESK)
    load("examples", [{"example_id": "new", "agent": "desk", "input_text": "a parcel came without its paper", "expected_output": "invoice", "user": "new",
                       "review_status": "approved", "example_type": "correction"}])  # fmt: skip
    model.always = refuses(402, "no credit left")  # what it would have learnt from is settled before it asks
    run_job("prompt_optimization", DESK, raise_on_error=False)
    (run,) = table(pipeline, "training_runs")
    assert len(table(pipeline, "dataset_examples", f"dataset_id = '{run['dataset_id']}' AND example_id = 'new'")) == 1


def test_a_search_that_ended_before_its_test_is_not_made_again(
    desk: None, run_job: Materialize, pipeline: Connection, model: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        dying.setattr(optimization, "run_test", dies)
        assert not run_job("prompt_optimization", DESK, raise_on_error=False).success
    (before,), asked = table(pipeline, "prompt_candidates", "is_winner"), len(model.requests)
    monkeypatch.setattr(optimization, "run_search", dies)
    assert run_job("prompt_optimization", DESK).success
    (run,), (tested,) = table(pipeline, "training_runs"), table(pipeline, "acceptance_tests")
    assert (run["status"], tested["verdict"], len(table(pipeline, "proposals"))) == ("completed", "better", 1)
    assert table(pipeline, "prompt_candidates", "is_winner") == [before]
    assert len(model.requests) - asked == 2 * len(table(pipeline, "acceptance_test_items"))


def test_a_test_that_ended_before_its_proposal_is_not_made_again(
    desk: None, run_job: Materialize, pipeline: Connection, model: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        dying.setattr(optimization, "propose", dies)
        assert not run_job("prompt_optimization", DESK, raise_on_error=False).success
    asked, (tested,) = len(model.requests), table(pipeline, "acceptance_tests")
    result = run_job("prompt_optimization", DESK)
    (proposal,) = table(pipeline, "proposals")
    assert (len(model.requests), table(pipeline, "acceptance_tests")) == (asked, [tested])
    assert (proposal["verdict"], proposal["dagster_run_id"]) == ("better", result.run_id)


def dies(*_: Any, **__: Any) -> None:
    raise RuntimeError("killed")


def test_a_winner_that_may_not_be_proposed_ends_the_run_without_a_proposal(
    desk: None, run_job: Materialize, pipeline: Connection, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimization, "faults_of", lambda *_: [Fault("length", "too long for its gain")])
    result = run_job("prompt_optimization", DESK)
    assert result.success and "no prompt may be proposed that has: length" in reason_of(result, instance)
    assert (table(pipeline, "training_runs")[0]["status"], table(pipeline, "proposals")) == ("completed", [])
    assert {row["origin"] for row in table(pipeline, "prompt_versions")} == {"imported"}


def test_a_run_that_another_one_took_over_is_skipped_and_so_is_one_beside_it(
    desk: None, run_job: Materialize, pipeline: Connection, instance: dg.DagsterInstance, model: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, inner = optimization.run_search, []

    def searched(*values: Any) -> Any:
        inner.append(run_job("prompt_optimization", DESK))  # beside it: the agent is locked
        found = search(*values)
        pipeline.execute("UPDATE training_runs SET dagster_run_id = 'another'")  # as a run does that resumes it between two steps
        return found

    monkeypatch.setattr(optimization, "run_search", searched)
    result = run_job("prompt_optimization", DESK)
    assert [reason_of(one, instance) for one in (*inner, result)] == ["another run is optimizing this agent now"] * 2
    assert result.success and table(pipeline, "acceptance_tests") == []


def test_a_request_that_is_repeated_takes_nothing_from_the_test(desk: None, run_job: Materialize, pipeline: Connection, model: FakeEndpoint) -> None:
    model.replies.extend([answer, refuses(429, Retry_After="0"), refuses(429, Retry_After="0")])
    assert run_job("prompt_optimization", DESK, tags={"learning/budget": "180"}).success
    assert len(model.requests) <= 180 and table(pipeline, "acceptance_tests")[0]["verdict"] == "better"


def test_with_a_reflection_model_a_run_is_made_again_and_the_library_evolves_the_instruction(
    desk: None, store: Store, run_job: Materialize, pipeline: Connection, model: FakeEndpoint
) -> None:
    def both(handler: Any, body: dict[str, Any]) -> None:
        """A reflection model that finds one word more whenever the library asks; with three of them the task model knows every answer."""
        said = body["messages"][-1]["content"]
        if body["model"] == "thinker":
            found = re.findall("alpha|beta|gamma", said.split("```")[1])
            library = "I provided an assistant with the following instructions" in said
            words = ["alpha", "beta", "gamma"][: len(found) + 1] if library else found
            says(f"```\nSort the message. {' '.join(words)}\n```")(handler, body)
        elif (known := len(re.findall("alpha|beta|gamma", body["messages"][0]["content"]))) and crc32(said.encode()) % 3 < known:
            says(json.dumps({"answer": next((name for name, text in SUBJECTS.items() if text in said), "vat")}))(handler, body)
        else:
            says(json.dumps({"answer": "vat"}))(handler, body)

    model.always = both
    run_job("prompt_optimization", DESK)
    assert {body["model"] for body in model.requests} == {"fake"} and table(pipeline, "proposals") == []
    object.__setattr__(store, "settings", store.settings.model_copy(update={"reflection_model": "thinker"}))
    run_job("prompt_optimization", DESK)
    assert table(pipeline, "proposals")[0]["verdict"] == "better"
    assert "gepa" in {row["strategy"] for row in table(pipeline, "prompt_candidates", "is_winner")}


def test_a_judge_has_calls_of_its_own(desk: None, load: Load, store: Store, run_job: Materialize, pipeline: Connection, model: FakeEndpoint) -> None:
    load("agents", [{"agent": "desk", "system_prompt": "Sort the message.", "labels": LABELS, "metric": {"type": "judge"}}])
    object.__setattr__(store, "settings", store.settings.model_copy(update={"judge_model": "judge"}))

    def both(handler: Any, body: dict[str, Any]) -> None:
        if body["model"] == "judge":
            reference, given = re.findall(r"<(?:reference|answer) \w+>\n(.*?)\n<", body["messages"][-1]["content"])
            says(json.dumps(dict.fromkeys(("accuracy", "clarity", "completeness"), 5 if reference == given else 1)))(handler, body)
        else:
            answer(handler, body)

    model.always = both
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agent_metric, "require_trusted", lambda _: None)  # that it is measured first has tests of its own
        patch.setattr(agent_metric, "judge_examples", lambda *_: None)
        assert run_job("prompt_optimization", DESK).success
    (tested,) = table(pipeline, "acceptance_tests")
    assert tested["verdict"] == "better" and len(table(pipeline, "proposals")) == 1
