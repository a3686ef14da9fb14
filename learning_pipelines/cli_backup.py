"""`learning-pipelines backup` and `restore`: an installation into a folder, and back into an empty one.

Belongs here: these verbs. Not here: what they do (defs/backup.py, defs/restore.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from learning_pipelines.cli_output import Output, say, verb
from learning_pipelines.settings import load_settings

if TYPE_CHECKING:
    from learning_pipelines.defs.backup_files import Manifest


@click.command("backup")
@click.argument("path", type=click.Path(path_type=Path))
@verb
def backup_command(path: Path, output: Output) -> None:
    """Copy rows, Dagster's history and artifacts into the new folder PATH, all of one moment, also while everything runs."""
    from learning_pipelines.defs.backup import back_up

    _answer("Backed up", path, back_up(load_settings(), path, say), output)


@click.command("restore")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--erasures", type=click.Path(path_type=Path), metavar="FOLDER", help="Certificates of erasures: whom they are about is erased again.")
@verb
def restore_command(path: Path, erasures: Path | None, output: Output) -> int:
    """Bring the backup in the folder PATH into an installation that holds nothing yet, and erase again who was erased after it was taken."""
    from learning_pipelines.defs.restore import restore

    manifest, wrong, replayed = restore(load_settings(), path, say, erasures)
    for one in wrong:
        say(f"FAIL  {one.name} — {one.advice}")
    _answer("Restored", path, manifest, output, {"erased_again": replayed.erased, "erased_and_absent": replayed.absent})
    return 1 if wrong else 0


def _answer(done: str, path: Path, manifest: Manifest, output: Output, erased: dict[str, list[str]] | None = None) -> None:
    document = {
        "touched": manifest.rows, "path": str(path), "bytes": manifest.bytes, "artifacts": len(manifest.artifacts), "datasets": len(manifest.datasets),
        "made_at": manifest.made_at, "schema": manifest.schema, "project": manifest.project,
        **(erased or {}),
    }  # fmt: skip
    rows = [f"  {name:28} {count:>10}" for name, count in manifest.rows.items() if count]
    summary = f"{done}: {sum(manifest.rows.values())} rows, {len(manifest.artifacts)} artifacts, {manifest.bytes / 1e6:.1f} MB ({path})."
    again = [f"  erased again: certificate {one}" for one in (erased or {}).get("erased_again", [])]
    output.answer(document, lambda: [summary, *rows, *again])
