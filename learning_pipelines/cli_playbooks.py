"""`learning-pipelines playbooks`: how an agent's tasks are done, in plain language, with the evidence.

Belongs here: the verb and its lines. Not here: what every verb shares (cli_output.py), playbooks themselves (behavior/playbooks/).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from learning_pipelines.cli_output import Output, organization_option, verb
from learning_pipelines.cli_store import opened
from learning_pipelines.errors import BadInput

if TYPE_CHECKING:
    from learning_pipelines.behavior.playbooks.registry import Which


@click.command("playbooks")
@click.argument("agent")
@click.option("--task-type", metavar="T", help="Only the playbook of this task type ('' for tasks without one).")
@click.option("--version", "version", default="serving", show_default=True, metavar="V", help="serving, candidate, or a number.")
@click.option("--markdown", is_flag=True, help="Print Markdown, the flow as a Mermaid block.")
@organization_option
@verb
def playbooks_command(agent: str, task_type: str | None, version: str, markdown: bool, organization: str | None, output: Output) -> None:
    """Show how AGENT's tasks are done: steps, branches, what to avoid, the evidence behind each, and the flow as Mermaid source."""
    from learning_pipelines.behavior.playbooks.registry import hint, playbooks, told

    which = _which(version)
    with opened(organization) as at:
        known = at.agent(agent)
        found = [told(one) for one in playbooks(at.connection, known, which, task_type)]
        advice = "" if found else hint(at.connection, known, which)
    output.answer({"playbooks": found, "hint": advice or None}, lambda: [_shown(one, markdown) for one in found] or [advice])


def _which(version: str) -> Which | int:
    if version in ("serving", "candidate"):
        return "serving" if version == "serving" else "candidate"
    if version.isascii() and version.isdigit() and 0 < int(version) < 2**31:
        return int(version)
    raise BadInput(f"{version!r} is no version.", "There are serving, candidate, and numbers.")


def _shown(one: dict[str, Any], markdown: bool) -> str:
    accuracy = one["accuracy"]
    said = ""
    if accuracy["playbook"] is not None:
        before = f"version {one['against']}" if one["against"] else "always the most frequent action"
        right = f"{accuracy['playbook']:.0%} of the steps rightly; {before} {accuracy['before']:.0%}"
        said = f"On {accuracy['held_out']} held-out demonstrations it advises {right}."
    if markdown:
        return f"{one['markdown']}\nVersion {one['version']}. {said}\n\n```mermaid\n{one['mermaid']}```\n"
    return f"{one['text']}\nVersion {one['version']}. {said}\n\nFlow (Mermaid):\n{one['mermaid']}"
