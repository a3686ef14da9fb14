"""Versions of prompts, behaviour and indexes of an erased person: tombstones and what takes their place; what is due to be learnt anew.

Belongs here: what learnt.erase does to versions, runs, caches and reports. Not here: datasets (test_learnt_datasets.py).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import psycopg
import pytest

from learning_pipelines.acceptance import approval
from learning_pipelines.acceptance.behavior_change import require_servable
from learning_pipelines.acceptance.reviewing import OPERATOR, Refused
from learning_pipelines.behavior.demonstrations import load as load_demonstrations
from learning_pipelines.behavior.patterns import finding
from learning_pipelines.behavior.playbooks import making
from learning_pipelines.behavior.playbooks.gate import config_of
from learning_pipelines.behavior.policy import files
from learning_pipelines.behavior.policy.fitting import fit
from learning_pipelines.errors import BadInput, LearningError, Unavailable
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.prompts.registry import add_learnt, named_version
from learning_pipelines.reports import week as weeks
from learning_pipelines.reports.files import report_path, write_report
from learning_pipelines.retrieval import artifacts
from learning_pipelines.retrieval.analyzer import analyzer_for
from learning_pipelines.retrieval.expansion import Expansion
from learning_pipelines.retrieval.index import Artifact, IndexConfig
from learning_pipelines.settings import Settings
from learning_pipelines.storage import (
    behavior_versions,
    experiments,
    indexes,
    prompt_runs,
    prompts,
    proposals,
    reports,
    retraining,
    serving_scores,
    training_runs,
    versions,
)  # fmt: skip
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Arm
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.acceptance.proposing import proposed
from learning_pipelines_tests.behavior.made import desk as made_desk
from learning_pipelines_tests.behavior.made import words as word_encoder
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.approved import correction, dataset, example, refresh
from learning_pipelines_tests.feedback.erasure.learnt_from import NAME, erase
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, execution, table

ASKED, ANSWERED = "zyzzyva: where is my ship", "zyzzyva harbour"
LONG = "The zyzzyva said that the ship would come on Tuesday"


def turn(asked: str, answered: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]


@pytest.fixture
def desk(load: Load, pipeline: Connection) -> AgentRef:
    """An agent whose dataset holds an example of the person."""
    load("agents", [{**AGENT, "system_prompt": "You sort."}])
    load("examples", [example(number) for number in range(20)])
    load("examples", [example(100, input_text=ASKED, expected_output=ANSWERED, user=NAME)])
    load("executions", [execution("zyzzyva-1", user=NAME, input=LONG)])
    refresh(pipeline)
    return agent_ref(pipeline)


def a_prompt(connection: Connection, agent: AgentRef, messages: list[dict[str, str]], *, label: str = "production", **more: Any) -> int:
    given: dict[str, Any] = {
        "serving": {}, "parent": 1, "strategy": "few_shot", "dataset_id": None, "model": "m", "scores": {"score": 0.9}, "training_run_id": None,
    }  # fmt: skip
    number = add_learnt(connection, agent, messages=messages, **{**given, **more})
    if label:
        with connection.transaction():
            prompts.move_label(connection, agent, label, number, None)
    return number


SYSTEM = {"role": "system", "content": "You sort well."}


def test_a_demonstration_goes_and_the_successor_serves_the_rest(desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    others = turn("another question", "another answer")
    a_prompt(pipeline, desk, [SYSTEM, *turn(ASKED, ANSWERED), *others])
    touched = erase(pipeline, tmp_path)
    tombstone, serving = prompts.version(pipeline, desk, 2), prompts.labelled(pipeline, desk)
    assert tombstone is not None and serving is not None
    assert (tombstone.messages, tombstone.serving, tombstone.scores, tombstone.erased, tombstone.successor) == ([], {}, {"score": 0.9}, True, 3)
    assert (serving.version, serving.messages) == (3, [SYSTEM, *others])
    made = prompts.version(pipeline, desk, 3)
    assert made is not None and (made.origin, made.parent, made.scores) == ("erasure", 2, {"score": 0.9})
    assert touched.prompts == [{"agent": "desk", "old": 2, "successor": 3, "why": "demonstrations"}]


def test_words_in_an_instruction_fall_back_to_what_served_before(desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    a_prompt(pipeline, desk, [{"role": "system", "content": f"Remember: {LONG.upper()}. Sort."}])
    erase(pipeline, tmp_path)
    serving = prompts.labelled(pipeline, desk)
    assert serving is not None and (serving.version, serving.messages[0]["content"]) == (1, "You sort.")


def test_where_every_version_holds_the_words_they_are_cut_out_of_the_text(load: Load, desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    load("agents", [{**AGENT, "system_prompt": f"You sort. {LONG}! Be brief."}])
    a_prompt(pipeline, desk, [{"role": "system", "content": f"Sort. {LONG}"}], parent=None)
    pipeline.execute("UPDATE prompt_labels SET version = 3")
    with pipeline.transaction():  # an agent whose every prompt holds them
        pipeline.execute("DELETE FROM prompt_labels")
    erase(pipeline, tmp_path)
    assert "zyzzyva" not in str(table(pipeline, "prompt_versions")) + str(table(pipeline, "agents"))


def test_a_pool_that_held_the_person_is_replaced_by_its_successor(desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    pool = dataset(pipeline).id
    a_prompt(pipeline, desk, [SYSTEM], serving={"retrieval": {"k": 3, "dataset_id": str(pool)}}, dataset_id=pool)
    erase(pipeline, tmp_path)
    serving, successor = prompts.labelled(pipeline, desk), versions.newest(pipeline, desk)
    assert serving is not None and successor is not None
    assert (serving.version, serving.serving["retrieval"]) == (3, {"k": 3, "dataset_id": str(successor.id)})
    assert successor.id != pool


def test_what_others_say_too_and_what_was_there_before_the_person_stays(load: Load, desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    text = [{"role": "system", "content": "You sort letters into boxes."}]
    old = a_prompt(pipeline, desk, text, label="")
    load("executions", [execution("e-2", user="eve", input="You sort letters into boxes."), execution("e-3", user="eve", input="How do I get my money back?")])
    load("examples", [example(200, input_text="How do I get my money back?", expected_output="By Tuesday.", user="bob")])
    shared = [SYSTEM, *turn("How do I get my money back?", "By Tuesday.")]
    new = a_prompt(pipeline, desk, shared)
    erase(pipeline, tmp_path, "eve")
    for number, said in ((new, shared), (old, text)):
        found = prompts.version(pipeline, desk, number)
        assert found is not None and (found.erased, found.messages) == (False, said)


def test_a_tombstone_can_be_labelled_rolled_back_to_approved_or_evaluated_by_nobody(desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    number = a_prompt(pipeline, desk, [SYSTEM, *turn(ASKED, ANSWERED)], label="")
    proposal = proposed(pipeline, desk, number)
    erase(pipeline, tmp_path)
    found = proposals.find(pipeline, desk.organization_id, proposal)
    assert found is not None and (found.state, found.notes) == ("rejected", "It held words of a person who was erased.")
    with pytest.raises(Refused, match="rejected"):
        approval.approve(pipeline, desk.organization_id, proposal, "immediate", OPERATOR)
    with pytest.raises(prompts.Tombstone), pipeline.transaction():
        prompts.move_label(pipeline, desk, "production", number, None)
    with pytest.raises(BadInput, match=f"Version {number} held words of a person who was erased. Version 3 took its place"):
        named_version(pipeline, desk, str(number))
    assert prompts.served_versions(pipeline, desk, [number]) == {}


def test_learning_the_erased_content_again_makes_a_version_of_its_own(desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    number = a_prompt(pipeline, desk, [SYSTEM, *turn(ASKED, ANSWERED)])
    erase(pipeline, tmp_path)
    assert a_prompt(pipeline, desk, [SYSTEM, *turn(ASKED, ANSWERED)], label="") > number + 1


def test_candidates_of_searches_lose_the_words(desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    run = training_runs.begin(
        pipeline, desk, "prompt_optimization", dataset_id=dataset(pipeline).id, config={"fingerprint": "f"}, dagster_run_id=None
    )  # fmt: skip
    row = {
        "name": "few_shot-1", "strategy": "few_shot", "parent": "", "note": "", "content_hash": b"1", "messages": [SYSTEM, *turn(ASKED, ANSWERED)],
        "serving": {}, "shown": ["x00100", "x00001"], "items": 1, "mean_score": 0.5, "input_tokens": None, "seconds": None,
        "outcome": "finished", "is_winner": True,
        "on_front": True,
    }  # fmt: skip
    prompt_runs.store_candidates(pipeline, desk, run.id, [row])
    erase(pipeline, tmp_path)
    (found,) = table(pipeline, "prompt_candidates")
    assert (found["messages"], found["shown"], found["mean_score"]) == (None, ["x00001"], 0.5)


def test_a_run_under_way_is_ended_and_what_it_would_store_is_refused(desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    begun = training_runs.begin(
        pipeline, desk, "prompt_optimization", dataset_id=dataset(pipeline).id, config={"fingerprint": "f"}, dagster_run_id=None
    )  # fmt: skip
    touched = erase(pipeline, tmp_path)
    assert touched.here == [f"training/{begun.id}"], "what it left on this machine goes, once the rows are gone"
    with pytest.raises(LearningError, match="was erased; the next run begins anew"):
        training_runs.progressed(pipeline, desk, begun.id, 0.5)
    with pytest.raises(LearningError, match="was erased; the next run begins anew"):
        training_runs.measured(pipeline, desk, begun.id, {"score": 0.5})
    with pytest.raises(LearningError, match="was erased; the next run begins anew"):
        training_runs.completed(pipeline, desk, begun.id, best={}, requires_review=False)
    assert training_runs.completed_with(pipeline, desk, "prompt_optimization", "f") is None, "it would keep the next run from beginning"
    with pytest.raises(psycopg.errors.RestrictViolation, match="run the job again"):
        a_prompt(pipeline, desk, [SYSTEM, *turn(ASKED, ANSWERED)], training_run_id=begun.id, label="")


def test_what_saw_the_person_is_listed_and_due_until_a_later_run_is_complete(desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    used = dataset(pipeline).id
    begun = training_runs.begin(pipeline, desk, "prompt_optimization", dataset_id=used, config={"fingerprint": "f"}, dagster_run_id=None)
    training_runs.completed(pipeline, desk, begun.id, best={}, requires_review=False)
    number = a_prompt(pipeline, desk, [SYSTEM], training_run_id=begun.id)
    touched = erase(pipeline, tmp_path)
    assert {"agent": "desk", "kind": "prompt", "version": number} in touched.retrain
    assert retraining.due(pipeline, desk, "prompt_optimization") is not None
    training_runs.completed(pipeline, desk, begun.id, best={}, requires_review=False)
    assert retraining.due(pipeline, desk, "prompt_optimization") is not None, "that run saw the person itself"
    again = training_runs.begin(pipeline, desk, "prompt_optimization", dataset_id=used, config={"fingerprint": "g"}, dagster_run_id=None)
    training_runs.completed(pipeline, desk, again.id, best={}, requires_review=False)
    assert retraining.due(pipeline, desk, "prompt_optimization") is None


def test_answers_of_models_go_since_the_person_was_first_heard_of(desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    for key, age in ((b"old", "1 day"), (b"new", "0")):
        pipeline.execute(
            """INSERT INTO llm_responses (organization_id, key, model, answer, input_tokens, output_tokens, cached_tokens, seconds, cut_off, created_at)
            VALUES (%s, sha256(%s), 'm', 'said', 1, 1, 0, 0, false, now() - %s::interval)""",
            [desk.organization_id, key, age],
        )
    touched = erase(pipeline, tmp_path)
    assert (touched.rows["llm_responses"], len(table(pipeline, "llm_responses"))) == (1, 1)


def test_guidance_goes_on_with_the_successors_of_its_dataset_and_prompt(desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    a_prompt(pipeline, desk, [SYSTEM, *turn(ASKED, ANSWERED)])
    serving = prompts.labelled(pipeline, desk)
    assert serving is not None
    config = {
        "dataset_id": str(dataset(pipeline).id), "prompt": serving.content_hash.hex(), "prompt_version": serving.version, "encoder": "e", "tokens": 500,
        "sources": {"corrections": 0.1}, "items": {"x00100": 0.2, "x00001": -0.1}, "agreeing": False, "playbooks": [], "rules": [],
    }  # fmt: skip
    with pipeline.transaction():
        number = behavior_versions.add(pipeline, desk, "guidance", config=config, metrics={})
        behavior_versions.point(pipeline, desk, "guidance", "serving", number, None)
    erase(pipeline, tmp_path)
    (found,) = behavior_versions.serving(pipeline, desk.organization_id, desk.agent_id, "guidance")
    now, newest = prompts.labelled(pipeline, desk), versions.newest(pipeline, desk)
    assert now is not None and newest is not None
    assert (found.number, found.parent, found.config["items"], found.config["dataset_id"]) == (2, 1, {"x00001": -0.1}, str(newest.id))
    assert (found.config["prompt"], found.config["prompt_version"]) == (now.content_hash.hex(), now.version)


def test_rules_that_quote_the_person_are_taken_out_of_service(desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    with pipeline.transaction():
        clean = behavior_versions.add(pipeline, desk, "rules", topic="c1", config={"rules": ["Say more."], "text": "Say more.", "examples": []}, metrics={})
        text = f"Messages like “{ASKED}” are «a», not «b»."
        number = behavior_versions.add(
            pipeline, desk, "rules", topic="c1", parent=clean, config={"rules": [text], "text": text, "examples": ["x00100"]}, metrics={}
        )  # fmt: skip
        alone = behavior_versions.add(pipeline, desk, "rules", topic="c2", config={"rules": [text], "text": text, "examples": ["x00100"]}, metrics={})
        for topic, one in (("c1", number), ("c2", alone)):
            behavior_versions.point(pipeline, desk, "rules", "serving", one, None, topic)
    erase(pipeline, tmp_path)
    assert [one.number for one in behavior_versions.serving(pipeline, desk.organization_id, desk.agent_id, "rules")] == [clean]
    assert behavior_versions.label_target(pipeline, desk, "rules", "serving", "c2") == 0
    with pytest.raises(Refused, match="held words of a person who was erased"):
        require_servable(pipeline, desk, "rules", "c1", number, Settings(home=tmp_path))
    assert retraining.due(pipeline, desk, "rules") is not None


def demonstrated(name: str, user: str, kind: str = "close") -> dict[str, Any]:
    return {
        "demonstration_id": name, "agent": "desk", "task_description": f"Do the case {name} of the month", "task_type": "month", "expert": user,
        "actions": [{"type": "open", "arguments": {}}, {"type": kind, "arguments": {}}], "final_output": f"Done with {name}, all of it.",
    }  # fmt: skip


def test_a_policy_loses_the_steps_and_ids_of_the_person_and_goes_on_serving(load: Load, desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    load("demonstrations", [demonstrated(f"d{number}", NAME) for number in range(5)])
    policy = fit(made_desk(60, 1), made_desk(20, 2, 100), word_encoder(), 0)
    settings = Settings(home=tmp_path)
    files.save(policy.learnt, tmp_path / "policy")
    artifact = artifacts.put_folder(settings, desk, tmp_path / "policy")
    with pipeline.transaction():
        number = behavior_versions.add(pipeline, desk, "policy", config={}, metrics={}, artifact=(artifact.path, artifact.sha256))
        behavior_versions.point(pipeline, desk, "policy", "serving", number, None)
    with pytest.MonkeyPatch.context() as away, pytest.raises(Unavailable), pipeline.transaction():
        away.setattr(artifacts, "fetch", lambda *_: (_ for _ in ()).throw(Unavailable("The store is away.", "Wait.")))
        erase(pipeline, tmp_path)
    assert behavior_versions.label_target(pipeline, desk, "policy", "serving") == number, "a store that is away buries nothing"
    touched = erase(pipeline, tmp_path)
    (found,) = behavior_versions.serving(pipeline, desk.organization_id, desk.agent_id, "policy")
    assert (found.number, found.artifact_path != artifact.path) == (2, True)
    left = files.load(artifacts.fetch(settings, Artifact(str(found.artifact_path), str(found.artifact_sha256))))
    assert set(left.demonstrations) == {one.id for one in made_desk(60, 1)} - {f"d{number}" for number in range(5)}
    assert set(left.neighbours.steps.owner.tolist()) == set(range(55))
    assert artifact.path.rsplit("/", 1)[0] in touched.files
    assert {"agent": "desk", "kind": "policy", "version": 2} in touched.retrain
    assert retraining.due(pipeline, desk, "behavior_policy") is not None


def test_a_playbook_is_stated_anew_without_the_demonstrations_of_the_person(load: Load, desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    load("demonstrations", [demonstrated(f"d{number}", f"expert{number}") for number in range(20)])
    load("demonstrations", [demonstrated(f"zyzzyva{number}", NAME) for number in range(4)])
    refresh_examples(pipeline, desk)
    pipeline.execute("INSERT INTO demonstration_splits (organization_id, agent_id, demonstration_id, split) SELECT organization_id, agent_id, id, 'train' "
                     "FROM demonstrations")  # fmt: skip
    shown = load_demonstrations(pipeline, desk)
    (group,) = finding.refresh(pipeline, desk, None)
    config = config_of(making.candidate_of(group, shown))
    assert "zyzzyva0" in str(config)
    with pipeline.transaction():
        number = behavior_versions.add(pipeline, desk, "playbook", topic="month", config=config, metrics={})
        behavior_versions.point(pipeline, desk, "playbook", "serving", number, None, "month")
    erase(pipeline, tmp_path)
    (found,) = behavior_versions.serving(pipeline, desk.organization_id, desk.agent_id, "playbook")
    assert (found.number, found.config["advice"], found.config["demonstrations"]) == (2, config["advice"], 20)
    assert "zyzzyva" not in str(table(pipeline, "behavior_versions")) + str(table(pipeline, "behavior_patterns")) + str(table(pipeline, "demonstrations"))
    assert {row["total"] for row in table(pipeline, "behavior_patterns")} == {20}


def test_an_expansion_loses_words_that_nobody_else_says(load: Load, desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    settings, english = Settings(home=tmp_path), analyzer_for("english")
    load("documents", [{"document_id": "doc", "text": "An invoice is paid within a month.", "agent": "desk"}])
    load("retrieval_feedback", [{"query": "zyzzyva bill", "agent": "desk", "retrieved": ["doc"], "relevant": ["doc"], "user": NAME}])
    load("retrieval_feedback", [{"query": "bill of goods", "agent": "desk", "retrieved": ["doc"], "relevant": ["doc"], "user": "bob"}])
    pipeline.execute(
        """INSERT INTO retrieval_queries (organization_id, agent_id, id, text, split, documents, chunks, people, events, first_at, last_at, place, near, rule,
            sketch, encoder) SELECT organization_id, %s, question_id, query, 'train', '{}', '{}', '{}', 1, now(), now(), row_number() OVER (), 0, '', '', ''
        FROM retrieval_events""",
        [desk.agent_id],
    )
    Expansion(english, 1.0, {"zyzzyva": (("invoic", 0.5),), "bill": (("invoic", 0.5), ("zyzzyva", 0.3))}).write(tmp_path / "expansion.json")
    artifact = artifacts.put_file(settings, desk, tmp_path / "expansion.json")
    encoder = indexes.add_encoder(pipeline, desk.organization_id, name="e", model="e", dimensions=3)
    with pipeline.transaction():
        number = indexes.add(
            pipeline, desk, encoder_id=encoder, kind="expansion", parent=0, config=IndexConfig(expansion=artifact).as_json(), metrics={}, training_run_id=None
        )  # fmt: skip
        indexes.point(pipeline, desk, "serving", number, None)
    with pytest.MonkeyPatch.context() as away, pytest.raises(Unavailable):
        away.setattr(artifacts, "fetch", lambda *_: (_ for _ in ()).throw(Unavailable("The store is away.", "Wait.")))
        erase(pipeline, tmp_path)
    pipeline.execute("DELETE FROM erasures")
    assert indexes.version(pipeline, desk, 1) is not None, "a store that is away takes no index out of service"
    touched = erase(pipeline, tmp_path)
    assert f"cache/artifacts/{artifact.sha256}" in touched.here
    found = indexes.serving(pipeline, desk.organization_id, desk.agent_id)
    assert found is not None and found.number == 2
    config = IndexConfig.from_json(found.config)
    assert config.expansion is not None
    assert Expansion.load(artifacts.fetch(settings, config.expansion)).associations == {"bill": (("invoic", 0.5),)}
    assert artifact.path.rsplit("/", 1)[0] in touched.files
    assert indexes.version(pipeline, desk, 1) is None


def test_an_experiment_that_compares_a_tombstone_ends(desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    number = a_prompt(pipeline, desk, [SYSTEM, *turn(ASKED, ANSWERED)], label="")
    with pipeline.transaction():
        identity = experiments.add(pipeline, desk, name="compared", arms=(Arm("control", 1, 0.5), Arm("treatment", number, 0.5)))
        experiments.begin_epoch(pipeline, desk.organization_id, identity, {"control": ((0.0, 0.5),), "treatment": ((0.5, 1.0),)})
        experiments.set_status(pipeline, desk.organization_id, identity, "running")
    erase(pipeline, tmp_path)
    found = experiments.find(pipeline, desk.organization_id, identity)
    assert found is not None and (found.status, found.decision) == ("cancelled", "inconclusive")


def test_a_frozen_set_loses_the_item_and_the_next_scoring_freezes_another(desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    serving_scores.freeze(pipeline, desk, "prompt", ["x00001", "x00100", "x00002"], b"hash", "first score", dataset_id=dataset(pipeline).id)
    erase(pipeline, tmp_path)
    held = serving_scores.newest_set(pipeline, desk, "prompt")
    assert held is not None and held.items == ("x00001", "x00002")


def test_clusters_are_named_by_what_is_left_and_go_where_nothing_is(load: Load, desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    load("examples", [correction(300), correction(301), correction(400, input_text=ASKED + " again", user=NAME)])
    for cluster, ids in (("c1", ["x00300", "x00301", "x00400"]), ("c2", ["x00100"])):
        pipeline.execute(
            """INSERT INTO correction_clusters (organization_id, agent_id, id, name, wrong_text, right_text, anchors)
            VALUES (%s, %s, %s, 'zyzzyva', 'zyzzyva', 'zyzzyva', '{zyzzyva}')""",
            [desk.organization_id, desk.agent_id, cluster],
        )
        pipeline.execute(
            """INSERT INTO correction_findings (organization_id, agent_id, example_id, content_hash, significance, kinds, wrong_text, right_text, cluster_id)
            SELECT organization_id, agent_id, id, content_hash, 1, '{}', 'wrong', 'right', %s FROM learning_examples WHERE id = ANY(%s)""",
            [cluster, ids],
        )
    erase(pipeline, tmp_path)
    (left,) = table(pipeline, "correction_clusters")
    assert (left["id"], left["wrong_text"], left["right_text"]) == ("c1", "wrong", "right")
    assert "zyzzyva" not in str(left) and left["name"]


def test_reports_and_numbers_that_name_the_person_do_so_no_more(desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    monday = dt.date(2026, 11, 16)
    numbers = weeks.week_numbers(pipeline, "default", monday, settings.zone)
    numbers["experiments"]["decided"] = [{
        "id": "1", "agent": "desk", "name": LONG, "kind": "experiment", "decision": "inconclusive", "winner": None, "p": None, "metric": "thumbs",
        "decided_at": "2026-11-17T00:00:00", "difference": None, "interval": None, "query": "experiments",
    }]  # fmt: skip
    reports.store(pipeline, "default", monday, numbers)
    write_report(settings.artifacts, numbers, "")
    erase(pipeline, tmp_path)
    assert "zyzzyva" not in str(table(pipeline, "learning_reports"))
    for suffix in ("json", "html", "md"):
        assert "zyzzyva" not in Path(report_path(str(tmp_path / "artifacts"), "default", "2026-W47", suffix)).read_text()


def test_notes_that_name_the_person_name_a_tombstone(desk: AgentRef, pipeline: Connection, tmp_path: Path) -> None:
    identity = proposed(pipeline, desk, a_prompt(pipeline, desk, [SYSTEM], label=""))
    proposals.note(pipeline, desk.organization_id, identity, f"Fine by me, {NAME}.")
    erase(pipeline, tmp_path)
    found = proposals.find(pipeline, desk.organization_id, identity)
    assert found is not None and found.notes == "Fine by me, erased-1."
