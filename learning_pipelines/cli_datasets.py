"""`learning-pipelines datasets`, `archive` and `export`.

Belongs here: the three verbs. Not here: what every verb shares (cli_output.py), versions and files (examples/).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from learning_pipelines.cli_output import Output, organization_option, say, verb
from learning_pipelines.cli_store import opened
from learning_pipelines.errors import BadInput
from learning_pipelines.examples.formats import FORMATS, SPLIT_CHOICES, FormatName

if TYPE_CHECKING:
    from learning_pipelines.storage.database import Connection
    from learning_pipelines.storage.tenants import AgentRef
    from learning_pipelines.storage.versions import Version


@click.command("datasets")
@click.argument("agent")
@organization_option
@verb
def datasets_command(agent: str, organization: str | None, output: Output) -> None:
    """List the dataset versions of AGENT, newest first."""
    from learning_pipelines.storage.versions import list_versions

    with opened(organization) as at:
        found = list_versions(at.connection, at.agent(agent))
    listed = [{**row, "id": str(row["id"]), "created_at": row["created_at"].isoformat()} for row in found]

    def lines() -> list[str]:
        head = f"{'version':>7}  {'status':10} {'examples':>9}  {'quality':>7}  made"
        rows = [
            f"{row['version']:>7}  {row['status']:10} {row['total_examples']:>9}  "
            f"{'–' if row['avg_quality_score'] is None else format(row['avg_quality_score'], '.3f'):>7}  {row['created_at']}"
            for row in listed
        ]
        return [head, *rows] if rows else [f"{agent} has no dataset yet: approve examples, then `learning-pipelines run dataset_refresh --agent {agent}`."]

    output.answer({"datasets": listed}, lines)


@click.command("archive")
@click.argument("agent", metavar="AGENT@VERSION")
@organization_option
@verb
def archive_command(agent: str, organization: str | None, output: Output) -> None:
    """Archive a dataset version of AGENT, for good. Learning and exports take the newest that is not archived; by its number it can still be exported."""
    from learning_pipelines.examples.lifecycle import change_status

    agent_name, number = _named(agent)
    if number is None:
        raise BadInput("Which version?", f"Name it: {agent_name}@1; `learning-pipelines datasets {agent_name}` lists them.")
    with opened(organization) as at:
        found = at.agent(agent_name)
        dataset = _version(at.connection, found, number)
        change_status(at.connection, found, dataset.id, "archived")
    document = {"agent": agent_name, "version": number, "dataset_id": str(dataset.id), "status": "archived"}
    output.answer(document, lambda: [f"Version {number} of {agent_name} is archived."])


@click.command("export")
@click.argument("agent", metavar="AGENT[@VERSION]")
@click.option("--format", "name", required=True, type=click.Choice(FORMATS), help="What the file is for.")
@click.option("--out", "target", required=True, metavar="PATH", help="The file to write (a path or an fsspec URL); replaced as a whole.")
@click.option("--split", type=click.Choice(SPLIT_CHOICES), default="train", show_default=True, help="Whose examples; train keeps the test out of training.")
@organization_option
@verb
def export_command(agent: str, name: FormatName, target: str, split: str, organization: str | None, output: Output) -> None:
    """Export a dataset version of AGENT (default: the newest) as a file for training, without personal data.

    openai-chat: fine-tuning; openai-dpo and trl-dpo: preferences; triples: anchor, positive, negative for retrieval; parquet: every
    example with its lineage. The same version always gives the same bytes.
    """
    from learning_pipelines.examples.exporting import export_dataset

    agent_name, number = _named(agent)
    with opened(organization) as at:
        found = at.agent(agent_name)
        dataset = _version(at.connection, found, number)
        done = export_dataset(at.connection, found, dataset, name, target, split=split)
    held = sum(done.held_back.values())
    if held:
        kinds = ", ".join(f"{count} × {kind}" for kind, count in sorted(done.held_back.items()))
        say(f"{held} rows still showed personal data and were held back ({kinds}): correct those examples in review, then refresh the dataset.")
    for reason, count in sorted(done.left_out.items()):
        say(f"{count} examples make no row of {name}: {reason}.")
    prompt = dataset.recipe.get("prompt") or {}
    document = {
        "rows": done.rows, "sha256": done.sha256, "bytes": done.bytes, "path": target, "format": name, "split": split, "agent": agent_name,
        "version": dataset.version, "dataset_id": str(dataset.id), "content_hash": dataset.content_hash.hex(), "held_back": done.held_back,
        "left_out": done.left_out,
        "system_message": {"prompt_version": prompt.get("version"), "used": bool(prompt.get("system")), "reason": prompt.get("reason")},
    }  # fmt: skip
    output.answer(document, lambda: [f"{done.rows} rows of version {dataset.version} ({split}) in {target}, SHA-256 {done.sha256}."])


def _named(text: str) -> tuple[str, int | None]:
    """AGENT or AGENT@VERSION."""
    agent, at, version = text.partition("@")
    if not at:
        return agent, None
    if not re.fullmatch(r"[1-9]\d{0,8}", version):
        raise BadInput(f"{version!r} is no dataset version.", f"Give a number, for example {agent or 'AGENT'}@1; `learning-pipelines datasets` lists them.")
    return agent, int(version)


def _version(connection: Connection, agent: AgentRef, number: int | None) -> Version:
    from learning_pipelines.storage.versions import find_version, list_versions

    if (found := find_version(connection, agent, number)) is not None:
        return found
    refresh = f"Approve examples, then run `learning-pipelines run dataset_refresh --agent {agent.agent}`."
    known = [str(row["version"]) for row in list_versions(connection, agent) if row["status"] in ("ready", "in_use", "archived")]
    if not known:
        raise BadInput(f"{agent.partition} has no dataset yet.", refresh)
    if number is None:
        raise BadInput(f"Every dataset version of {agent.partition} is archived.", f"Name one ({', '.join(known[:20])}), or make a new one. {refresh}")
    raise BadInput(f"{agent.partition} has no dataset version {number}.", f"Known: {', '.join(known[:20])}.")
