"""Weekly reports without an erased person: they hold numbers, and names of agents and experiments; what names or quotes a person is taken out.

Belongs here: which reports are written anew, stored and as files. Not here: what a report says (week.py), SQL (storage/reports.py).
"""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from learning_pipelines.feedback.erasure.words import Words
from learning_pipelines.reports.files import write_report
from learning_pipelines.settings import Settings
from learning_pipelines.storage import reports
from learning_pipelines.storage.database import Connection


def erase_reports(connection: Connection, settings: Settings, organization: str, organization_id: UUID, words: Words, rows: Counter[str]) -> None:
    """Writes every report that names or quotes the person anew without it, in the database and as files. Part of the caller's transaction."""
    for week, numbers in reports.of_organization(connection, organization_id):
        if words.holds(numbers):
            left = words.taken_from(numbers)
            reports.store(connection, organization, week, left)
            rows["learning_reports"] += 1
            write_report(settings.artifacts, left, settings.page_link)
