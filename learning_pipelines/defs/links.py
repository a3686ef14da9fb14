"""Links from metadata to the pages behind the service's login.

Belongs here: addresses of pages as metadata. Not here: what pages show (web/), addresses in Dagster (web/static/ui/dagster.js), the link of a
report (reports_metadata.py).
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import dagster as dg

from learning_pipelines.storage.store import Store


@dataclass(frozen=True)
class Pages:
    """`base`: address of the service, without a slash at its end."""

    base: str

    def proposal(self, proposal: UUID) -> dg.UrlMetadataValue:
        """Where it is reviewed."""
        return self._page("training", proposal=proposal)

    def version(self, agent: str, version: int) -> dg.UrlMetadataValue:
        """The text of a prompt version."""
        return self._page("training", agent=agent, version=version)

    def training_run(self, run: UUID) -> dg.UrlMetadataValue:
        """What a run tried and found."""
        return self._page("training", run=run)

    def experiments(self) -> dg.UrlMetadataValue:
        return self._page("training", tab="experiments")

    def experiment(self, experiment: UUID) -> str:
        """Its address, for a link in a text."""
        return f"{self.base}/training?{urlencode({'experiment': str(experiment)})}"

    def queue(self, agent: str) -> dg.UrlMetadataValue:
        """Examples of an agent that wait for experts."""
        return self._page("annotate", agent=agent)

    def executions(self, agent: str | None = None) -> dg.UrlMetadataValue:
        return self._page("executions", agent=agent)

    def dashboard(self) -> dg.UrlMetadataValue:
        return self._page("")

    def _page(self, name: str, **chosen: object) -> dg.UrlMetadataValue:
        query = urlencode({key: str(value) for key, value in chosen.items() if value is not None})
        return dg.MetadataValue.url(f"{self.base}/{name}{'?' if query else ''}{query}")


def proposal_metadata(version: int, proposal: UUID, against: int, pages: Pages) -> dict[str, Any]:
    """What is proposed, in the place of what, and where it is reviewed."""
    return {"proposal": str(proposal), "version": version, "incumbent_version": against, "review": pages.proposal(proposal)}


def pages_of(store: Store) -> Pages:
    """The pages of the installation that a store belongs to."""
    return Pages(store.settings.page_link)
