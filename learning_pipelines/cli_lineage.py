"""`learning-pipelines lineage`: from a prompt back to what it was learnt from, from a user or a feedback forward to what learnt from it.

Belongs here: the verbs. Not here: what every verb shares (cli_output.py), answers and their lines (reports/lineage.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from learning_pipelines.cli_output import Output, organization_option, verb
from learning_pipelines.cli_store import Opened, opened
from learning_pipelines.errors import BadInput

_limit = click.option("--limit", type=click.IntRange(0), default=100, show_default=True, metavar="N", help="Entries of each list; counts are exact.")


@click.group()
def lineage() -> None:
    """Follow what was learnt: back from a prompt version, forward from a user or a feedback. Ids, counts and times, no texts."""


@lineage.command("prompt")
@click.argument("version", metavar="V")
@click.option("--agent", metavar="SLUG", help="Whose prompt (default: the organization's only agent).")
@_limit
@organization_option
@verb
def prompt_command(version: str, agent: str | None, limit: int, organization: str | None, output: Output) -> None:
    """What the prompt version V (a number, serving, or a label) was learnt from: feedback, examples, datasets, runs, tests, proposals, experiments."""
    from learning_pipelines.prompts.registry import named_version
    from learning_pipelines.reports.lineage import of_prompt
    from learning_pipelines.storage.tenants import agents

    def ask(at: Opened) -> dict[str, Any]:
        name = agent
        if name is None:
            there = [one.agent for one in agents(at.connection, at.slug)]
            if len(there) != 1:
                raise BadInput("Whose prompt is meant is not clear.", f"Name the agent with --agent: {', '.join(there[:20]) or 'there is none yet'}.")
            name = there[0]
        known = at.agent(name)
        found = of_prompt(at.connection, known, named_version(at.connection, known, version).version, limit=limit)
        assert found is not None, "the version was found"
        return found

    _answer(organization, output, ask)


@lineage.command("user")
@click.argument("user", metavar="U")
@_limit
@organization_option
@verb
def user_command(user: str, limit: int, organization: str | None, output: Output) -> None:
    """What came from the user U, and what learnt from it: examples, datasets, runs, versions, proposals, experiments."""
    from learning_pipelines.reports.lineage import of_user

    def ask(at: Opened) -> dict[str, Any]:
        found = None if _impossible(user) else of_user(at.connection, at.tenant, user, limit=limit)
        if found is None:
            raise BadInput(f"Nobody called {user!r} was ever seen in {at.slug}.", "Users are named as executions and feedback name them.")
        return found

    _answer(organization, output, ask)


@lineage.command("feedback")
@click.argument("feedback", metavar="F")
@_limit
@organization_option
@verb
def feedback_command(feedback: str, limit: int, organization: str | None, output: Output) -> None:
    """What learnt from the feedback F (its id), on an answer or on search results."""
    from learning_pipelines.reports.lineage import of_feedback

    def ask(at: Opened) -> dict[str, Any]:
        found = None if _impossible(feedback) else of_feedback(at.connection, at.tenant, feedback, limit=limit)
        if found is None:
            raise BadInput(f"There is no feedback {feedback!r} in {at.slug}.", "`GET /executions/{id}` lists the feedback on an execution.")
        return found

    _answer(organization, output, ask)


def _impossible(name: str) -> bool:
    return not 0 < len(name) <= 255 or "\x00" in name


def _answer(organization: str | None, output: Output, ask: Callable[[Opened], dict[str, Any]]) -> None:
    from learning_pipelines.reports.lineage import lines

    with opened(organization) as at:
        found = ask(at)
    output.answer(found, lambda: lines(found))
