"""`learning-pipelines prompts`, `proposals`, `approve`, `reject`, `rollback`, `disable` and `enable`.

Belongs here: the verbs. Not here: what every verb shares (cli_output.py), what may be approved (acceptance/approval.py), scoring (cli_evaluate.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from learning_pipelines.cli_output import Output, organization_option, verb
from learning_pipelines.cli_store import opened
from learning_pipelines.errors import BadInput

if TYPE_CHECKING:
    from learning_pipelines.acceptance.approval import Reviewed

KINDS = ("prompt", "index", "policy", "playbook", "rules", "guidance", "fine_tune")
OF_BEHAVIOR = KINDS[2:]


@click.command("prompts")
@click.argument("agent")
@click.option("--show", metavar="VERSION", help="Print this version as plain text (a number, serving, or a label).")
@click.option("--diff", nargs=2, metavar="OLD NEW", help="Print what changed from one version to another.")
@organization_option
@verb
def prompts_command(agent: str, show: str | None, diff: tuple[str, str] | None, organization: str | None, output: Output) -> None:
    """List the prompt versions of AGENT, newest first; print one, or the difference of two."""
    from learning_pipelines.prompts.registry import difference, named_version, plain_text
    from learning_pipelines.storage.prompts import list_versions

    if show is not None and diff is not None:
        raise BadInput("--show and --diff are two questions.", "Ask them one after the other.")
    with opened(organization) as at:
        connection, found = at.connection, at.agent(agent)
        if show is not None:
            one = named_version(connection, found, show)
            text = plain_text(one)
            document = {"version": one.version, "labels": one.labels, "text": text, "messages": one.messages, "serving": one.serving}
            output.answer(document, lambda: [text.rstrip("\n")])
        elif diff is not None:
            old, new = (named_version(connection, found, name) for name in diff)
            changed = difference(old, new)
            document = {"old": old.version, "new": new.version, "diff": changed}
            output.answer(document, lambda: [changed or f"Versions {old.version} and {new.version} are the same."])
        else:
            rows = [_plain(row) for row in list_versions(connection, found)]
            output.answer({"versions": rows}, lambda: _versions(agent, rows))


@click.command("proposals")
@click.option("--agent", metavar="SLUG", help="Only of this agent.")
@click.option("--state", type=click.Choice(["open", "approved", "rejected"]), help="Only in this state.")
@organization_option
@verb
def proposals_command(agent: str | None, state: Any, organization: str | None, output: Output) -> None:
    """List what may be approved and what was decided, newest first."""
    from learning_pipelines.storage import proposals

    with opened(organization) as at:
        found = [one.as_json() for one in proposals.listed(at.connection, at.tenant, agent_id=at.agent_id(agent), state=state)]

    def lines() -> list[str]:
        rows = [f"{one['id']}  {one['kind']:10} {one['agent']:20} {one['verdict']:11} {one['state']:8}  {_what(one)}" for one in found]
        jobs = "prompt_optimization, rag_training, behavior_learning or fine_tuning"
        return rows or [f"There is no proposal: a run of {jobs} makes one when it finds something better."]

    output.answer({"proposals": found}, lines)


@click.command("approve")
@click.argument("proposal", metavar="ID")
@click.option("--rollout", type=click.Choice(["immediate", "canary"]), default="immediate", show_default=True, help="How it begins to serve.")
@click.option("--notes", help="Why; kept with the proposal.")
@organization_option
@verb
def approve_command(proposal: str, rollout: str, notes: str | None, organization: str | None, output: Output) -> None:
    """Approve the proposal ID: what it proposes serves from now on, for everybody (immediate) or in steps of 1, 5, 25, 50 and 100 % of the traffic that harm
    takes back (canary; prompts, indexes, policies)."""
    from learning_pipelines.acceptance.approval import OPERATOR, approve

    with opened(organization) as at:
        reviewed = approve(at.connection, at.tenant, _identity(proposal), rollout, OPERATOR, notes)
    begun = f"the experiment {reviewed.experiment} rolls it out, to 1 % of the traffic first"
    served = "it was approved before, and nothing changed" if not reviewed.changed else _instead(reviewed) if reviewed.experiment is None else begun
    output.answer(reviewed.as_json(), lambda: [f"Approved for {reviewed.agent}: {served}."])


@click.command("reject")
@click.argument("proposal", metavar="ID")
@click.option("--notes", help="Why; kept with the proposal.")
@organization_option
@verb
def reject_command(proposal: str, notes: str | None, organization: str | None, output: Output) -> None:
    """Reject the proposal ID. What serves stays."""
    from learning_pipelines.acceptance.approval import OPERATOR, reject

    with opened(organization) as at:
        reviewed = reject(at.connection, at.tenant, _identity(proposal), OPERATOR, notes)
    output.answer(reviewed.as_json(), lambda: [f"Rejected for {reviewed.agent}." if reviewed.changed else "It was rejected before, and nothing changed."])


@click.command("rollback")
@click.argument("agent")
@click.option("--kind", type=click.Choice(KINDS), default="prompt", show_default=True, help="What to take back.")
@click.option("--topic", metavar="TOPIC", help="Of behaviour: which of several (the task type of a playbook).")
@organization_option
@verb
def rollback_command(agent: str, kind: str, topic: str | None, organization: str | None, output: Output) -> None:
    """Make what served before for AGENT serve again (index: with its re-ranker, expansion and chunks). Running services follow within a second."""
    from learning_pipelines.acceptance.approval import OPERATOR, rollback

    with opened(organization) as at:
        done = rollback(at.connection, at.agent(agent), OPERATOR, kind, topic=topic)
    was = _instead(done) if done.changed else f"{_numbered(done.kind, done.version)} serves since the last rollback"
    if done.changed and done.experiment is not None:
        serves = _instead(done) if done.before is not None else f"{_numbered(done.kind, done.version)} serves everybody"
        was = f"{serves}; the experiment {done.experiment} was ended"
    output.answer(done.as_json(), lambda: [f"{agent}: {was}."])


def _switch(name: str, state: str, enabled: bool, led_to: str, summary: str) -> click.Command:
    @click.command(name, help=summary)
    @click.option("--agent", metavar="SLUG", help="Only this agent (default: every agent of the organization).")
    @organization_option
    @verb
    def command(agent: str | None, organization: str | None, output: Output) -> None:
        from learning_pipelines.acceptance.approval import OPERATOR, set_learning

        with opened(organization) as at:
            one = None if agent is None else at.agent(agent)
            changed = set_learning(at.connection, at.tenant, one, OPERATOR, enabled=enabled)
        document = {"id": str(at.tenant if one is None else one.agent_id), "state": state, "agents": changed}
        said = f"Learning {state} for {', '.join(changed)}: {led_to}." if changed else f"Learning was {state} before, and nothing changed."
        output.answer(document, lambda: [said])

    return command


disable_command = _switch(
    "disable", "disabled", False, "the base prompt and the base index serve within a second, and nothing is learnt",
    "Switch learning off, within a second: base prompt, base index, nothing learnt, no experiments, no learning runs. `enable` brings it all back.",
)  # fmt: skip
enable_command = _switch(
    "enable", "enabled", True, "what served before serves again within a second", "Learn again; what served before `disable` serves again."
)
COMMANDS = (prompts_command, proposals_command, approve_command, reject_command, rollback_command, disable_command, enable_command)


def _identity(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise BadInput(f"{text!r} is no id of a proposal.", "`learning-pipelines proposals` lists them.") from None


def _versions(agent: str, rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return [f"{agent} has no prompt yet: import one (kind agents, system_prompt), or write one (POST /prompts/{agent})."]
    head = f"{'version':>7}  {'labels':28} {'strategy':20} {'score':>6}  {'verdict':11}  made"
    return [head, *(_version(row) for row in rows)]


def _version(row: dict[str, Any]) -> str:
    score = "–" if row["score"] is None else format(row["score"], ".3f")
    how, labels = row["strategy"] or row["origin"], ", ".join(row["labels"]) or "–"
    return f"{row['version']:>7}  {labels:28} {how:20} {score:>6}  {row['verdict'] or '–':11}  {row['created_at']}"


def _instead(done: Reviewed) -> str:
    return f"{_numbered(done.kind, done.version)} serves instead of {_numbered(done.kind, done.before, word=False)}"


def _numbered(kind: str, version: Any, *, word: bool = True) -> str:
    """A version as people call it: 0 is the base of the index, and nothing learnt of behaviour."""
    if kind != "prompt" and version == 0:
        return "nothing learnt" if kind in OF_BEHAVIOR else "the base index"
    return f"version {version}" if word else str(version)


def _what(one: dict[str, Any]) -> str:
    """What is compared, and by how much it is better, where the evidence says so."""
    numbers = [one["evidence"].get(name) for name in ("difference", "low", "high")]
    gain = "{:+.3f} [{:+.3f}, {:+.3f}]".format(*numbers) if all(isinstance(number, int | float) for number in numbers) else ""
    against = _numbered(one["kind"], one["incumbent"].get("version", "?"), word=False)
    about = " of ".join(one["subject"][name] for name in ("kind", "topic") if one["subject"].get(name) not in (None, "", one["kind"]))
    return f"{about} version {one['subject'].get('version', '?')} against {against}  {gain}".strip()


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row of storage.prompts.list_versions as JSON holds it."""
    run = row["training_run_id"]
    return {**row, "training_run_id": None if run is None else str(run), "created_at": row["created_at"].isoformat()}
