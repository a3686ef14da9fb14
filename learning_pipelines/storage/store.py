"""What the pipelines work with: the settings and the database, opened when first used.

Belongs here: handing out connections of the role learning_pipeline. Not here: queries.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from learning_pipelines.settings import Settings, load_settings
from learning_pipelines.storage.database import Connection, Database, database_errors, open_database


class Store:
    """Settings and database of one installation. Nothing is connected before `pipeline()` or `owner()` is used."""

    def __init__(self, settings: Settings | None = None, database: Database | None = None) -> None:
        self.settings = settings or load_settings()
        if database is not None:
            self.database = database

    @cached_property
    def database(self) -> Database:
        return open_database(self.settings)

    @contextmanager
    def pipeline(self) -> Iterator[Connection]:
        """A connection of the role learning_pipeline in autocommit; closed at the end. What the server refuses meanwhile is said in words."""
        with database_errors("working with it"), self.database.connect("pipeline") as connection:
            yield connection
