"""`learning-pipelines prune`: the weekly clean-up by hand.

Belongs here: this verb. Not here: what it does (defs/housekeeping.py).
"""

from __future__ import annotations

import click

from learning_pipelines.cli_output import Output, verb
from learning_pipelines.settings import load_settings


@click.command("prune")
@click.option("--dry-run", is_flag=True, help="Only say what would be touched.")
@verb
def prune_command(dry_run: bool, output: Output) -> int:
    """Archive executions and feedback beyond retention, and delete what nobody needs any more, of all organizations."""
    from learning_pipelines.defs.housekeeping import tidy, would_tidy
    from learning_pipelines.storage.installation import ready_store

    done = (would_tidy if dry_run else tidy)(ready_store(load_settings()))

    def lines() -> list[str]:
        what = "Would touch" if dry_run else "Touched"
        tables = [f"  {name:28} {count:>10}" for name, count in done.touched.items() if count] or ["  nothing"]
        months = [f"{'Would archive' if dry_run else 'Archived'}: {', '.join(done.archived.months)}"] if done.archived.months else []
        return [what, *tables, *months, *([f"Not archived: {done.archived.waiting}."] if done.archived.waiting else []), *done.wrong]

    output.answer({**done.as_json(), "dry_run": dry_run}, lines)
    return 1 if done.wrong else 0
