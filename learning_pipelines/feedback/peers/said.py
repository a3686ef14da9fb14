"""What a peer's score, annotation or assessment says, and the feedback record it makes. One place for every peer's scales and names.

Belongs here: which value counts as a thumb, a star, a dimension, an issue or a correction. Not here: the peers' field names
(langfuse.py, phoenix.py, mlflow.py), storing.

The rule is: nothing is guessed. A value becomes a thumb or stars only where its name, its label, its type or a declared scale says so;
every other value becomes detailed_feedback without a rating. The payload is kept whole in the row's context (key `peer`), so no value
is lost. What a model or a program said is no person's feedback: it makes no record at all and stays beside (storage/peers.py).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from learning_pipelines.feedback.kinds import IssueCategory

Peer = Literal["langfuse", "phoenix", "mlflow"]
Scale = Literal["1-5", "thumb"]
SCALES: tuple[Scale, ...] = get_args(Scale)
"""`1-5`: whole stars. `thumb`: true or 1 is up; false, 0 or -1 is down. Any other number is no value of the scale."""

_THUMBS = {"thumb", "thumbs", "thumbs_up", "thumb_up", "user_thumb", "user_thumbs", "thumbs_up_down", "like", "liked"}
_STARS = {"star", "stars", "star_rating", "stars_rating", "five_stars", "rating_stars", "rating_1_5", "stars_1_5"}
_SAID_BY_TYPE = {"feedback", "user_feedback", "human_feedback"}
"""Names that mean a thumb where the value is a boolean or a thumb's label, but not where it is a number: 1 may be one star."""
_ISSUES = {"issue", "issues", "issue_category", "issue_type"}
_DIMENSIONS = {"accuracy", "helpfulness", "clarity", "completeness"}
_UP = {"thumbs_up", "thumb_up", "up", "like", "liked", "👍"}
_DOWN = {"thumbs_down", "thumb_down", "down", "dislike", "disliked", "👎"}


@dataclass(frozen=True, slots=True)
class Said:
    """One statement of a peer about an execution, a span of it, or a session.

    `id` is the peer's identity of the statement: the same id with another content is a change of it. `execution_id` is None where only
    a span or a session is named. `payload` is what the peer sent, unchanged. `machine`: said by a model or a program.
    """

    peer: Peer
    id: str
    name: str
    value: bool | float | str | None
    payload: Mapping[str, Any] = field(repr=False)
    execution_id: str | None = None
    span_id: str | None = None
    machine: bool = False
    label: str | None = None
    text: str | None = None
    correction: str | None = None
    user: str | None = None
    agent: str | None = None
    created_at: str | None = None
    scale: str | None = None
    countable: bool = True
    """False for what is about a document, a session or a data set run: it is kept, but it is no feedback on an execution."""


def feedback_record(said: Said, scales: Mapping[str, Scale], version: int = 1, execution_id: str | None = None) -> dict[str, Any]:
    """The record (kind feedback) of what a person said; `scales` declares the scale of names that do not say it themselves.

    The n-th change of a statement is a record of its own. So that it supersedes the one before, whoever is not named gets a person of
    the statement's own: nobody else's feedback is ever superseded by it.
    """
    record: dict[str, Any] = {
        "feedback_id": versioned(feedback_id(said.peer, said.id), version),
        "execution_id": execution_id or said.execution_id,
        "user": said.user or feedback_id(said.peer, said.id),
        "created_at": said.created_at,
        "agent": said.agent,
        "feedback_text": said.text,
        **_meaning(said, scales),
        "peer": {"name": said.peer, "id": said.id, "payload": dict(said.payload)},
    }
    return {key: value for key, value in record.items() if value is not None}


def feedback_id(peer: str, identity: str) -> str:
    """The id of a statement's feedback, at most 200 characters: long identities are hashed."""
    plain = f"{peer}:{identity}"
    return plain if len(plain) <= 200 else f"{peer}:{hashlib.sha256(identity.encode()).hexdigest()}"


def versioned(identity: str, version: int) -> str:
    return identity if version == 1 else f"{identity}:v{version}"


def _meaning(said: Said, scales: Mapping[str, Scale]) -> dict[str, Any]:
    name = words(said.name)
    if said.correction is not None and said.correction.strip():
        return {"feedback_type": "correction", "correction_text": said.correction}
    label = words(said.label if said.label is not None else said.value if isinstance(said.value, str) else "")
    if name in _ISSUES and label in get_args(IssueCategory):
        return {"feedback_type": "report_issue", "issue_categories": [label]}
    scale = _scale(said, name, label, scales)
    if scale == "thumb":
        up = _thumb(label, said.value)
        if up is not None:
            return {"feedback_type": "thumbs_up" if up else "thumbs_down"}
    if scale == "1-5" and (stars := _stars(said.value)) is not None:
        if name in _DIMENSIONS:
            return {"feedback_type": "detailed_feedback", "dimensions": {name: stars}}
        return {"feedback_type": "star_rating", "rating": stars}
    return {"feedback_type": "detailed_feedback"}


def _scale(said: Said, name: str, label: str, scales: Mapping[str, Scale]) -> str | None:
    """The scale the sender states, the one the operator declares, the one the name means; else none."""
    if said.scale in SCALES:
        return said.scale
    if name in scales:
        return scales[name]
    if name in _STARS:
        return "1-5"
    if name in _THUMBS or (name in _SAID_BY_TYPE and (isinstance(said.value, bool) or label in _UP | _DOWN)):
        return "thumb"
    return None


def _thumb(label: str, value: bool | float | str | None) -> bool | None:
    if label in _UP:
        return True
    if label in _DOWN:
        return False
    if isinstance(value, str) or label:
        return None
    return {1.0: True, 0.0: False, -1.0: False}.get(float(value)) if value is not None else None


def _stars(value: bool | float | str | None) -> int | None:
    if isinstance(value, bool | str) or value is None or value not in (1, 2, 3, 4, 5):
        return None
    return int(value)


def words(name: str) -> str:
    """`User-Feedback` and `user feedback` are the same name."""
    return re.sub(r"[\s./-]+", "_", name.strip().lower())


def moment(value: object) -> str | None:
    """A peer's time as RFC 3339; times without an offset are UTC, which is what all three mean. Anything else is left to the validation."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):  # exports of data frames: milliseconds since 1970
        return dt.datetime.fromtimestamp(value / 1000, dt.UTC).isoformat()
    text = str(value).strip()
    try:
        parsed = dt.datetime.fromisoformat(text)
    except ValueError:
        return text
    return parsed.isoformat() if parsed.tzinfo is not None else parsed.replace(tzinfo=dt.UTC).isoformat()
