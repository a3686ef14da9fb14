"""Versions of a prompt: what is kept of each, what is the same, labels, plain text, differences.

Belongs here: prompts/registry.py and storage/prompts.py on a real database. Not here: approval (acceptance/test_approval.py).
"""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import orjson
import psycopg
import pytest

from learning_pipelines.errors import BadInput
from learning_pipelines.llm import Message
from learning_pipelines.prompts.prompt import Demonstration, Prompt, content_hash, from_stored
from learning_pipelines.prompts.registry import add_learnt, difference, named_version, plain_text
from learning_pipelines.storage import prompts
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.tenants import AgentRef, agents
from learning_pipelines_tests.acceptance.proposing import a_run, an_agent, labels, learnt, proposed
from learning_pipelines_tests.conftest import Load


@pytest.fixture
def desk(pipeline: Connection, load: Load) -> AgentRef:
    return an_agent(pipeline, load)


def shown(connection: Connection, agent: AgentRef, number: int) -> prompts.Version:
    found = prompts.version(connection, agent, number)
    assert found is not None
    return found


def test_a_learnt_version_keeps_where_it_comes_from(pipeline: Connection, desk: AgentRef) -> None:
    run, serving = a_run(pipeline, desk), {"retrieval": {"k": 3, "dataset_id": None}}
    number = learnt(pipeline, desk, strategy="run_time", serving=serving, training_run_id=run, model="smollm2", scores={"score": 0.75, "n": 40})
    found = shown(pipeline, desk, number)
    assert (found.version, found.parent, found.origin, found.strategy, found.model) == (2, 1, "learnt", "run_time", "smollm2")
    assert (found.serving, found.scores, found.training_run_id, found.labels) == (serving, {"score": 0.75, "n": 40}, run, [])
    assert from_stored(found.messages, found.serving).content_hash == found.content_hash


def test_the_same_content_is_the_same_version_whatever_made_it(pipeline: Connection, desk: AgentRef) -> None:
    assert learnt(pipeline, desk, "You sort.") == 1  # what was imported
    assert learnt(pipeline, desk, "better") == learnt(pipeline, desk, "better", strategy="another") == 2
    assert learnt(pipeline, desk, "better", serving={"retrieval": {"k": 3, "dataset_id": None}}) == 3
    assert [row["origin"] for row in prompts.list_versions(pipeline, desk)] == ["learnt", "learnt", "imported"]


def test_hashes_of_versions_that_are_there_stay_as_they_were(pipeline: Connection, desk: AgentRef) -> None:
    """Versions stored before prompts could pick demonstrations were hashed as the SHA-256 of their messages' JSON."""
    messages = [{"role": "system", "content": "You sort."}]
    before = hashlib.sha256(orjson.dumps(messages)).digest()
    assert shown(pipeline, desk, 1).content_hash == content_hash(messages, {}) == before


def test_a_version_never_changes_but_scores_may_be_added(pipeline: Connection, desk: AgentRef) -> None:
    number = learnt(pipeline, desk)
    prompts.add_scores(pipeline, desk, number, {"latency": 2})
    assert shown(pipeline, desk, number).scores == {"score": 0.9, "latency": 2}
    for column in ("messages", "serving"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            pipeline.execute(f"UPDATE prompt_versions SET {column} = '[]'")  # type: ignore[arg-type]


def test_versions_are_listed_newest_first_with_labels_score_and_verdict(pipeline: Connection, desk: AgentRef) -> None:
    number = learnt(pipeline, desk)
    proposed(pipeline, desk, number)
    newest, first = prompts.list_versions(pipeline, desk)
    assert (newest["version"], newest["labels"], newest["strategy"], newest["score"], newest["verdict"]) == (2, ["candidate"], "few_shot", 0.9, "better")
    assert (first["version"], first["labels"], first["strategy"], first["score"], first["verdict"]) == (1, ["production"], None, None, None)
    pipeline.execute(
        """INSERT INTO acceptance_tests (organization_id, agent_id, kind, candidate, incumbent, k, alpha, verdict)
        VALUES (%s, %s, 'prompt', %s, '{"version": 1}', 1, 0.01, 'worse')""",
        [desk.organization_id, desk.agent_id, f'{{"content_hash": "{shown(pipeline, desk, 2).content_hash.hex()}"}}'],
    )
    assert prompts.list_versions(pipeline, desk)[0]["verdict"] == "worse"


def test_moving_production_leaves_previous_where_it_was(pipeline: Connection, desk: AgentRef) -> None:
    for text in ("two", "three"):
        prompts.move_label(pipeline, desk, "production", learnt(pipeline, desk, text), None)
    assert labels(pipeline, desk) == {"production": 3, "candidate": None, "previous": 2}
    prompts.move_label(pipeline, desk, "production", 3, None)  # it is there already: what came before stays known
    assert labels(pipeline, desk)["previous"] == 2
    prompts.move_label(pipeline, desk, "staging", 1, None)
    assert labels(pipeline, desk)["previous"] == 2


def test_an_import_that_takes_production_leaves_previous_too(pipeline: Connection, desk: AgentRef, load: Load) -> None:
    load("agents", [{"agent": "desk", "system_prompt": "You sort otherwise."}, {"agent": "new", "system_prompt": "You are new."}])
    assert labels(pipeline, desk) == {"production": 2, "candidate": None, "previous": 1}


def test_an_import_does_not_take_production_from_a_learnt_version(pipeline: Connection, desk: AgentRef, load: Load) -> None:
    prompts.move_label(pipeline, desk, "production", learnt(pipeline, desk), None)
    load("agents", [{"agent": "desk", "system_prompt": "You sort otherwise."}])
    assert labels(pipeline, desk) == {"production": 2, "candidate": None, "previous": 1}


def test_versions_added_at_once_get_numbers_of_their_own(database: Database, pipeline: Connection, desk: AgentRef, load: Load) -> None:
    found: list[int] = []

    def add(number: int) -> None:
        with database.connect("pipeline") as connection:
            found.append(learnt(connection, desk, f"text {number}"))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    load("agents", [{"agent": "desk", "system_prompt": "You sort otherwise."}])
    for thread in threads:
        thread.join()
    assert len(set(found)) == 6 and len(prompts.list_versions(pipeline, desk)) == 8


def test_a_version_is_found_by_number_and_by_label(pipeline: Connection, desk: AgentRef) -> None:
    proposed(pipeline, desk, learnt(pipeline, desk))
    found: dict[str, Any] = {name: named_version(pipeline, desk, name).version for name in ("serving", "candidate", "1", "2")}
    assert found == {"serving": 1, "candidate": 2, "1": 1, "2": 2}
    for name, said in (("7", "no prompt version 7"), ("99999999999999", "no prompt version"), ("previous", "the label previous")):
        with pytest.raises(BadInput, match=rf"{said}.*There are: 2 \(candidate\), 1 \(production\)"):
            named_version(pipeline, desk, name)


def test_an_agent_without_a_prompt_is_told_where_prompts_come_from(pipeline: Connection, load: Load) -> None:
    load("agents", [{"agent": "bare"}])
    with pytest.raises(BadInput, match="It has no prompt yet: import one"):
        named_version(pipeline, agents(pipeline, "default", "bare")[0])


def test_plain_text_and_the_difference_of_two_versions(pipeline: Connection, desk: AgentRef) -> None:
    base = Prompt((Message("system", "You sort.\nBe short."),))
    messages, _ = base.with_demonstrations([Demonstration("hello", "greeting")]).stored()
    number = add_learnt(
        pipeline, desk, messages=messages, serving={"retrieval": {"k": 2, "dataset_id": None}}, parent=1, strategy="s", dataset_id=None, model=None,
        scores={}, training_run_id=None,
    )  # fmt: skip
    text = plain_text(shown(pipeline, desk, number))
    assert text.startswith("[system]\nYou sort.\nBe short.\n\n[user]\nhello\n\n[assistant]\ngreeting\n\n[for each input]\n") and '"k": 2' in text
    changed = difference(shown(pipeline, desk, 1), shown(pipeline, desk, number))
    assert changed.splitlines()[:2] == ["--- version 1", "+++ version 2"] and "+Be short." in changed and "-You sort." not in changed
    assert difference(shown(pipeline, desk, 1), shown(pipeline, desk, 1)) == ""
