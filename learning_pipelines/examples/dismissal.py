"""Examples that contradict each other, and the person who says that both are right.

Belongs here: who may dismiss a conflict, and when. Not here: what contradicts what (conflicts.py), verdicts on one example, which settle a conflict too
(reviewing.py), SQL.
"""

from __future__ import annotations

from uuid import UUID

from learning_pipelines.examples.experts import Expert, Reason, Refused
from learning_pipelines.feedback.privacy import Scrubber, scrub_json
from learning_pipelines.storage import audit, curation
from learning_pipelines.storage import reviews as storage
from learning_pipelines.storage.database import Connection

_FIELD = "example_ids"
_OPERATOR = UUID(int=0)


def dismiss(connection: Connection, organization_id: UUID, example_ids: tuple[str, str], notes: str | None, *, by: Expert | None, actor: str) -> None:
    """Settles the open conflict of two examples until an output of them changes. `by`: None where it is the operator, who has no examples.

    It is part of the caller's transaction, which a refusal ends unchanged. Raises Refused.
    """
    one, other = example_ids
    if by is not None:
        storage.ensure_expert(connection, organization_id, by.id, by.name)
    items = storage.lock(connection, organization_id, _OPERATOR if by is None else by.id, [one, other])
    if gone := [name for name in example_ids if name not in items]:
        raise Refused(Reason.UNKNOWN, f"There is no example {gone[0]} for you.", "Take both ids from the list of open conflicts.", _FIELD)
    if by is not None and any(item.own for item in items.values()):
        raise Refused(Reason.OWN, "One of them is made of what you said or did yourself.", "Another expert has to decide.", _FIELD)
    scrubber = Scrubber(*(text for item in items.values() for text in (item.input_text, item.original_output, item.expected_output)))
    said = None if notes is None else str(scrub_json(notes, scrubber))
    if not curation.dismiss_conflict(connection, organization_id, example_ids, None if by is None else by.id, said):
        raise Refused(
            Reason.STATE, f"There is no open conflict between {one} and {other}.",
            "List the open ones: somebody may have settled it, or changed one of the two.", _FIELD,
        )  # fmt: skip
    audit.record(connection, organization_id, actor=actor, action="dismissed", kind="conflict", subject=one, fields=["status"], before="open", after=other)
