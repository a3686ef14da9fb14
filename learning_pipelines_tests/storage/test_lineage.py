"""Lineage over real rows: back from a prompt to every feedback, forward from feedback and people to everything that learnt from it.

Belongs here: answers of reports/lineage.py over storage/lineage.py. Not here: routes (api/test_lineage.py), verbs (cli/), how fast it is
(make bench-lineage).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from learning_pipelines.acceptance.approval import OPERATOR, approve
from learning_pipelines.examples.datasets import refresh_dataset
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.feedback.identity import user_id
from learning_pipelines.reports import lineage
from learning_pipelines.storage import acceptance, behavior_versions, experiments, indexes, prompt_runs, training_runs, versions
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.experiment_rows import Arm
from learning_pipelines.storage.prompt_retention import prune_prompts
from learning_pipelines.storage.sessions import Acting, act_as
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.acceptance.proposing import learnt, proposed
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.approved import SHARES, TEXT_ONLY, question
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, execution, said, table

SAID = 20


@dataclass
class Story:
    """Twenty corrections of five people, approved, in a dataset that a prompt was learnt from, approved and tried."""

    agent: AgentRef
    run: UUID
    dataset: UUID
    proposal: UUID
    experiment: UUID
    test: UUID

    @property
    def organization(self) -> UUID:
        return self.agent.organization_id


def correct(load: Load, numbers: range, about: int = 0) -> None:
    load("executions", [execution(f"e{n}", user=f"asker{n}") | {"input": question(about + n % SAID)} for n in numbers])
    load("feedback", [
        said(f"f{n:02}", f"e{n}", "correction", correction_text=f"Right {about + n % SAID}.", user=f"u{n % 5}") for n in numbers
    ])  # fmt: skip


@pytest.fixture
def story(pipeline: Connection, load: Load) -> Story:
    load("agents", [AGENT])
    agent = agent_ref(pipeline)
    correct(load, range(SAID))
    refresh_examples(pipeline, agent)
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved'")
    refresh_dataset(pipeline, agent, rule=TEXT_ONLY, shares=SHARES)
    dataset = UUID(str(versions.list_versions(pipeline, agent)[0]["id"]))
    run = training_runs.begin(pipeline, agent, "prompt_optimization", dataset_id=dataset, config={"fingerprint": "1"}, dagster_run_id="dagster-1").id
    items = [row["example_id"] for row in table(pipeline, "dataset_examples", "split = 'test'")]
    train = [row["example_id"] for row in table(pipeline, "dataset_examples", "split = 'train'")]
    prompt_runs.store_candidates(pipeline, agent, run, [
        dict(zip(prompt_runs._CANDIDATE, ("won", "few_shot", "", "", b"1", [], {}, train[:2], 1, 0.9, 1.0, 1.0, "kept", True, True), strict=True))
    ])  # fmt: skip
    test = acceptance.reserve_test(pipeline, agent, "prompt", items, candidate={}, incumbent={}, level=lambda k: 0.05, training_run_id=run)
    version = learnt(pipeline, agent, dataset_id=dataset, training_run_id=run)
    proposal = proposed(pipeline, agent, version, training_run_id=run)
    approve(pipeline, agent.organization_id, proposal, "immediate", OPERATOR)
    experiment = experiments.add(pipeline, agent, name="shorter", arms=(Arm("control", 1, 0.5), Arm("treatment", version, 0.5)))
    pipeline.execute("ANALYZE")
    return Story(agent, run, dataset, proposal, experiment, test.id)


def of_prompt(connection: Connection, story: Story, version: int = 2, **more: Any) -> dict[str, Any]:
    found = lineage.of_prompt(connection, story.agent, version, **more)
    assert found is not None
    return found


def of_feedback(connection: Connection, story: Story, name: str = "f00") -> dict[str, Any]:
    found = lineage.of_feedback(connection, story.organization, name)
    assert found is not None
    return found


def of_user(connection: Connection, story: Story, name: str = "u0", **more: Any) -> dict[str, Any]:
    found = lineage.of_user(connection, story.organization, name, **more)
    assert found is not None
    return found


def ids(listed: dict[str, Any]) -> list[str]:
    return [one["id"] for one in listed["items"]]


def test_a_prompt_leads_back_to_every_feedback_example_dataset_and_run(pipeline: Connection, story: Story) -> None:
    found = of_prompt(pipeline, story)
    rows = table(pipeline, "dataset_examples")
    assert (found["version"], found["origin"], found["labels"], [one["version"] for one in found["parents"]]) == (2, "learnt", ["candidate", "production"], [1])
    assert found["feedback"]["items"] == [f"f{n:02}" for n in range(SAID)] and not found["feedback"]["more"]
    assert (found["feedback"]["count"], found["feedback"]["people"], found["feedback"]["later"]) == (SAID, 5, 0)
    assert found["examples"]["items"] == sorted(row["example_id"] for row in rows) and found["examples"]["without_feedback"] == 0
    (data,) = found["datasets"]["items"]
    assert data["id"] == str(story.dataset) and data["seal"] == table(pipeline, "training_datasets")[0]["content_hash"].hex()
    assert data["splits"] == {split: sum(row["split"] == split for row in rows) for split in ("train", "validation", "test")}
    assert ids(found["training_runs"]) == [str(story.run)] and found["training_runs"]["items"][0]["dagster_run_id"] == "dagster-1"
    assert (ids(found["tests"]), ids(found["proposals"])) == ([str(story.test)], [str(story.proposal)])
    assert found["experiments"]["items"][0]["variants"] == {"control": 1, "treatment": 2} and ids(found["experiments"]) == [str(story.experiment)]
    assert found["demonstrated"]["count"] == 2 and set(found["demonstrated"]["items"]) <= set(found["examples"]["items"])
    assert lineage.TRAINED in found["notes"]


def test_a_version_that_a_learnt_one_went_on_from_leads_to_what_both_learnt_from(pipeline: Connection, story: Story) -> None:
    next_one = learnt(pipeline, story.agent, "You sort better.", parent=2)
    found = of_prompt(pipeline, story, next_one)
    assert [one["version"] for one in found["parents"]] == [2, 1] and found["feedback"]["count"] == SAID and ids(found["datasets"]) == [str(story.dataset)]
    inherited = {one["version"]: one["inherited"] for one in of_feedback(pipeline, story)["prompts"]["items"]}
    assert inherited == {2: False, next_one: True}


def test_what_was_imported_was_learnt_from_nothing_and_an_unknown_version_is_not_there(pipeline: Connection, story: Story) -> None:
    found = of_prompt(pipeline, story, 1)
    assert (found["datasets"]["count"], found["feedback"]["count"], found["notes"]) == (0, 0, [lineage.NOTHING])
    assert lineage.of_prompt(pipeline, story.agent, 9) is None


def test_when_old_versions_that_led_nowhere_were_deleted_the_others_lead_back_as_before_and_answers_say_so(pipeline: Connection, story: Story) -> None:
    learnt(pipeline, story.agent, "Nobody tries this.", training_run_id=story.run)
    newest = learnt(pipeline, story.agent, "The newest.", parent=2)
    before = of_prompt(pipeline, story)
    assert lineage.DELETED not in of_feedback(pipeline, story)["notes"] + of_user(pipeline, story)["notes"]
    assert prune_prompts(pipeline, story.agent, 1, dt.timedelta(days=180), young=dt.timedelta(0)) == 1
    found = of_feedback(pipeline, story)
    assert [one["version"] for one in found["prompts"]["items"]] == [2, newest] and ids(found["training_runs"]) == [str(story.run)]
    assert lineage.DELETED in found["notes"] and lineage.DELETED in of_user(pipeline, story)["notes"]
    assert of_prompt(pipeline, story) == before and of_prompt(pipeline, story, newest)["feedback"]["count"] == SAID


def test_feedback_that_came_after_the_dataset_is_counted_apart(pipeline: Connection, story: Story, load: Load) -> None:
    correct(load, range(SAID, SAID + 3))  # the very same corrections, by others
    refresh_examples(pipeline, story.agent)
    found = of_prompt(pipeline, story)
    assert (found["feedback"]["count"], found["feedback"]["later"]) == (SAID, 3) and "f20" not in found["feedback"]["items"]
    assert lineage.LATER.format(count=3) in found["notes"]


def test_lists_end_at_the_limit_and_counts_are_exact(pipeline: Connection, story: Story) -> None:
    found = of_prompt(pipeline, story, limit=3)
    assert (found["feedback"]["count"], found["feedback"]["items"], found["feedback"]["more"]) == (SAID, ["f00", "f01", "f02"], True)
    assert of_prompt(pipeline, story, limit=0)["training_runs"] == {"count": 1, "items": [], "more": True}


def test_a_person_sees_counts_of_all_and_ids_of_their_own_alone(pipeline: Connection, story: Story) -> None:
    found = of_prompt(pipeline, story, own=user_id(story.organization, "u3"))
    assert found["feedback"]["items"] == ["f03", "f08", "f13", "f18"] and found["feedback"]["count"] == SAID and found["feedback"]["more"]
    assert len(found["examples"]["items"]) == 4 and found["examples"]["count"] == SAID and lineage.HIDDEN in found["notes"]


def test_a_feedback_leads_to_its_example_and_everything_that_learnt_from_it(pipeline: Connection, story: Story) -> None:
    example = table(pipeline, "example_sources", "feedback_id = 'f00'")[0]["example_id"]
    found = of_feedback(pipeline, story)
    assert (found["kind"], found["agent"], found["user"], found["feedback_type"], found["execution_id"]) == ("feedback", "desk", "u0", "correction", "e0")
    assert [one["example_id"] for one in found["examples"]] == [example] and found["used"] and not found["archived"]
    split = table(pipeline, "dataset_examples", f"example_id = '{example}'")[0]["split"]
    assert found["datasets"]["items"][0]["splits"] == {split: 1} and ids(found["datasets"]) == [str(story.dataset)]
    led_to = [ids(found[name]) for name in ("training_runs", "proposals", "experiments")]
    assert led_to == [[str(story.run)], [str(story.proposal)], [str(story.experiment)]]
    shown = example in of_prompt(pipeline, story)["demonstrated"]["items"]
    (prompt,) = found["prompts"]["items"]
    assert (prompt["agent"], prompt["version"], prompt["inherited"], prompt["demonstrates"]) == ("desk", 2, False, shown)
    assert ids(found["tests"]) == ([str(story.test)] if split == "test" else [])
    assert lineage.of_feedback(pipeline, story.organization, "nobody's") is None


def test_feedback_that_led_to_nothing_says_so_and_archived_feedback_is_still_followed(pipeline: Connection, story: Story, load: Load) -> None:
    load("feedback", [said("mere", "e1", "thumbs_down", user="u9")])
    nothing = of_feedback(pipeline, story, "mere")
    assert (nothing["examples"], nothing["used"], nothing["datasets"]["count"], nothing["prompts"]["count"]) == ([], False, 0, 0)
    pipeline.execute("DELETE FROM agent_feedback WHERE id = 'f00'")
    found = of_feedback(pipeline, story)
    assert found["archived"] and found["used"] and found["user"] == "u0" and lineage.ARCHIVED in found["notes"]


def test_a_user_leads_to_what_they_said_showed_and_learnt_others(pipeline: Connection, story: Story, load: Load) -> None:
    shown = {"demonstration_id": "d1", "agent": "desk", "task_description": "Close", "actions": [{"type": "a"}], "final_output": "x", "expert": "u0"}
    load("demonstrations", [shown])
    for kind, topic, config in (("playbook", "refund", {"learnt_from": ["d1"]}), ("playbook", "other", {"learnt_from": ["d2"]}), ("policy", "", {})):
        behavior_versions.add(pipeline, story.agent, kind, topic=topic, config=config, metrics={})  # type: ignore[arg-type]
    behavior_versions.add(pipeline, story.agent, "guidance", config={"dataset_id": str(story.dataset)}, metrics={})
    pipeline.execute(
        "INSERT INTO experiment_assignments (organization_id, experiment_id, unit, variant, exposed_at) VALUES (%s, %s, 'u0', 'treatment', now())",
        [story.organization, story.experiment],
    )
    found = of_user(pipeline, story)
    assert (found["feedback"], found["executions"], found["demonstrations"]) == (4, 0, 1) and found["feedback_ids"] == ["f00", "f05", "f10", "f15"]
    assert (found["examples"], found["examples_by"]["feedback"], len(found["example_ids"])) == (4, 4, 4)
    assert found["datasets"]["items"][0]["examples"] == 4 and [one["version"] for one in found["prompts"]["items"]] == [2]
    assert {(one["kind"], one["version"]) for one in found["behavior"]["items"]} == {("playbook", 1), ("policy", 1), ("guidance", 1)}
    assert [one["variant"] for one in found["assigned"]["items"]] == ["treatment"] and lineage.POLICY in found["notes"]
    assert of_user(pipeline, story, "asker3")["examples_by"] == {"feedback": 0, "input": 1, "own": 1, "review": 0}
    assert lineage.of_user(pipeline, story.organization, "nobody") is None


def test_feedback_on_search_leads_to_pairs_and_to_the_indexes_of_runs_that_began_since(pipeline: Connection, story: Story, load: Load) -> None:
    before = training_runs.begin(pipeline, story.agent, "rag_tuning", dataset_id=None, config={"fingerprint": "r1"}, dagster_run_id=None).id
    pipeline.execute("UPDATE training_runs SET created_at = now() - interval '1 day' WHERE id = %s", [before])
    load("documents", [{"document_id": "d1", "text": "Form 1 is for VAT."}])
    load("retrieval_feedback", [{"query": "form for VAT", "agent": "desk", "retrieved": ["d1"], "relevant": ["d1"], "user": "u0"}])
    event = table(pipeline, "retrieval_events")[0]
    pipeline.execute(
        """INSERT INTO embedding_training_pairs (organization_id, agent_id, query, document, document_id, label, query_id, chunk_id, origin)
        VALUES (%s, %s, 'q', 'd', 'd1', 'positive', %s, 'c1', 'feedback')""",
        [story.organization, story.agent.agent_id, event["question_id"]],
    )
    run = training_runs.begin(pipeline, story.agent, "rag_tuning", dataset_id=None, config={"fingerprint": "r2"}, dagster_run_id=None).id
    encoder = indexes.add_encoder(pipeline, story.organization, name="e", model="m", dimensions=8)
    number = indexes.add(pipeline, story.agent, encoder_id=encoder, kind="reranker", parent=0, config={}, metrics={}, training_run_id=run)
    proposal = proposed(pipeline, story.agent, number, kind="reranker", training_run_id=run, incumbent={"version": 0})
    for found in (of_feedback(pipeline, story, event["id"]), of_user(pipeline, story)):
        assert str(run) in ids(found["training_runs"]) and str(before) not in ids(found["training_runs"])
        assert [(one["kind"], one["version"]) for one in found["indexes"]["items"]] == [("reranker", 1)] and str(proposal) in ids(found["proposals"])
        assert (found["pairs"]["count"], found["pairs"]["active"]) == (1, 1) and lineage.RETRIEVAL in found["notes"]


def test_corrections_lead_to_the_rules_of_their_cluster(pipeline: Connection, story: Story) -> None:
    example = table(pipeline, "example_sources", "feedback_id = 'f00'")[0]["example_id"]
    pipeline.execute(
        """INSERT INTO correction_clusters (organization_id, agent_id, id, name, is_confusion, wrong_text, right_text, encoder, total, anchors, joined)
        SELECT organization_id, id, 'c1', 'n', false, 'w', 'r', 'e', '[1]', '{}', 1 FROM agents"""
    )
    pipeline.execute(
        """INSERT INTO correction_findings (organization_id, agent_id, example_id, content_hash, significance, kinds, wrong_text, right_text, cluster_id)
        SELECT organization_id, agent_id, id, content_hash, 1, '{}', 'w', 'r', 'c1' FROM learning_examples WHERE id = %s""",
        [example],
    )
    for topic in ("c1", "c2"):
        behavior_versions.add(pipeline, story.agent, "rules", topic=topic, config={}, metrics={})
    found = of_feedback(pipeline, story)
    assert found["clusters"] == 1 and [(one["kind"], one["version"]) for one in found["behavior"]["items"]] == [("rules", 1)]


def test_an_execution_of_an_experiment_says_where_its_feedback_counts(pipeline: Connection, story: Story) -> None:
    pipeline.execute(
        "INSERT INTO experiment_executions (organization_id, experiment_id, execution_id, unit, variant) VALUES (%s, %s, 'e0', 'u0', 'treatment')",
        [story.organization, story.experiment],
    )
    (one,) = of_feedback(pipeline, story)["counted_in"]["items"]
    assert (one["id"], one["name"], one["variant"]) == (str(story.experiment), "shorter", "treatment")


def test_the_service_finds_the_same_within_its_organization_and_nothing_of_others(pipeline: Connection, database: Database, story: Story, load: Load) -> None:
    load("agents", [AGENT], "other")
    load("executions", [execution("e0", user="u0")], "other")
    load("feedback", [said("f00", "e0", "thumbs_up", user="u0")], "other")
    other = agent_ref(pipeline, organization="other")
    with database.connect("api") as connection, connection.transaction():
        act_as(connection, Acting(story.organization, role="admin", application=True))
        assert of_prompt(connection, story) == of_prompt(pipeline, story)
        assert of_feedback(connection, story) == of_feedback(pipeline, story) and of_user(connection, story) == of_user(pipeline, story)
        assert lineage.of_feedback(connection, other.organization_id, "f00") is None and lineage.of_user(connection, other.organization_id, "u0") is None
    there = lineage.of_user(pipeline, other.organization_id, "u0")
    assert there is not None and (there["feedback"], there["examples"], there["prompts"]["count"]) == (1, there["examples"], 0)


def test_no_text_of_anybody_is_in_an_answer(pipeline: Connection, story: Story) -> None:
    for found in (of_prompt(pipeline, story), of_feedback(pipeline, story), of_user(pipeline, story)):
        text = Jsonb(found).obj
        assert not any(word in str(text) for word in ("Right ", "Answer of", "anchor", "barley", "You sort"))
