"""Resources of the code location.

Belongs here: how runs get at settings and database. Not here: assets.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from learning_pipelines.defs.traced import run_span
from learning_pipelines.storage.store import Store


class StoreResource(dg.ConfigurableResource[Store]):
    """Hands runs a plain Store; settings come from the environment, connections open at use."""

    def create_resource(self, context: dg.InitResourceContext) -> Store:
        return Store()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Store]:
        store = self.create_resource(context)
        with run_span(store.settings, context.run):
            yield store


@dg.definitions
def defs() -> dg.Definitions:
    return dg.Definitions(resources={"store": StoreResource()})
