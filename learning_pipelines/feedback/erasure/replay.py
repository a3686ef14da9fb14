"""Erasures done again in a restored installation, whose backup was taken before they were.

Belongs here: which certificates are not known there, whom they are about, erasing again. Not here: reading a backup (defs/restore.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from learning_pipelines.errors import BadInput
from learning_pipelines.examples.export_files import located
from learning_pipelines.feedback.erasure import certificate
from learning_pipelines.feedback.erasure.engine import erase
from learning_pipelines.feedback.identity import fingerprint
from learning_pipelines.storage import audit, erasure_requests
from learning_pipelines.storage.store import Store

Certificates = dict[UUID, dict[str, Any]]


@dataclass
class Replayed:
    """`erased`: certificates of persons who were in the backup; `absent`: of persons who were not."""

    erased: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def in_folder(folder: Path) -> Certificates:
    """Every certificate below a folder. Raises BadInput for a folder that is none, and for a file that is not as it was issued."""
    folder = folder.expanduser()
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder of certificates.", "Name a folder with copies of erasures/ of the artifact store.")
    return _by_id(certificate.check(path) for path in sorted(folder.rglob("*.json")))


def in_store(artifacts: str) -> Certificates:
    """Every certificate that lies in an artifact store. Raises BadInput for one that is not as it was issued."""
    system, root = located(f"{artifacts.rstrip('/')}/{certificate.FOLDER}")
    try:
        found = sorted(path for path in system.find(root) if path.endswith(".json"))
    except FileNotFoundError:
        return {}
    return _by_id(certificate.parse(system.cat_file(path), path) for path in found)


def _by_id(documents: Iterable[dict[str, Any]]) -> Certificates:
    return {UUID(document["certificate_id"]): document for document in documents}


def replay(store: Store, certificates: Certificates, say: Callable[[str], None] = lambda text: None) -> Replayed:
    """Erases again, under the same certificate id, whom the certificates are about that the database does not know; then whatever was under way.

    May be repeated. Of persons who are not there only the certificate is kept: their old tokens stay refused.
    """
    done = Replayed()
    with store.pipeline() as connection:
        known = erasure_requests.known(connection)
    for identity, document in sorted(certificates.items(), key=lambda item: str(item[1]["requested_at"])):
        if identity not in known and not _ask_again(store, identity, document):
            certificate.write(store.settings.artifacts, document)
            done.absent.append(str(identity))
    # Asked for all of them first: whatever keeps one from being done, the sensor requested_erasures goes on with the others.
    with store.pipeline() as connection:
        waiting = erasure_requests.open_requests(connection)
    for one in waiting:
        say(f"Erasing again whom certificate {one.id} is about …")
        erase(store, one.id, say)
        done.erased.append(str(one.id))
    return done


def _ask_again(store: Store, identity: UUID, document: dict[str, Any]) -> bool:
    """Requests it for whom it is about, in one transaction; False, with the certificate kept, if they are not there."""
    mark, asked_at = bytes.fromhex(document["person"]), dt.datetime.fromisoformat(document["requested_at"])
    with store.pipeline() as connection, connection.transaction():
        for organization, user, name in erasure_requests.matching_users(connection, document["organization"]):
            if fingerprint(organization, name) == mark:
                _, new = erasure_requests.request(connection, organization, user, name, mark, document["requested_by"], identity)
                if not new:
                    break  # two certificates about one name: somebody came back and was erased again, later than the backup was taken
                audit.record(connection, organization, actor="operator", action="replayed", kind="erasure", subject=str(identity))
                return True
        erasure_requests.keep(connection, document["organization"], identity, mark, document, asked_at)
        return False
