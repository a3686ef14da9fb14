"""`learning-pipelines corrections`: what people put right again and again, in clusters.

Belongs here: the verb. Not here: judging and clustering (behavior/corrections/), their table (storage/corrections.py).
"""

from __future__ import annotations

import click

from learning_pipelines.cli_output import Output, organization_option, verb
from learning_pipelines.cli_store import opened

_WEEKS = 6


@click.command()
@click.option("--agent", required=True, metavar="AGENT", help="The agent whose corrections are listed.")
@organization_option
@verb
def corrections(agent: str, organization: str | None, output: Output) -> None:
    """List what people correct in an agent's answers: name, people, weeks, whether it was learnt, and whether it came back."""
    from learning_pipelines.storage import corrections as storage
    from learning_pipelines.storage.correction_rows import ClusterRow

    with opened(organization) as at:
        found = storage.listed(at.connection, at.agent(agent), timezone=at.settings.timezone)

    def line(one: ClusterRow) -> str:
        weeks = " ".join(str(count) for _, count in one.weeks[-_WEEKS:])
        learnt = "" if one.learnt_at is None else f"  learnt {one.learnt_at:%Y-%m-%d} by {one.learnt_by}, {one.recurrences} since"
        alarm = "  RECURS" if one.state == "recurring" else ""
        return f"{one.id}  {one.people:4} people  {one.corrections:5} corrections  {one.significance:.2f}  weeks {weeks}{learnt}{alarm}  {one.name}"

    nothing = f"No correction of {agent} was taken up yet: `learning-pipelines run behavior_learning --agent {agent}` does."
    output.answer({"agent": agent, "clusters": [one.as_json() for one in found]}, lambda: [line(one) for one in found] or [nothing])
