"""`learning-pipelines experiments`: create, start, pause, resume, abort, weights, look, conclude, list, show.

Belongs here: the verbs. Not here: what may be done when (experiments/lifecycle.py), tables (cli_experiments_table.py), outside data
(cli_experiments_analyze.py), planning (cli_experiments_size.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from learning_pipelines.cli_experiments_analyze import analyze_command
from learning_pipelines.cli_experiments_size import size_command
from learning_pipelines.cli_experiments_table import line, table
from learning_pipelines.cli_output import Output, organization_option, verb
from learning_pipelines.cli_store import Opened, opened
from learning_pipelines.errors import BadInput

if TYPE_CHECKING:
    from learning_pipelines.experiments.lifecycle import Changed

DECISIONS = ("adopt_treatment", "keep_control", "inconclusive", "rollback")
STATES = ("draft", "running", "paused", "completed", "cancelled")
SUBJECTS, UNITS = ("prompt", "index", "policy"), ("user", "session", "execution")
_ARM = "[NAME=]VERSION[:WEIGHT]"


@click.group("experiments")
def experiments() -> None:
    """Compare versions of a prompt, an index or a policy on live traffic."""


experiments.add_command(analyze_command)
experiments.add_command(size_command)


@experiments.command("create")
@click.option("--agent", required=True, metavar="SLUG", help="The agent whose versions are compared.")
@click.option("--treatment", "treatments", multiple=True, required=True, metavar=_ARM, help="A version to try; repeat it for several.")
@click.option("--control", metavar=_ARM, help="What they are compared with (default: what serves).")
@click.option("--name", help="What is tried (default: made of the versions).")
@click.option("--subject", type=click.Choice(SUBJECTS), default="prompt", show_default=True, help="What the versions are versions of.")
@click.option("--unit", type=click.Choice(UNITS), default="user", show_default=True, help="Who keeps a variant: everybody, a session, one execution.")
@click.option("--metric", default="thumbs", show_default=True, help="What decides.")
@click.option("--guardrail", "guardrails", multiple=True, metavar="METRIC", help="What must not get worse; repeat it (default: the usual ones).")
@click.option("--group", metavar="NAME", help="Exclusion group: experiments of one group on an agent share its units between them.")
@click.option("--min-hours", type=click.IntRange(0, 2_147_483_647), default=168, show_default=True, help="Nothing is adopted earlier.")
@click.option("--min-units", type=click.IntRange(0, 2_147_483_647), default=1000, show_default=True, help="Nothing is adopted with fewer in an arm.")
@click.option("--option", "given", multiple=True, metavar="NAME=VALUE", help="Another option, for example alpha=0.01 or tolerances.latency_ms=50.")
@click.option("--auto-adopt", is_flag=True, help="A winner serves as soon as it is decided, without `experiments conclude`.")
@click.option("--start", is_flag=True, help="Start it at once.")
@click.option("--description", help="Why; kept with it.")
@organization_option
@verb
def create_command(agent: str, organization: str | None, start: bool, output: Output, **asked: Any) -> None:
    """Make an experiment as a draft, which serves nobody before it is started."""
    from learning_pipelines.acceptance.reviewing import OPERATOR
    from learning_pipelines.experiments import lifecycle

    plan = _plan(asked)

    with opened(organization) as at, at.connection.transaction():
        made = lifecycle.create(at.connection, at.agent(agent), plan, OPERATOR, at.settings)
        if start:
            made = lifecycle.start(at.connection, at.tenant, made.id, OPERATOR, at.settings).experiment
        document = _shown(at, made)
    later = "It serves from now on." if start else f"`learning-pipelines experiments start {document['id']}` starts it."
    output.answer(document, lambda: [*table(document), later])


def _step(name: str, summary: str, done: str, before: str, *, settings_too: bool = False) -> click.Command:
    @experiments.command(name, help=summary)
    @click.argument("experiment", metavar="ID")
    @organization_option
    @verb
    def command(experiment: str, organization: str | None, output: Output) -> None:
        from learning_pipelines.acceptance.reviewing import OPERATOR
        from learning_pipelines.experiments import lifecycle

        def work(at: Opened) -> Changed:
            needed = {"settings": at.settings} if settings_too else {}
            changed: Changed = getattr(lifecycle, name)(at.connection, at.tenant, _identity(experiment), OPERATOR, **needed)
            return changed

        _answer(organization, output, work, done, before)

    return command


_step("start", "Start the draft ID: units are assigned from now on.", "It serves from now on", "It runs already", settings_too=True)
_step("pause", "Pause ID: everybody gets what serves until it is resumed.", "Everybody gets what serves until it is resumed", "It was paused before")
_step("resume", "Go on with the paused ID: everybody gets their variant back.", "Everybody has their variant again", "It runs already", settings_too=True)


@experiments.command("abort")
@click.argument("experiment", metavar="ID")
@click.option("--notes", help="Why; kept with the experiment.")
@organization_option
@verb
def abort_command(experiment: str, notes: str | None, organization: str | None, output: Output) -> None:
    """End ID without a decision: everybody gets what serves."""
    from learning_pipelines.acceptance.reviewing import OPERATOR
    from learning_pipelines.experiments import lifecycle

    _answer(
        organization, output, lambda at: lifecycle.abort(at.connection, at.tenant, _identity(experiment), OPERATOR, notes),
        "Everybody gets what serves", "It was aborted before",
    )  # fmt: skip


@experiments.command("look")
@click.argument("experiment", metavar="ID")
@organization_option
@verb
def look_command(experiment: str, organization: str | None, output: Output) -> None:
    """Look at the running ID now, as the hourly job does: take up new executions and feedback, decide, and do what follows."""
    from learning_pipelines.acceptance.reviewing import OPERATOR
    from learning_pipelines.experiments import lifecycle
    from learning_pipelines.experiments.collecting import collect

    def work(at: Opened) -> Changed:
        collect(at.connection)
        return lifecycle.look(at.connection, at.tenant, _identity(experiment), OPERATOR, at.settings)

    _answer(organization, output, work, "Something new was seen", "Nothing new was seen")


@experiments.command("conclude")
@click.argument("experiment", metavar="ID")
@click.option("--decision", type=click.Choice(DECISIONS), help="How it ends (default: as its values say now).")
@click.option("--notes", help="Why; kept with the decision.")
@organization_option
@verb
def conclude_command(experiment: str, decision: Any, notes: str | None, organization: str | None, output: Output) -> None:
    """End ID with a decision. adopt_treatment makes the winner serve everybody, and needs that verdict; every other leaves what serves."""
    from learning_pipelines.acceptance.reviewing import OPERATOR
    from learning_pipelines.experiments import lifecycle
    from learning_pipelines.experiments.collecting import collect

    def work(at: Opened) -> Changed:
        collect(at.connection)
        return lifecycle.conclude(at.connection, at.tenant, _identity(experiment), decision, OPERATOR, at.settings, notes)

    _answer(organization, output, work, "It is concluded", "It was concluded before")


@experiments.command("weights")
@click.argument("experiment", metavar="ID")
@click.argument("weights", nargs=-1, required=True, metavar="NAME=WEIGHT …")
@organization_option
@verb
def weights_command(experiment: str, weights: Sequence[str], organization: str | None, output: Output) -> None:
    """Change the shares of new units in ID; who has a variant keeps it. Name every arm, for example control=0.8 treatment=0.2."""
    from learning_pipelines.acceptance.reviewing import OPERATOR
    from learning_pipelines.experiments import lifecycle

    shares = dict(_weight(text) for text in weights)
    if len(shares) < len(weights):
        raise BadInput("An arm is named twice.", "Give each arm one weight.")
    _answer(
        organization, output, lambda at: lifecycle.change_weights(at.connection, at.tenant, _identity(experiment), shares, OPERATOR),
        "Units that were not met yet are shared like this from now on", "It had these weights before",
    )  # fmt: skip


@experiments.command("list")
@click.option("--agent", metavar="SLUG", help="Only of this agent.")
@click.option("--state", type=click.Choice(STATES), help="Only in this state.")
@organization_option
@verb
def list_command(agent: str | None, state: Any, organization: str | None, output: Output) -> None:
    """List experiments and rollouts, newest first."""
    from learning_pipelines.experiments import showing
    from learning_pipelines.storage import experiments as storage

    with opened(organization) as at:
        rows = storage.listed(at.connection, at.tenant, agent_id=at.agent_id(agent), statuses=[] if state is None else [state])
        found = showing.listed(at.connection, at.tenant, rows)
    nothing = "There is no experiment: `learning-pipelines experiments create --agent SLUG --treatment VERSION` makes one."
    output.answer({"experiments": found}, lambda: [line(one) for one in found] or [nothing])


@experiments.command("show")
@click.argument("experiment", metavar="ID")
@organization_option
@verb
def show_command(experiment: str, organization: str | None, output: Output) -> None:
    """Show ID: its arms, their units and what was decided."""
    from learning_pipelines.acceptance.reviewing import Reason, Refused
    from learning_pipelines.storage import experiments as storage

    with opened(organization) as at:
        found = storage.find(at.connection, at.tenant, _identity(experiment))
        if found is None:
            raise Refused(Reason.UNKNOWN, "There is no such experiment.", "`learning-pipelines experiments list` lists them.", "id")
        document = _shown(at, found)
    output.answer(document, lambda: table(document))


def _answer(organization: str | None, output: Output, work: Callable[[Opened], Changed], done: str, before: str) -> None:
    with opened(organization) as at:
        led_to = work(at)
        document, changed = _shown(at, led_to.experiment), led_to.changed
    output.answer({**document, "changed": changed}, lambda: [*table(document), f"{done}." if changed else f"{before}, and nothing changed."])


def _identity(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise BadInput(f"{text!r} is no id of an experiment.", "`learning-pipelines experiments list` lists them.") from None


def _shown(at: Opened, experiment: Any) -> dict[str, Any]:
    from learning_pipelines.experiments import showing

    return showing.whole(at.connection, at.tenant, experiment)


def _plan(asked: dict[str, Any]) -> Any:
    from learning_pipelines.experiments.options import options_of
    from learning_pipelines.experiments.plans import Asked, Plan, arm_from_text

    arms = [Asked(None, None) if asked["control"] is None else arm_from_text(asked["control"]), *map(arm_from_text, asked["treatments"])]
    against = "what serves" if arms[0].version is None else str(arms[0].version)
    tried = ", ".join("what serves" if arm.version is None else str(arm.version) for arm in arms[1:])
    return Plan(
        asked["name"] or f"{asked['subject']} {tried} against {against}", arms, asked["subject"], asked["unit"], asked["metric"],
        list(asked["guardrails"]) or None, asked["group"], asked["min_hours"], asked["min_units"],
        options_of(_options(asked["given"]) | ({"auto_adopt": True} if asked["auto_adopt"] else {})), asked["description"],
    )  # fmt: skip


def _options(given: Sequence[str]) -> dict[str, Any]:
    """Options as typed, numbers and true, false as what they are; `tolerances.latency_ms=50` is one of several tolerances."""
    import orjson

    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            read = orjson.loads(value)
        except orjson.JSONDecodeError:
            equals = ""
        if not equals:
            raise BadInput(f"{text!r} is no option.", "An option is NAME=VALUE with a number, true, false or null, for example alpha=0.01.")
        outer, dot, inner = name.partition(".")
        if dot:
            found.setdefault(outer, {})[inner] = read
        else:
            found[name] = read
    return found


def _weight(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        raise BadInput(f"{text!r} is no weight.", "A weight is NAME=SHARE, for example treatment=0.2 or treatment=20%.") from None
