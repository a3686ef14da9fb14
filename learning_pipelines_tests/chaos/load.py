"""The load: an application, its users, experts, an operator and a trainer, each a thread that goes on whatever happens to the system.

Belongs here: what they send, through the Python client and as plain HTTP, and noting it. Not here: the ledger's shape (ledger.py), killing (blows.py).

What is not acknowledged is sent again with the same id half of the time, and left alone otherwise: both must be right in the end.
"""

from __future__ import annotations

import contextlib
import random
import string
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg

from learning_pipelines.acceptance.approval import open_proposal
from learning_pipelines.client import Client, Options
from learning_pipelines.errors import LearningError
from learning_pipelines.prompts.registry import add_learnt
from learning_pipelines.storage import embedded, prompts
from learning_pipelines.storage.database import of_server
from learning_pipelines.storage.tenants import agents
from learning_pipelines_tests.chaos.ledger import Fetch, Ledger
from learning_pipelines_tests.chaos.world import AGENTS, World

TOPICS = ("VAT", "payroll", "invoices", "travel", "pensions", "leave", "customs", "deposits", "audits", "grants")
DOCUMENTS = 40
PEOPLE = 60


class Load:
    """`with Load(…)`: everybody works until the end of the block; `drain` afterwards sends what the Python client still holds."""

    def __init__(self, world: World, keys: dict[str, str], seed: int, pace: float = 1.0) -> None:
        self._world, self._keys, self._pace = world, keys, pace
        self.ledger = Ledger()
        self._ends = threading.Event()
        self._training: str | None = None
        self.client = Client(
            world.url, keys["user"], queue_dir=world.disk.outside / "queue",
            options=Options(max_delay=0.2, backoff_first=0.2, backoff_most=2.0, adopt_every=0.5, request_timeout=10.0),
        )  # fmt: skip
        people: dict[str, tuple[Callable[[random.Random], None], float]] = {
            "application": (self._application, 0.15), "library": (self._library, 0.15), "expert": (self._expert, 0.7), "librarian": (self._librarian, 1.5),
            "reader": (self._reader, 0.2), "operator": (self._operator, 2.5), "trainer": (self._trainer, 15.0),
        }  # fmt: skip
        self._threads = [
            threading.Thread(target=self._work, args=(name, step, pause, random.Random(f"{seed}/{name}")), name=name) for name, (step, pause) in people.items()
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def drain(self, seconds: float) -> bool:
        """Whether the client got rid of everything it holds."""
        return self.client.flush(seconds)

    def close(self) -> None:
        self.client.close(5)

    def _work(self, name: str, step: Callable[[random.Random], None], pause: float, rng: random.Random) -> None:
        while not self._ends.is_set():
            try:
                step(rng)
            except (httpx.HTTPError, psycopg.Error, LearningError, OSError) as error:
                self.ledger.answered(name, type(error).__name__)
                self._ends.wait(0.3)
            self._ends.wait(rng.uniform(0.5, 1.5) * pause * self._pace)

    def _send(self, method: str, path: str, role: str, body: Any = None, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._keys[role]}", **more.pop("headers", {})}
        return httpx.request(method, f"{self._world.url}/api/learning{path}", json=body, headers=headers, timeout=15, **more)

    def _record(self, rng: random.Random, kind: str, path: str, identity: str, body: dict[str, Any], **more: Any) -> bool:
        """Sends one record, perhaps twice; whether it was acknowledged."""
        self.ledger.sending(kind, identity)
        for attempt in (1, 2):
            try:
                answer = self._send("POST", path, "user", body, **more)
                self.ledger.answered(kind, answer.status_code, answer.text)
                if answer.is_success:
                    self.ledger.done(kind, identity)
                    return True
            except httpx.TransportError as error:
                self.ledger.answered(kind, type(error).__name__)
            if attempt == 1 and rng.random() < 0.5:
                return False
            self._ends.wait(rng.uniform(0.2, 3))
        return False

    def _application(self, rng: random.Random) -> None:
        """An agent answers somebody who then says what they think of it."""
        name, agent, topic = f"h-{uuid.UUID(int=rng.getrandbits(128))}", rng.choice(AGENTS), rng.choice(TOPICS)
        user, question = f"u{rng.randrange(PEOPLE)}", f"What about {topic} number {rng.randrange(10**6)} of {agent}?"
        body = {"execution_id": name, "agent": agent, "input": question, "output": f"The form for {topic}.", "user": user, "latency_ms": rng.randrange(2000)}
        self._record(rng, "executions", "/executions", name, body)
        said: dict[str, Any] = rng.choice((
            {"feedback_type": "thumbs_up"}, {"feedback_type": "thumbs_down"}, {"feedback_type": "star_rating", "rating": rng.randint(1, 5)},
            {"feedback_type": "correction", "correction_text": f"For {topic} number {rng.randrange(10**6)} it is form {rng.randrange(100)}."},
            {"feedback_type": "report_issue", "issue_categories": ["incorrect"]},
        ))  # fmt: skip
        identity = f"f-{name}"
        body = {"feedback_id": identity, "execution_id": name, "agent": agent, "user": user, **said}
        stored = self._record(rng, "feedback", "/feedback", identity, body)
        if stored and said["feedback_type"] == "correction" and name in self.ledger.acknowledged["executions"]:
            self.ledger.corrections.add(identity)

    def _library(self, rng: random.Random) -> None:
        """The same through the Python client: what it has taken it must deliver."""
        agent, topic = rng.choice(AGENTS), rng.choice(TOPICS)
        execution = self.client.log_execution(agent=agent, input=f"How is {topic} number {rng.randrange(10**6)} done?", output="It depends.", user="lib")
        self.ledger.done("executions", execution)
        user = f"u{rng.randrange(PEOPLE)}"
        if rng.random() < 0.5:
            said = self.client.correct(execution, f"{topic} is done by clerk {rng.randrange(10**6)}.", user=user)
            self.ledger.corrections.add(said)
        else:
            said = self.client.thumbs_up(execution, user=user)
        self.ledger.done("feedback", said)
        if rng.random() < 0.3:
            found = [f"doc-{rng.randrange(DOCUMENTS)}" for _ in range(3)]
            query = f"where is {topic} of {''.join(rng.choices(string.ascii_lowercase, k=12))}"
            self.client.retrieval_feedback(query=query, relevant=found[:1], retrieved=found)
            self.ledger.done("retrieval_feedback", query)
        self.ledger.answered("client", "taken")

    def _expert(self, rng: random.Random) -> None:
        expert = rng.choice(("eve", "max"))
        queue = self._send("GET", "/annotations/queue", "expert", params={"limit": 10, "user": expert})
        self.ledger.answered("queue", queue.status_code, queue.text)
        if not queue.is_success or not queue.json()["queue"]:
            return
        chosen = rng.choice(queue.json()["queue"])["example_id"]
        body = {"example_id": chosen, "approved": rng.random() < 0.9, "technical_accuracy": 0.9, "user": expert}
        answer = self._send("POST", "/annotations", "expert", body)
        self.ledger.answered("annotations", answer.status_code, answer.text)
        if answer.is_success:
            self.ledger.done("annotations", answer.json()["annotation_id"])

    def _librarian(self, rng: random.Random) -> None:
        name, topic = f"doc-{rng.randrange(DOCUMENTS)}", rng.choice(TOPICS)
        text = f"{topic} {rng.randrange(10**6)}. " + " ".join(f"Paragraph {number} about {rng.choice(TOPICS)}." for number in range(rng.randint(2, 12)))
        acknowledged = False
        with contextlib.suppress(httpx.TransportError):
            answer = self._send("POST", "/documents", "user", {"document_id": name, "text": text, "title": topic})
            self.ledger.answered("documents", answer.status_code, answer.text)
            acknowledged = answer.is_success
        self.ledger.document(name, text, acknowledged)

    def _reader(self, rng: random.Random) -> None:
        agent, asked = rng.choice(AGENTS), time.time()
        answer = self._send("GET", f"/prompts/{agent}", "user")
        self.ledger.answered("prompts", answer.status_code, answer.text)
        if answer.is_success:
            self.ledger.fetched(Fetch(agent, int(answer.json()["version"]), asked, time.time()))
        if rng.random() < 0.1:
            found = self._send("GET", "/search", "user", params={"q": rng.choice(TOPICS), "agent": agent})
            self.ledger.answered("search", found.status_code, found.text)

    def _operator(self, rng: random.Random) -> None:
        """Approves what is proposed, rolls back, points the label at a version written by hand."""
        agent = rng.choice(AGENTS)
        what = rng.choice(("propose", "review", "review", "rollback", "write"))
        if what == "propose":
            self._propose(agent, rng)
        elif what == "review":
            proposals = self._send("GET", "/proposals", "admin", params={"state": "open", "agent": agent})
            for one in proposals.json()["proposals"][:1] if proposals.is_success else []:
                answer = self._send("POST", f"/proposals/{one['id']}/review", "admin", {"approve": rng.random() < 0.7})
                self.ledger.answered("review", answer.status_code, answer.text)
        elif what == "rollback":
            answer = self._send("POST", f"/agents/{agent}/rollback", "admin", {"kind": "prompt"})
            self.ledger.answered("rollback", answer.status_code, answer.text)
        else:
            messages = [{"role": "system", "content": f"You are the {agent} assistant, edition {rng.randrange(10**6)}."}]
            answer = self._send("POST", f"/prompts/{agent}", "admin", {"messages": messages})
            self.ledger.answered("write", answer.status_code, answer.text)
            if answer.is_success and rng.random() < 0.5:  # the others were never approved: nobody may ever get them
                moved = self._send("PUT", f"/prompts/{agent}/labels/production", "admin", {"version": int(answer.json()["version"])})
                self.ledger.answered("label", moved.status_code, moved.text)

    def _propose(self, slug: str, rng: random.Random) -> None:
        """A learnt version and its proposal, stored as a run of prompt optimization stores them."""
        server = embedded.running(self._world.home)
        if server is None:
            return
        with of_server(server).connect("pipeline") as connection, connection.transaction():
            (agent,) = agents(connection, "default", slug)
            serving = prompts.labelled(connection, agent)
            assert serving is not None
            version = add_learnt(
                connection, agent, messages=[{"role": "system", "content": f"You are {slug}, learnt {rng.randrange(10**6)}."}], serving={},
                parent=serving.version, strategy="few_shot", dataset_id=None, model="m", scores={}, training_run_id=None,
            )  # fmt: skip
            open_proposal(
                connection, agent, kind="prompt", verdict="better", subject={"version": version}, incumbent={"version": serving.version}, evidence={},
            )  # fmt: skip
        self.ledger.answered("propose", "stored")

    def _trainer(self, rng: random.Random) -> None:
        """Asks for the next training when the one before has ended: others wait for it on the one model."""
        if self._training is not None:
            seen = self._send("GET", f"/runs/{self._training}", "trainer")
            self.ledger.answered("progress", seen.status_code, seen.text)
            if not seen.is_success or seen.json()["status"] in ("pending", "running"):
                return
            self._training = None
        answer = self._send("POST", "/optimize-prompt", "trainer", {"agent_id": rng.choice(AGENTS), "budget": 20})
        self.ledger.answered("optimize", answer.status_code, answer.text)
        if answer.is_success:
            self._training = answer.json()["run_id"]
            self.ledger.done("runs", str(self._training))


def queue_folder(world: World) -> Path:
    """Where the client keeps what it has taken."""
    return world.disk.outside / "queue"
