"""The certificate of an erasure: what was done, without a word of whom, and a checksum over it.

Belongs here: its content, its checksum, its file. Not here: what was done (the steps), the table (storage/erasure_requests.py).
"""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import orjson

from learning_pipelines.errors import BadInput
from learning_pipelines.examples.export_files import whole_file
from learning_pipelines.feedback.erasure.touched import Touched
from learning_pipelines.storage.erasure_requests import Erasure

FOLDER = "erasures"
"""Where certificates lie in the artifact store, below it a folder per organization."""


def checksum(document: dict[str, Any]) -> str:
    """SHA-256, in hexadecimal digits, of the canonical JSON (keys sorted, UTF-8, no spaces) of everything but `checksum`."""
    content = {name: value for name, value in document.items() if name != "checksum"}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def make(erasure: Erasure, touched: Touched, deleted: list[str], completed_at: dt.datetime) -> dict[str, Any]:
    """The certificate: counts, versions, file paths and reasons; neither the person's name nor their ids nor any of their words."""
    document = {
        "certificate_id": str(erasure.id),
        "organization": erasure.organization,
        "person": erasure.fingerprint.hex(),
        "requested_by": erasure.requested_by,
        "requested_at": _moment(erasure.requested_at),
        "completed_at": _moment(completed_at),
        "touched": {table: count for table, count in sorted(touched.rows.items()) if count},
        "files": {"rewritten": sorted(touched.archives), "deleted": sorted(deleted)},
        "datasets": touched.datasets,
        "prompts": touched.prompts,
        "retrain": touched.retrain,
        "kept": touched.kept,
        "remaining": touched.remaining,
    }
    document = orjson.loads(orjson.dumps(document, default=str))  # as it will be read: ids and times as text
    return {**document, "checksum": checksum(document)}


def path_of(document: dict[str, Any]) -> str:
    """Where a certificate lies, relative to the artifact store."""
    return f"{FOLDER}/{document['organization']}/{document['certificate_id']}.json"


def write(artifacts: str, document: dict[str, Any]) -> None:
    """Writes the certificate into the artifact store, wholly or not at all."""
    with whole_file(f"{artifacts.rstrip('/')}/{path_of(document)}", make_folders=True) as file:
        file.write(as_bytes(document))


def as_bytes(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def parse(raw: bytes, where: str) -> dict[str, Any]:
    """A certificate as it was issued. Raises BadInput naming what is wrong with it."""
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"{where} is not JSON: {error.msg}.", "Give the file that `erase --certificate` or the artifact store holds.") from None
    if not isinstance(document, dict) or not {"certificate_id", "organization", "person", "requested_at", "checksum"} <= document.keys():
        raise BadInput(f"{where} is not a certificate of an erasure.", "Give the file that `erase --certificate` or the artifact store holds.")
    if document["checksum"] != checksum(document):
        raise BadInput(
            f"{where} is not as it was issued: its checksum is {document['checksum']}, its content has {checksum(document)}.",
            "Use another copy: the artifact store holds one, and the table erasures.",
        )
    return document


def check(path: Path) -> dict[str, Any]:
    """Reads a certificate from a file and checks it. Raises BadInput."""
    try:
        return parse(path.read_bytes(), str(path))
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.", "Name the file of a certificate.") from error


def _moment(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds")
