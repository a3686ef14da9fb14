"""The system message that training files carry: the agent's own, never a word of a user.

Belongs here: what of a prompt version may stand in the system role. Not here: rendering prompts for serving.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_VARIABLE = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")


def system_message(messages: Sequence[Mapping[str, Any]]) -> dict[str, str | None]:
    """{system, reason}: the system text of a prompt version, or None and why there is none.

    Variables are filled at run time, often with what a user said: filled, they would put users' words into the system role; unfilled, a
    model would learn to see `{{name}}`. Such a prompt gives no system message.
    """
    texts = [message["content"] for message in messages if message.get("role") in ("system", "developer") and isinstance(message.get("content"), str)]
    text = "\n\n".join(texts).strip()
    if not text:
        return {"system": None, "reason": "the prompt has no system message"}
    if found := _VARIABLE.search(text):
        return {"system": None, "reason": f"the prompt holds variables, such as {{{{{found[1]}}}}}"}
    return {"system": text, "reason": None}
