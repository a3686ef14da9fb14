"""`learning-pipelines erase`: every trace of a person away, with a certificate.

Belongs here: this verb. Not here: what it does (feedback/erasure/).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from learning_pipelines.cli_output import Output, organization_option, say, verb
from learning_pipelines.cli_store import opened
from learning_pipelines.errors import BadInput, LearningError


@click.command("erase")
@click.option("--user", metavar="USER", help="Whom, as your application calls them, or by uuid.")
@click.option("--certificate", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write the certificate to this new file, too.")
@click.option("--check", type=click.Path(path_type=Path), metavar="FILE", help="Erase nobody: check that the certificate in FILE is as it was issued.")
@organization_option
@verb
def erase_command(user: str | None, certificate: Path | None, check: Path | None, organization: str | None, output: Output) -> int:
    """Remove or tombstone every trace of a person, and print the certificate. Safe to repeat; works beside `up` and without it."""
    if check is not None:
        if user is not None or certificate is not None:
            raise BadInput("--check goes alone.", "Erase first, then check the certificate that came of it.")
        return _check(check, output)
    if user is None:
        raise BadInput("Nobody is named.", "Say whom: `learning-pipelines erase --user USER`.")
    if certificate is not None and certificate.exists():
        raise BadInput(f"{certificate} exists already.", "Name a new file. Nobody was erased.")
    document = _erase(user, organization)
    output.answer(document, lambda: _lines(document))
    if certificate is not None:
        _write(certificate, document)
    return 1 if document["remaining"] else 0


def _erase(user: str, organization: str | None) -> dict[str, Any]:
    from learning_pipelines.feedback.erasure.engine import erase
    from learning_pipelines.feedback.erasure.requesting import request

    with opened(organization) as at:
        erasure = request(at.connection, at.tenant, user, actor="operator", requested_by="operator")
    if erasure is None:
        raise BadInput(f"{at.slug} has no user {user!r}.", "Name them as your application does, or by uuid; --organization names another organization.")
    return erase(at.store, erasure, say)


def _check(path: Path, output: Output) -> int:
    from learning_pipelines.feedback.erasure.certificate import check

    document = check(path)
    said = f"{path} is as it was issued: erasure {document['certificate_id']} of {document['organization']}, checksum {document['checksum']}."
    output.answer({"ok": True, "certificate_id": document["certificate_id"], "checksum": document["checksum"]}, lambda: [said])
    return 0


def _write(path: Path, document: dict[str, Any]) -> None:
    from learning_pipelines.feedback.erasure.certificate import as_bytes

    try:
        path.write_bytes(as_bytes(document))
    except OSError as error:
        kept = f"erasures/{document['organization']}/{document['certificate_id']}.json"
        raise LearningError(
            f"The person is erased, but the certificate could not be written to {path}: {error.strerror or error}.",
            f"It is in the artifact store, as {kept}: copy it from there.",
        ) from error


def _lines(document: dict[str, Any]) -> list[str]:
    files = document["files"]
    return [
        f"Erased. Certificate {document['certificate_id']}, completed {document['completed_at']}.",
        *([f"  {table:28} {count:>10}" for table, count in document["touched"].items()] or ["  nothing was stored of them"]),
        *(f"  archived file written anew: {path}" for path in files["rewritten"]),
        *(f"  file deleted: {path}" for path in files["deleted"]),
        *(f"  dataset {one['agent']} {one['old']}: {_successor(one)}" for one in document["datasets"]),
        *(f"  prompt {one['agent']} {one['old']}: {_successor(one)}" for one in document["prompts"]),
        *(f"  is trained again at its next run: {one['kind']} {one['version']} of {one['agent']}" for one in document["retrain"]),
        *(f"  kept: {one}" for one in document["kept"]),
        *(f"  REMAINING: {one}" for one in document["remaining"]),
        f"  checksum {document['checksum']}",
    ]


def _successor(one: dict[str, Any]) -> str:
    return f"{one['successor']} without them" if one.get("successor") is not None else "nothing was left for a successor"
