"""Resources of the code location.

Belongs here: how runs get at settings and database. Not here: assets.
"""

import dagster as dg

from learning_pipelines.storage.store import Store


class StoreResource(dg.ConfigurableResource[Store]):
    """Hands runs a plain Store; settings come from the environment, connections open at use."""

    def create_resource(self, context: dg.InitResourceContext) -> Store:
        return Store()


@dg.definitions
def defs() -> dg.Definitions:
    return dg.Definitions(resources={"store": StoreResource()})
