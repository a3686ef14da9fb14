"""`learning-pipelines …`: what is typed, and what is printed.

Belongs here: verbs, options, output. Not here: what verbs share (cli_output.py), the work (the nouns, storage/, defs/).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

import click

from learning_pipelines import __version__, run_tags
from learning_pipelines.cli_backup import backup_command, restore_command
from learning_pipelines.cli_conflicts import conflicts
from learning_pipelines.cli_corrections import corrections
from learning_pipelines.cli_datasets import archive_command, datasets_command, export_command
from learning_pipelines.cli_erase import erase_command
from learning_pipelines.cli_evaluate import evaluate
from learning_pipelines.cli_experiments import experiments
from learning_pipelines.cli_experts import experts
from learning_pipelines.cli_keys import keys
from learning_pipelines.cli_lineage import lineage
from learning_pipelines.cli_output import Output, organization_option, refused_line, say, verb
from learning_pipelines.cli_playbooks import playbooks_command
from learning_pipelines.cli_prompts import COMMANDS as PROMPT_COMMANDS
from learning_pipelines.cli_prune import prune_command
from learning_pipelines.cli_search import search_command
from learning_pipelines.cli_worker import celery_worker_command
from learning_pipelines.errors import BadInput
from learning_pipelines.settings import load_settings


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="learning-pipelines")
def main() -> None:
    """AI agents that get better from use: feedback in, examples, datasets and reports out, as a Dagster project."""


@main.command("up")
@click.option("--only", "part", type=click.Choice(["worker", "scheduler"]), help="One part: feedback service, code and UI; or the daemon (one may run).")
@verb
def up_command(part: Literal["worker", "scheduler"] | None, output: Output) -> None:
    """Start database, feedback service and Dagster, and keep them running until Ctrl-C (or `down`)."""
    from learning_pipelines.defs.serve import serve

    serve(load_settings(), say, part or "up")


@main.command("down")
@verb
def down_command(output: Output) -> None:
    """Stop what `up` or `demo` started, and the embedded database."""
    from learning_pipelines.defs.serve import stop

    stopped = stop(load_settings())
    output.answer({"stopped": stopped}, lambda: [f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running."])


@main.command("demo")
@click.option("--no-serve", is_flag=True, help="End after the summary instead of keeping the UI running.")
@click.option("--full", "extent", flag_value="full", help="Ask the model every message there is (some ten minutes more).")
@click.option("--quick", "extent", flag_value="quick", help="Ask the model 30 messages only.")
@verb
def demo_command(no_serve: bool, extent: str | None, output: Output) -> int:
    """Load the demo's service desk, materialize everything through Dagster, say what happened, keep the UI running."""
    from learning_pipelines.demo.run import run_demo

    return run_demo(load_settings(), output, say, keep=not no_serve, extent=extent or "usual")


@main.command("migrate")
@verb
def migrate_command(output: Output) -> None:
    """Prepare the database and bring its schema to this version. Safe to repeat."""
    from learning_pipelines.storage.database import open_database
    from learning_pipelines.storage.migrate import migrate

    database = open_database(load_settings())
    before, after = migrate(database)
    output.answer(
        {"database": database.name, "before": before, "after": after},
        lambda: [f"The schema of {database.name} is at {after}" + (" already." if before == after else f" (before: {before or 'empty'}).")],
    )


@main.command("verify")
@verb
def verify_command(output: Output) -> int:
    """Check the installation for real, and say what to do about each failure."""
    from learning_pipelines.defs.serve import verify

    found = verify(load_settings())
    document = {"ok": all(one.ok for one in found), "checks": [{"name": one.name, "ok": one.ok, "advice": one.advice} for one in found]}
    output.answer(document, lambda: [f"{'ok  ' if one.ok else 'FAIL'}  {one.name}" + (f" — {one.advice}" if one.advice else "") for one in found])
    return 0 if document["ok"] else 1


@main.command("import")
@click.argument("kind")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from", "peer", type=click.Choice(["langfuse", "phoenix", "mlflow", "otlp"]), help="FILE (.jsonl, .json, .csv) is an export of this tool.")
@click.option("--agent", metavar="SLUG", help="With --from: the agent of everything that names none of its own.")
@organization_option
@verb
def import_command(kind: str, file: Path, peer: str | None, agent: str | None, organization: str | None, output: Output) -> int:
    """Import FILE (.jsonl or .jsonl.gz) of KIND: agents, executions, feedback, examples, demonstrations, documents, retrieval_feedback."""
    from learning_pipelines.feedback.importing import import_with_progress
    from learning_pipelines.feedback.peers.importing import import_export_configured

    if peer is None and agent is not None:
        raise BadInput("--agent is for exports of other tools.", "Name the agent in every record, or say --from.")
    if peer is None:
        result = import_with_progress(load_settings(), organization or "default", kind, file)
    else:
        result = import_export_configured(load_settings(), organization or "default", kind, file, peer, agent)
    listed = [refused_line(error) for error in result.errors[:20]]
    more = [f"… {result.rejected - 20} more; --json lists the first 1,000."] if result.rejected > 20 else []
    output.answer(
        result.as_json(),
        lambda: [f"{kind}: {result.read} read, {result.imported} imported, {result.unchanged} unchanged, {result.rejected} rejected.", *listed, *more],
    )
    if result.broken is not None:
        say(f"Error: {result.broken}")
        return result.broken.exit_code
    return 1 if result.rejected else 0


@main.command("run")
@click.argument("job")
@click.option("--agent", metavar="SLUG", help="Only this agent (default: every agent of the organization).")
@click.option("--budget", type=click.IntRange(1), metavar="CALLS", help="prompt_optimization: most calls of the model, the test's included.")
@click.option("--candidate", type=click.IntRange(1), metavar="N", help="prompt_optimization: put version N, written by hand, to the test; no search.")
@organization_option
@verb
def run_command(job: str, agent: str | None, budget: int | None, candidate: int | None, organization: str | None, output: Output) -> int:
    """Run JOB through Dagster and wait."""
    from learning_pipelines.defs.runner import require_job, run_job
    from learning_pipelines.storage.installation import ready_store
    from learning_pipelines.storage.tenants import known_organization

    require_job(job, agent)
    tags = {tag: str(value) for tag, value in ((run_tags.BUDGET, budget), (run_tags.CANDIDATE, candidate)) if value is not None}
    if tags and job != "prompt_optimization":
        raise BadInput("--budget and --candidate are for prompt_optimization.", f"Leave them out for {job}.")
    if candidate is not None and agent is None:
        raise BadInput("--candidate names a version of one agent.", "Say which: --agent SLUG.")
    store = ready_store(load_settings())
    slug = known_organization(store, organization)
    say(f"Running {job} …")
    outcome = run_job(store, job, slug, agent, lambda run: say(f"  {run['agent'] or run['partition'] or job}: {run['status']}"), tags)
    document = outcome.as_json()
    proposed = [f"  proposal {one['id']} ({one['kind']} of {one['agent']}): {one['verdict']}, {one['state']}" for one in outcome.proposals]
    summary = f"{job}: {outcome.status} ({len(outcome.runs)} runs, {outcome.seconds:.1f} s)" + (f" — {outcome.reason}" if outcome.reason else "")
    output.answer(document, lambda: [summary, *proposed])
    return 1 if outcome.status == "failure" else 0


@main.command("status")
@organization_option
@verb
def status_command(organization: str | None, output: Output) -> None:
    """Show what is stored, when jobs ran and run next, how far the sensors are, what waits, how fresh everything is, and what is wrong."""
    from learning_pipelines.defs.serve import status

    document = status(load_settings(), organization)

    def lines() -> list[str]:
        tables = [f"  {name:28} {count:>10}" for name, count in document["counts"].items() if count]
        jobs = [f"  {job['name']:28} last {job['last_run'] or 'never'} {job['last_status'] or ''}  next {job['next_run'] or '–'}" for job in document["jobs"]]
        sensors = [f"  {sensor['name']:28} lag {sensor['lag_rows']}  last tick {sensor['last_tick'] or 'never'}" for sensor in document["sensors"]]
        problems = [f"  {problem}" for problem in document["problems"]] or ["  none"]
        waits = document["queue"]
        queue = [
            f"  {'runs':28} {waits['runs_queued']:>10} queued, {waits['runs_running']} running",
            f"  {'examples to annotate':28} {waits['annotations']:>10}" + _oldest(waits["annotations_oldest_seconds"], waits["annotations"]),
            f"  {'outbox entries':28} {waits['outbox']:>10}" + _oldest(waits["outbox_oldest_seconds"], waits["outbox"]),
        ]
        states = Counter(one["state"] for one in document["freshness"])
        fresh = [f"  {', '.join(f'{states[name]} {name}' for name in ('fresh', 'late', 'stale', 'never') if states[name])}"]
        fresh += [f"  {one['asset']:28} {one['state']}, last {one['last']}" for one in document["freshness"] if one["state"] in ("late", "stale")]
        off = ["Learning switched off (`enable` brings back what served)", *(f"  {agent}" for agent in document["disabled"])] if document["disabled"] else []
        return ["Rows", *(tables or ["  none"]), "Jobs", *jobs, "Sensors", *sensors, "Waiting", *queue, "Freshness", *fresh, *off, "Problems", *problems]

    output.answer(document, lines)


def _oldest(seconds: int, count: int) -> str:
    """How long the oldest of what waits has waited."""
    return f", the oldest for {seconds / 3600:.1f} h" if count else ""


@main.command("report")
@click.option("--week", metavar="YYYY-Www", help="The week (default: the latest closed one).")
@organization_option
@verb
def report_command(week: str | None, organization: str | None, output: Output) -> None:
    """Show the numbers of a week."""
    from learning_pipelines.reports.markdown import week_markdown
    from learning_pipelines.reports.week import report_for
    from learning_pipelines.storage.installation import ready_store
    from learning_pipelines.storage.tenants import known_organization

    store = ready_store(load_settings())
    numbers = report_for(store, known_organization(store, organization), week)
    output.answer(numbers, lambda: [week_markdown(numbers)])


main.add_command(celery_worker_command)
main.add_command(keys)
main.add_command(experiments)
main.add_command(experts)
main.add_command(corrections)
main.add_command(conflicts)
main.add_command(datasets_command)
main.add_command(archive_command)
main.add_command(export_command)
main.add_command(evaluate)
main.add_command(search_command)
main.add_command(playbooks_command)
main.add_command(prune_command)
main.add_command(backup_command)
main.add_command(restore_command)
main.add_command(erase_command)
main.add_command(lineage)
for command in PROMPT_COMMANDS:
    main.add_command(command)
