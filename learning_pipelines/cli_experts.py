"""`learning-pipelines experts …`: who demonstrates, and whose right to do so is withdrawn or given back.

Belongs here: the three verbs. Not here: what follows for learning (storage/behavior_demonstrations.py), their table (storage/experts.py).
"""

from __future__ import annotations

from typing import Any

import click

from learning_pipelines.cli_output import Output, organization_option, verb
from learning_pipelines.cli_store import opened
from learning_pipelines.errors import BadInput


@click.group()
def experts() -> None:
    """List who shows agents how tasks are done; withdraw that right, or give it back."""


@experts.command("list")
@organization_option
@verb
def list_experts(organization: str | None, output: Output) -> None:
    """List the experts of an organization and everybody who ever demonstrated."""
    from learning_pipelines.storage import experts as storage

    with opened(organization) as at:
        found = storage.listed(at.connection, at.tenant)

    def lines() -> list[str]:
        nobody = f"{at.slug} has no expert: whoever a demonstration names as its expert becomes one (`learning-pipelines import demonstrations FILE`)."
        return [_line(one) for one in found] or [nobody]

    output.answer({"experts": found}, lines)


def _line(one: dict[str, Any]) -> str:
    withdrawn = f"  withdrawn {one['withdrawn_at']:%Y-%m-%d %H:%M}" if one["withdrawn_at"] else ""
    return f"{one['user']:30}  {one['role']:12}  {one['demonstrations']} demonstrations{withdrawn}"


@experts.command("withdraw")
@click.argument("user", metavar="USER")
@organization_option
@verb
def withdraw(user: str, organization: str | None, output: Output) -> None:
    """Withdraw the right of USER to demonstrate. What they showed is learnt from no more, from the next run on."""
    _set(user, organization, output, withdrawn=True)


@experts.command("restore")
@click.argument("user", metavar="USER")
@organization_option
@verb
def restore(user: str, organization: str | None, output: Output) -> None:
    """Give USER the right to demonstrate back. What they showed is learnt from again, from the next run on."""
    _set(user, organization, output, withdrawn=False)


def _set(user: str, organization: str | None, output: Output, *, withdrawn: bool) -> None:
    from learning_pipelines.acceptance.reviewing import OPERATOR
    from learning_pipelines.storage import experts as storage

    with opened(organization) as at:
        done = storage.set_right(at.connection, at.tenant, user, OPERATOR.actor, withdrawn=withdrawn)
    if done is None:
        raise BadInput(f"{at.slug} knows nobody called {user!r}.", "`learning-pipelines experts list` shows who demonstrated.")
    of = f"their {done.demonstrations} demonstrations" if done.demonstrations != 1 else "their demonstration"
    after = f"{of} will {'not ' if withdrawn else ''}be learnt from at the next run (`learning-pipelines run behavior_learning`)."
    said = f"The right of {user} to demonstrate is {'withdrawn' if withdrawn else 'given back'}: {after}"
    unchanged = f"The right of {user} to demonstrate {'was withdrawn already' if withdrawn else 'was not withdrawn'}: nothing changed."
    document = {"user": user, "withdrawn": withdrawn, "changed": done.changed, "demonstrations": done.demonstrations}
    output.answer(document, lambda: [said if done.changed else unchanged])
