"""What is learnt in an installation whose person had a part in everything: jobs of the code location, run to proposals that are approved and serve.

Belongs here: an agent per kind of learning, so that each has the rows it needs, and the jobs in their order. Not here: rows of all kinds (planted_rows.py).

Encoders are hashed words, the language model is a fake behind a real endpoint; everything else is what runs in an installation.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from learning_pipelines.acceptance.approval import approve
from learning_pipelines.acceptance.reviewing import Reviewer
from learning_pipelines.behavior.policy import classifier, neighbours
from learning_pipelines.defs import behavior, behavior_patterns, expansion, knowledge, retrieval
from learning_pipelines.llm import Message
from learning_pipelines.prompts.prompt import Demonstration, Prompt, Retrieval
from learning_pipelines.prompts.registry import add_learnt
from learning_pipelines.retrieval import training
from learning_pipelines.storage import prompts
from learning_pipelines.storage.demonstrations import index_demonstrations
from learning_pipelines_tests.behavior.playbooks.test_making import rows as shown_refunds
from learning_pipelines_tests.behavior.tickets import tickets
from learning_pipelines_tests.defs import test_retrieval as searching
from learning_pipelines_tests.defs.erasure.planted import ID, NAME, PERSON, WORD, Planted
from learning_pipelines_tests.examples import approved as datasets
from learning_pipelines_tests.examples.curated import WordEncoder
from learning_pipelines_tests.fake_endpoint import says
from learning_pipelines_tests.feedback.archive.conftest import up_to_date
from learning_pipelines_tests.feedback.rows import Row, agent_ref, execution

ENCODER = WordEncoder("words@1", 384)
EVERY = 12
"""Of so many rows of an agent one is the person's."""
OPERATOR = Reviewer(f"user:{NAME}", PERSON)


def answers(handler: Any, body: dict[str, Any]) -> None:
    """The language model: a judge who always says the same."""
    says(json.dumps({"accuracy": 4, "clarity": 5, "completeness": 3}))(handler, body)


@contextmanager
def fakes() -> Iterator[None]:
    """Encoders that need no model and little to choose among, for jobs that run in this process."""

    @contextmanager
    def encoding(settings: Any) -> Iterator[Callable[[], WordEncoder]]:
        yield lambda: ENCODER

    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.startswith("learning_pipelines.defs.") and hasattr(module, "encoder_at_need"):
                patch.setattr(module, "encoder_at_need", encoding)
        for module in (retrieval, expansion, knowledge):
            patch.setattr(module, "Encoders", searching.NoiseEncoders)
        patch.setattr(training, "encoder_learners", lambda settings: ())
        patch.setattr(neighbours, "GRID", neighbours.GRID[:1])
        patch.setattr(classifier, "PENALTIES", (1.0,))
        yield


def of(agent: str, rows: list[Row], whose: str, *texts: str, kind: str = "") -> list[Row]:
    """Rows of an agent, every EVERY-th the person's: theirs by the field `whose`, with their word in these texts and in its id."""
    made = []
    for number, row in enumerate(rows):
        mine = number % EVERY == 0
        named = {f"{kind}_id": f"{ID if mine else ''}{agent}-{row[f'{kind}_id']}"} if kind else {}
        made.append(row | {"agent": agent} | named | ({whose: NAME} | {text: f"{row[text]} {WORD}" for text in texts} if mine else {}))
    return made


def dataset(planted: Planted) -> None:
    """The desk's examples, quality, duplicates, dataset, pairs, exported files; two learnt prompts of them, of which the latter serves."""
    planted.run("dataset_refresh", "default/desk")
    with planted.connection() as connection:
        desk = agent_ref(connection)
        made = datasets.dataset(connection).id
        shown = [
            Demonstration(*row) for row in connection.execute(
                """SELECT c.content ->> 'input_text', c.content ->> 'expected_output', d.example_id FROM dataset_examples d
                JOIN example_contents c USING (organization_id, content_hash) WHERE d.dataset_id = %s AND c.content ->> 'expected_output' IS NOT NULL
                ORDER BY d.example_id LIKE %s DESC, d.example_id LIMIT 4""", [made, f"{ID}%"],
            ).fetchall()
        ]  # fmt: skip
        index_demonstrations(connection, desk, made, ENCODER)
        plain = Prompt((Message("system", "You answer, as shown."),))
        for prompt in (Prompt(plain.messages, Retrieval(3, str(made))), plain.with_demonstrations(shown)):
            messages, serving = prompt.stored()
            version = add_learnt(
                connection, desk, messages=messages, serving=serving, parent=2, strategy="few_shot", dataset_id=made, model=None, scores={"validation": 0.5},
                training_run_id=None,
            )  # fmt: skip
        prompts.move_label(connection, desk, "production", version, PERSON)


def approved(planted: Planted, agent: str) -> None:
    """The person approves what was proposed for an agent."""
    with planted.connection() as connection:
        found = agent_ref(connection, agent)
        waiting = connection.execute("SELECT id FROM proposals WHERE agent_id = %s AND state = 'open'", [found.agent_id]).fetchall()
        assert waiting, f"nothing was proposed for {agent}"
        for (proposal,) in waiting:
            approve(connection, found.organization_id, proposal, "immediate", OPERATOR, f"fine by me, {NAME}", settings=planted.settings)


def index(planted: Planted) -> None:
    """Search learnt from feedback, some of it the person's."""
    planted.load("agents", [{"agent": "finder"}])
    planted.load("documents", [row | {"agent": "finder"} for row in searching.passages()])
    planted.load("retrieval_feedback", of("finder", searching.searches(), "user", "query"))
    planted.run("rag_training", "default/finder")
    approved(planted, "finder")


def policy(planted: Planted) -> None:
    """A policy learnt from demonstrations, some of them the person's, and playbooks."""
    planted.load("agents", [{"agent": "worker"}, {"agent": "writer"}])
    planted.load("demonstrations", of("worker", tickets(), "expert", "task_description", kind="demonstration"))
    planted.load("demonstrations", of("writer", shown_refunds(), "expert", "task_description", kind="demonstration"))
    planted.materialize(behavior.behavior_policy, partition="default/worker")
    planted.materialize(behavior_patterns.behavior_patterns, behavior_patterns.playbooks, partition="default/writer")
    approved(planted, "worker")
    approved(planted, "writer")


def counted(planted: Planted) -> None:
    """What every job does first: trust in raters, metrics of the days."""
    up_to_date(planted.store)


def everyday(planted: Planted) -> None:
    """What schedules run: judging, experiments, trust and metrics."""
    planted.load("agents", [{"agent": "judged", "judge_sample": 1.0}])
    planted.load("executions", [execution(f"{ID}-j1", "judged", user=NAME, input=WORD), execution("j2", "judged", user="bob")])
    planted.run("judge_sample", "default/judged")
    planted.run("ab_test_analysis")
    counted(planted)


STAGES: tuple[Callable[[Planted], None], ...] = (dataset, index, policy, everyday)
