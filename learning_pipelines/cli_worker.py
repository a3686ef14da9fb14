"""`learning-pipelines celery-worker`: executing runs of an installation that hands them out.

Belongs here: what is typed. Not here: the worker (defs/celery_worker.py).
"""

from __future__ import annotations

import click

from learning_pipelines.cli_output import Output, say, verb
from learning_pipelines.settings import load_settings


@click.command("celery-worker")
@click.option("--concurrency", type=click.IntRange(1), default=1, show_default=True, help="Runs at once.")
@click.option("--name", metavar="NAME", default="learning@%h", show_default=True, help="What runs say they were executed by; %h is this machine.")
@verb
def celery_worker_command(concurrency: int, name: str, output: Output) -> None:
    """Execute runs on this machine until Ctrl-C (needs LEARNING_CELERY_BROKER and the extra [scale]); start as many as you like."""
    from learning_pipelines.defs.celery_worker import require_shared, work

    settings = load_settings()
    require_shared(settings)
    say(f"Executing runs, {concurrency} at once; Ctrl-C ends it after those at work.")
    work(settings, name, concurrency)
