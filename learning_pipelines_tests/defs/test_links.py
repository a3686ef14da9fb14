"""Metadata leads to the pages: the addresses, and that the assets people act on have one.

Belongs here: links from Dagster. Not here: links to Dagster (browser/test_executions.py), what pages do with an address (browser/).
"""

from __future__ import annotations

from uuid import UUID

import dagster as dg

from learning_pipelines.defs.links import Pages
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, metadata_of

ID = UUID("5f2d8e1c-0f5b-4d0e-9a53-0c8f3f0a7b11")
PAGES = Pages("https://learning.example")


def test_addresses_say_what_is_meant() -> None:
    found = [
        PAGES.proposal(ID), PAGES.version("desk.de", 3), PAGES.training_run(ID), PAGES.experiments(), PAGES.queue("desk"), PAGES.executions(),
        PAGES.executions("desk"), PAGES.dashboard(),
    ]  # fmt: skip
    assert [one.url.removeprefix("https://learning.example") for one in found if one.url is not None] == [
        f"/training?proposal={ID}", "/training?agent=desk.de&version=3", f"/training?run={ID}", "/training?tab=experiments", "/annotate?agent=desk",
        "/executions", "/executions?agent=desk", "/",
    ]  # fmt: skip
    assert PAGES.experiment(ID) == f"https://learning.example/training?experiment={ID}"


def test_what_people_write_leads_to_where_they_read_it(location: dg.Definitions, store: Store) -> None:
    specs = {spec.key.to_user_string(): spec.metadata for spec in location.resolve_all_asset_specs()}
    pages = {name: specs[name]["page"].value for name in ("agent_executions", "agent_feedback", "expert_annotations")}
    assert [page.rsplit("/", 1)[1] for page in pages.values()] == ["executions", "executions?with_feedback=true", "annotate"]


def test_examples_of_an_agent_lead_to_its_queue(desk: None, run_job: Materialize, load: Load) -> None:
    result = run_job("examples_refresh", "default/desk")
    assert metadata_of(result, "learning_examples")["page"] == "http://127.0.0.1:8000/annotate?agent=desk"
