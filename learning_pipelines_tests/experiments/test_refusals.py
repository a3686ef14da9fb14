"""An output that refuses to answer is told by its opening, in Python and in the database alike.

Belongs here: experiments/refusals.py. Not here: rates of refusals.
"""

from __future__ import annotations

import pytest

from learning_pipelines.experiments.refusals import PATTERN, refuses
from learning_pipelines.storage.database import Connection

REFUSING = (
    "I'm sorry, but I can't help with that.", "I’m sorry, I can’t assist with that request.", "As an AI language model, I cannot provide medical advice.",
    "**I cannot help with this.**", "Unfortunately, I am not able to share that information.", "Sorry. I won't be able to help you there.",
    "We are unable to provide refunds here.", "I must decline.", "I'm afraid I can't do that.", "I apologize, but I cannot fulfill this request.",
    "Es tut mir leid, aber ich kann dabei nicht helfen.", "Leider kann ich Ihnen dazu keine Auskunft geben.", "Ich kann diese Frage nicht beantworten.",
    "Je suis désolé, mais je ne peux pas vous aider.", "Lo siento, no puedo ayudarte con eso.", "Mi dispiace, non posso aiutarti.",
)  # fmt: skip
ANSWERING = (
    "I'm sorry to hear that. Restart the router.", "You can't help it: restart.", "I can help with that.", "Sorry for the delay! It is on its way.",
    "Unfortunately the order was lost; we will send another.", "If I cannot help, call us.", "Das kann nicht sein.", "We cannot wait to help you.",
    "Open the settings. If that fails, I cannot help further.", "",
)  # fmt: skip


@pytest.mark.parametrize("output", REFUSING)
def test_a_refusal_is_seen(output: str) -> None:
    assert refuses(output)


@pytest.mark.parametrize("output", ANSWERING)
def test_an_answer_is_none(output: str) -> None:
    assert not refuses(output)


def test_the_database_says_the_same(pipeline: Connection) -> None:
    outputs = [*REFUSING, *ANSWERING]
    rows = pipeline.execute("SELECT one ~ %s FROM unnest(%s::text[]) WITH ORDINALITY AS given (one, place) ORDER BY place", [PATTERN, outputs]).fetchall()
    assert [row[0] for row in rows] == [refuses(output) for output in outputs]
