"""Executions carry the experiments that their unit takes part in: the prompt's, and those of search and next-action beside it.

Belongs here: what the client attaches and refreshes. Not here: who gets which variant (the service's).
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from learning_pipelines.client import AsyncClient, Client, Found, Hit, Part, SearchUnavailable
from learning_pipelines_tests.client.conftest import KEY, MakeClient, quick
from learning_pipelines_tests.client.service import Service

DONE = 20.0
HIT = {"chunk_id": "c1", "document_id": "d1", "score": 0.7, "text": "VAT is due.", "heading": "VAT", "explanation": {}}
SUGGESTED: dict[str, Any] = {"agent_id": "desk", "policy": 2, "abstained": False, "reason": None, "hint": None, "suggestions": []}


def of(experiment: str | None, variant: str | None = None) -> dict[str, Any]:
    return {"experiment": experiment, "variant": variant}


def prompt(experiment: str | None = None, variant: str | None = None, version: int = 2) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": f"Version {version}."}], "version": str(version), **of(experiment, variant)}


def context(client: Client, service: Service, **fields: Any) -> Any:
    name = client.log_execution(agent="desk", input="q", output="a", **fields)
    assert client.flush(DONE)
    return service.rows["executions"][name].get("context")


def test_an_execution_of_a_user_carries_the_experiment_that_the_user_s_prompt_was_of(client: Client, service: Service) -> None:
    """The prompt was asked for with unit, the execution names the same person as user: without the unit it would count for nobody."""
    service.prompts["desk"] = prompt("e1", "treatment")
    client.prompt("desk", unit="ann")
    assert context(client, service, user="ann") == {"experiment": "e1", "variant": "treatment", "unit": "ann"}
    assert context(client, service, unit="ann") == {"experiment": "e1", "variant": "treatment", "unit": "ann"}
    assert context(client, service, user="bob") is None


def test_several_experiments_at_once_are_all_carried(client: Client, service: Service) -> None:
    service.prompts["desk"] = prompt("e1", "control")
    service.found = {"results": [HIT], "index": 3, "hint": None, **of("e2", "treatment")}
    service.suggested = {**SUGGESTED, **of("e3", "control")}
    client.prompt("desk", unit="ann")
    found = client.search("vat", agent="desk", unit="ann")
    client.next_action("desk", "file it", unit="ann")
    assert found == Found((Hit("c1", "d1", 0.7, "VAT is due.", "VAT"),), 3, None, Part("e2", "treatment", "ann"))
    assert found.retrieved == [{"chunk_id": "c1", "document_id": "d1", "rank": 1, "score": 0.7}]
    both = [{"experiment": "e2", "variant": "treatment", "unit": "ann"}, {"experiment": "e3", "variant": "control", "unit": "ann"}]
    assert context(client, service, unit="ann") == {"experiment": "e1", "variant": "control", "unit": "ann", "experiments": both}
    assert context(client, service, session_id="bob") is None
    assert {one.query.get("unit") for one in service.asked if one.method == "GET"} == {"ann"}


def test_an_experiment_on_search_alone_is_carried_without_a_prompt(client: Client, service: Service) -> None:
    service.found = {"results": [], "index": 3, "hint": "nothing", **of("e2", "treatment")}
    assert not client.search("vat", agent="desk", unit="s1")
    assert context(client, service, session_id="s1") == {"experiments": [{"experiment": "e2", "variant": "treatment", "unit": "s1"}]}
    service.found = {"results": [], "index": 3, "hint": "nothing", **of(None)}
    client.search("vat", agent="desk", unit="s1")
    assert context(client, service, session_id="s1") is None  # it has ended


def test_an_old_prompt_of_an_experiment_is_fetched_anew_before_it_is_used(make_client: MakeClient, service: Service) -> None:
    client = make_client(prompt_ttl=0.0, experiment_most=0.0)
    service.prompts["desk"] = prompt("e1", "treatment")
    assert client.prompt("desk", unit="ann").variant == "treatment"
    service.prompts["desk"] = prompt(version=1)
    ended = client.prompt("desk", unit="ann")
    assert (ended.source, ended.version, ended.experiment, ended.unit) == ("service", "1", None, None)
    assert context(client, service, unit="ann") == {"unit": "ann"}


def test_while_the_service_is_away_an_old_prompt_of_an_experiment_serves(make_client: MakeClient, service: Service) -> None:
    client = make_client(prompt_ttl=0.0, experiment_most=0.0)
    service.prompts["desk"] = prompt("e1", "treatment")
    client.prompt("desk", unit="ann")
    service.stop()
    again = [client.prompt("desk", unit="ann") for _ in range(3)]
    assert {(one.source, one.variant, one.unit) for one in again} == {("stale", "treatment", "ann")}


def test_a_search_that_is_not_answered_finds_nothing_and_raises_only_on_request(make_client: MakeClient, service: Service) -> None:
    client = make_client()
    nothing = client.search("vat", agent="desk")
    assert (bool(nothing), nothing.index) == (False, None) and "last_error" in str(nothing.reason)
    assert client.stats().errors == {"SearchUnavailable": 1}
    with Client(service.url, KEY, queue_dir=client.stats().queue_folder, options=quick(), raise_errors=True) as strict, pytest.raises(SearchUnavailable):
        strict.search("vat", agent="desk")


def test_the_client_for_asyncio_searches_too(service: Service, queue_dir: Any) -> None:
    service.found = {"results": [HIT], "index": 0, "hint": None, **of(None)}

    async def find() -> Found:
        async with AsyncClient(service.url, KEY, queue_dir=queue_dir, options=quick()) as client:
            return await client.search("vat", agent="desk", k=1)

    assert asyncio.run(find()).hits[0].chunk_id == "c1"
