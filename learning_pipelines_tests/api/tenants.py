"""Two tenants with the same slugs and ids behind one service, and what of theirs must never be seen.

Belongs here: rows, and looking at theirs. Not here: assertions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from learning_pipelines.acceptance.approval import open_proposal
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.prompts.registry import add_learnt
from learning_pipelines.settings import Settings
from learning_pipelines.storage import experiments
from learning_pipelines.storage.experiment_rows import Arm
from learning_pipelines.storage.tenants import agents
from learning_pipelines_tests.api.serving import Api, make_agents, serving
from learning_pipelines_tests.behavior.patterns.made import shown
from learning_pipelines_tests.behavior.playbooks.stored import stored_playbook
from learning_pipelines_tests.conftest import MakeDatabase
from learning_pipelines_tests.storage.one_row import tables

MARK = "THEIRS-ALONE"
SAME = "run-of-both"
"""An id that both tenants use: it must always lead to one's own."""


@contextmanager
def two_tenants(make_database: MakeDatabase, settings: Settings) -> Iterator[Api]:
    """Two tenants with the same slugs and ids. Everything that theirs wrote holds MARK."""
    with make_database() as database, serving(database, settings) as running:
        for organization, mark in (("ours", "ours"), ("theirs", MARK)):
            key, admin = running.key("user", organization), running.key("admin", organization)
            make_agents(running, organization, "desk", *([f"{MARK}-agent"] if mark == MARK else []))
            for name in (SAME, f"run-{mark}"):
                body = {"execution_id": name, "agent": "desk", "input": f"question {mark}", "output": f"answer {mark}", "session_id": mark}
                assert running.post("/executions", {**body, "user": f"ada-{mark}"}, key).status_code == 201
                said = {"feedback_id": f"said-{name}", "execution_id": name, "feedback_type": "correction", "correction_text": mark, "user": f"ada-{mark}"}
                assert running.post("/feedback", said, key).status_code == 201
            running.post("/documents", {"document_id": "doc", "text": mark, "title": mark}, key)
            running.post("/prompts/desk", {"messages": [{"role": "system", "content": mark}]}, admin)
            running.ask("PUT", "/prompts/desk/labels/production", admin, json={"version": 2})
            demonstrated = {"demonstration_id": "demo", "agent": "desk", "task_description": mark, "actions": [{"type": mark}], "final_output": mark}
            assert running.post("/demonstrations", demonstrated, admin).status_code == 201
        with database.connect("pipeline") as connection:
            for organization, mark in (("ours", "ours"), ("theirs", MARK)):
                desk = agents(connection, organization, "desk")[0]
                better = add_learnt(
                    connection, desk, messages=[{"role": "system", "content": f"{mark} learnt"}], serving={}, parent=2, strategy="few_shot",
                    dataset_id=None, model=None, scores={}, training_run_id=None,
                )  # fmt: skip
                of = {"subject": {"version": better}, "incumbent": {"version": 2}, "evidence": {"reason": mark}}
                open_proposal(connection, desk, kind="prompt", verdict="better", **of)
                experiments.add(connection, desk, name=mark, arms=(Arm("control", 2, 0.5), Arm(mark, better, 0.5)), description=mark)
                for label in ("serving", "candidate"):
                    stored_playbook(connection, desk, mark, label, [shown(name, [mark]) for name in (f"{mark} one", f"{mark} two")])
            columns = "organization_id, id, agent_id, example_type, source_type, input_text, expected_output, content_hash, scrub_rules"
            for organization, mark in (("ours", "ours"), ("theirs", MARK)):
                for name in ("example", f"example-{mark}"):
                    connection.execute(
                        f"INSERT INTO learning_examples ({columns})"
                        " SELECT organization_id, %s, id, 'correction', 'imported', %s, %s, decode(md5(%s), 'hex'), '1' FROM agents"
                        " WHERE organization_id = %s AND slug = 'desk'",
                        [name, mark, mark, name, organization_id(organization)],
                    )
        yield running


def theirs(api: Api) -> dict[str, str]:
    """Their rows by table, as one text each."""
    with api.database.connect("owner") as connection:
        return {
            table: str(connection.execute(
                f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t WHERE organization_id = %s", [organization_id("theirs")]  # type: ignore[arg-type]
            ).fetchone())
            for table in tables(connection)
        }  # fmt: skip
