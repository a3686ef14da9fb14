"""What the load benchmark sends: the requests of each route of ours, of the floor and of the peers, as templates.

Belongs here: paths, headers, bodies. Not here: sending (load.py), starting servers (servers.py).
"""

from __future__ import annotations

import dataclasses
import json
import random
from typing import Any

from benchmarks.load import MARK, Load

EXECUTIONS = 1_000
"""Executions that exist before the first round; feedback is about them."""
VARIANTS = 500
TRIAL = "trial"
"""The agent with an experiment."""
PEERS = ("MLflow assessments", "Phoenix annotations, sync")
VERSIONS = {PEERS[0]: "MLflow 3.17.2", PEERS[1]: "Phoenix 20.26.1"}
"""As requirements-peer-servers.txt pins them; a test compares."""
COMMENT = (
    "The answer names the right form but leaves out the deadline, and the second paragraph contradicts the first one: an extension "
    "cannot be filed after the day the return is due. I checked it against the instructions, page four. Please say which of the two "
    "dates counts, and where to send the form if the portal is down."
)[:300].ljust(300, ".")
CORRECTION = "Send form 4868 before April 15; the extension gives six months for filing, none for paying."


@dataclasses.dataclass(frozen=True)
class Target:
    """One line of the table. `records` is how many one request carries; `table` and `ids` (a pattern)
    say where the acknowledged ones must be found."""

    name: str
    path: str
    bodies: list[str]
    status: int
    records: int = 1
    proof: str = ""
    table: str = ""
    ids: str = ""
    method: str = "POST"

    def load(self, port: int, headers: dict[str, str], clients: int, seconds: float, warmup: float, first: int) -> Load:
        given = {"Content-Type": "application/json", **headers}
        times = self.records if self.proof else 0
        return Load(port, self.path, given, self.bodies, self.status, clients, seconds, warmup, first, self.proof, times, self.method)


def noop() -> Target:
    return Target("no-op endpoint", "/noop", [_text(_thumb(0, "noop-", {}))], 201)


def feedback(name: str = "feedback", said: dict[str, Any] | None = None) -> Target:
    bodies = [_text(_thumb(number, f"{name}-", said or {})) for number in range(VARIANTS)]
    return Target(name, "/api/learning/feedback", bodies, 201, 1, '"status":"stored"', "agent_feedback", f"^{name}-[0-9]{{8}}$")


def feedback_with_text() -> Target:
    return feedback("feedback-text", {"feedback_type": "correction", "feedback_text": COMMENT, "correction_text": CORRECTION})


def executions() -> Target:
    bodies = [_text(_execution(f"executions-{MARK}", number)) for number in range(VARIANTS)]
    return Target("executions", "/api/learning/executions", bodies, 201, 1, '"status":"stored"', "agent_executions", "^executions-[0-9]{8}$")


def prompts() -> Target:
    """What serves, without an input: nothing is stored."""
    return Target("prompts", "/api/learning/prompts/desk", [""], 200, 1, '"messages"', method="GET")


def prompts_of_units() -> Target:
    """What serves in a running experiment, each request for a unit that nobody has met yet: every one is an exposure to be written."""
    return Target(f"prompts, new units of {TRIAL}", f"/api/learning/prompts/{TRIAL}?unit=user-{MARK}", [""], 200, 1, '"variant":"', method="GET")


def feedback_batch(records: int) -> Target:
    name = f"batch-{records}"
    items = [[_thumb(number * records + at, f"{name}-{at}-", {}) for at in range(records)] for number in range(8)]
    return Target(
        name, "/api/learning/feedback/batch", [_text({"items": one}) for one in items], 200, records, '"status":"stored"', "agent_feedback",
        f"^{name}-[0-9]+-[0-9]{{8}}$",
    )  # fmt: skip


def mlflow(traces: list[str]) -> Target:
    """One assessment per request; the numbers make every one its own."""
    target = Target(PEERS[0], "", [], 200, 1, '"assessment_id"')
    bodies = []
    for number in range(VARIANTS):
        now = "2026-11-25T12:00:00.000Z"
        assessment = {
            "assessment_name": "thumb", "trace_id": traces[number % len(traces)], "source": {"source_type": "HUMAN", "source_id": f"user-{number % 97}"},
            "create_time": now, "last_update_time": now, "feedback": {"value": True}, "rationale": f"good answer {MARK}",
        }  # fmt: skip
        bodies.append(_text({"assessment": assessment}))
    return dataclasses.replace(target, path=f"/api/3.0/mlflow/traces/{traces[0]}/assessments", bodies=bodies)


def phoenix(spans: list[str]) -> Target:
    """One annotation per request, stored before the answer (`sync=true`)."""
    bodies = []
    for number in range(VARIANTS):
        result = {"label": "up", "score": 1, "explanation": "good answer"}
        annotation = {"span_id": spans[number % len(spans)], "name": "thumb", "annotator_kind": "HUMAN", "identifier": f"user-{MARK}", "result": result}
        bodies.append(_text({"data": [annotation]}))
    return Target(PEERS[1], "/v1/span_annotations?sync=true", bodies, 200, 1, '"id"')


def seed_executions() -> list[dict[str, Any]]:
    return [_execution(f"seed-{number}", number) for number in range(EXECUTIONS)]


def _thumb(number: int, prefix: str, said: dict[str, Any]) -> dict[str, Any]:
    rng = random.Random(number)
    about = {"execution_id": f"seed-{rng.randrange(EXECUTIONS)}", "user": f"user-{rng.randrange(997)}"}
    return {"feedback_id": f"{prefix}{MARK}", "feedback_type": "thumbs_up", **about, **said}


def _execution(name: str, number: int) -> dict[str, Any]:
    return {
        "execution_id": name, "agent": "desk", "user": f"user-{number % 997}", "input": f"How do I file form {number} for this quarter?",
        "output": f"Use portal {number % 100} and upload the form before the end of the month.", "latency_ms": 812.5, "input_tokens": 210, "output_tokens": 38,
    }  # fmt: skip


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
