"""When experts disagree about an example, it goes to another one, who decides.

Belongs here: the rule over whatever verdicts are stored. Not here: the same for a verdict as it is given (review.py, which opens and
resolves most cases), handing examples to reviewers, SQL (storage/adjudications.py).

Verdicts also arrive without the queue (restored, written by an import of one's own, found to stand after another was withdrawn). This
looks at all of them, so that no disagreement stays unseen, and leaves alone what the queue is adjudicating already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from learning_pipelines.storage import adjudications as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


@dataclass(frozen=True, slots=True)
class Adjudicated:
    """What one look changed, and how many examples wait now."""

    opened: int
    resolved: int
    waiting: int


def disagree(approving: int, others: int) -> bool:
    """Whether no more than half of several experts decided alike about learning from an example. Rejecting and asking for a revision
    are the same here: neither lets it in.
    """
    return approving + others > 1 and 2 * max(approving, others) <= approving + others


def adjudicate(connection: Connection, agent: AgentRef, examples: Sequence[str] | None = None) -> Adjudicated:
    """Sends examples on which experts disagree back to review, for one further expert to decide; of the given examples, or of every one
    of the agent with several verdicts. A case that nobody disagrees about any more is closed. Whatever a person resolved stays so until
    a newer verdict comes. Running it again changes nothing.
    """
    opened: list[tuple[str, str]] = []
    closed: list[tuple[str, UUID | None]] = []
    with connection.transaction():
        for one in storage.contested(connection, agent, examples):
            if one.adjudicating:
                continue
            if not disagree(one.approving, one.others):
                closed += [(one.example_id, one.newest_by)] if one.waiting else []
            elif one.waiting or one.resolved_at is None or one.newest_at > one.resolved_at:
                opened.append((one.example_id, f"{one.approving} approve, {one.others} do not"))
        storage.open_cases(connection, agent, opened)
        storage.resolve_cases(connection, agent, closed)
        return Adjudicated(len(opened), len(closed), storage.count_waiting(connection, agent))
