"""`learning-pipelines conflicts …`: examples that contradict each other.

Belongs here: the two verbs. Not here: finding conflicts (examples/curation.py), who may dismiss one (examples/dismissal.py).
"""

from __future__ import annotations

from typing import Any

import click

from learning_pipelines.cli_output import Output, organization_option, verb
from learning_pipelines.cli_store import opened


@click.group()
def conflicts() -> None:
    """List examples with nearly the same input that contradict each other; say that both are right."""


@conflicts.command("list")
@click.option("--agent", metavar="SLUG", help="Only conflicts of this agent.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many.")
@organization_option
@verb
def list_conflicts(agent: str | None, limit: int, organization: str | None, output: Output) -> None:
    """List the open conflicts, the longest known first. Rejecting or correcting one of the two examples settles one, and so does `dismiss`."""
    from learning_pipelines.storage.curation import open_conflicts

    with opened(organization) as at:
        found = open_conflicts(at.connection, at.tenant, limit=limit, agent_id=at.agent_id(agent))
    listed = [{**row, "found_at": row["found_at"].isoformat()} for row in found]
    output.answer({"conflicts": listed}, lambda: [line for one in listed for line in _lines(one)] or ["No examples contradict each other."])


def _lines(one: dict[str, Any]) -> list[str]:
    return [f"{one['agent']}: {one['reason']}, found {one['found_at'][:10]}", *(_side(one[name]) for name in ("first", "second"))]


def _side(said: dict[str, Any]) -> str:
    """One of the two, on a line: its id, how it stands, what it says."""
    text = next((said[name] for name in ("expected_output", "original_output", "output_a") if said[name] is not None), "")
    return f"  {said['example_id']}  {said['example_type']}, {said['review_status']}  {' '.join(said['input_text'].split())!r} → {' '.join(text.split())!r}"


@conflicts.command("dismiss")
@click.argument("one", metavar="EXAMPLE")
@click.argument("other", metavar="EXAMPLE")
@click.option("--notes", metavar="TEXT", help="Why both are right; stored without personal data.")
@organization_option
@verb
def dismiss_command(one: str, other: str, notes: str | None, organization: str | None, output: Output) -> None:
    """Say that two examples in conflict are both right. It stays settled until one of their outputs changes."""
    from learning_pipelines.acceptance.reviewing import OPERATOR
    from learning_pipelines.examples.dismissal import dismiss

    with opened(organization) as at, at.connection.transaction():
        dismiss(at.connection, at.tenant, (one, other), notes, by=None, actor=OPERATOR.actor)
    output.answer({"example_ids": [one, other], "status": "dismissed"}, lambda: [f"{one} and {other} are both left as they are until one of them changes."])
