"""Demonstrations of a service desk whose next step is said in the task's words alone: a transition model cannot know it, who reads can.

Belongs here: rows that tests of learning a policy share. Not here: assertions.

Every ticket is looked up; its first word says what is done then, its second how the customer hears of it.
"""

from __future__ import annotations

import random
from typing import Any

from learning_pipelines_tests.feedback.rows import Row

DONE = {"refund": "refund_order", "cancel": "cancel_order", "exchange": "exchange_item"}
TOLD = {"letter": "write_letter", "phone": "call_customer", "mail": "send_mail"}
COUNT = 96
_NOISE = [f"{first}{second}{third}" for first in "bdfgk" for second in "aeiou" for third in ("lmon", "rtis", "ndov", "skel", "pram", "tuz")]


def tickets(count: int = COUNT, *, shuffled: bool = False, start: int = 0, **more: Any) -> list[Row]:
    """`shuffled`: what was done has nothing to do with what the ticket says."""
    drawn, lots = random.Random(7 + start), random.Random(8 + start)
    rows = []
    for number in range(start, start + count):
        done, told = drawn.choice(list(DONE)), drawn.choice(list(TOLD))
        noise = drawn.sample(_NOISE, 6)
        steps = (lots.choice(list(DONE)), lots.choice(list(TOLD))) if shuffled else (done, told)
        rows.append({
            "demonstration_id": f"t{number:05}", "agent": "desk", "task_description": f"{done} {told} {' '.join(noise)} ticket{number}",
            "actions": [
                {"type": "look_up", "arguments": {"ticket": number}}, {"type": DONE[steps[0]], "arguments": {"ticket": number, "amount": 5}},
                {"type": TOLD[steps[1]]},
            ],
            "final_output": "Done.", "expert": "ada", **more,
        })  # fmt: skip
    return rows


def task(done: str = "refund", told: str = "phone") -> str:
    """A ticket that nobody demonstrated."""
    return f"{done} {told} zalmon kertis nobody saw this"
