"""Erasing a person through the client: what is asked, what comes back, and that records which still wait are not sent behind it.

Belongs here: `erase_user` and `erasure` of both clients. Not here: what is erased (api/test_erasures.py, feedback/).
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from learning_pipelines.client import AsyncClient, Client, Erasure, ErasureUnavailable, NotDelivered
from learning_pipelines_tests.client.conftest import KEY, MakeClient, quick
from learning_pipelines_tests.client.service import Fault, Service

ID = "5f2d8e1c-0f5b-4d0e-9a53-0c8f3f0a7b11"
CERTIFICATE: dict[str, Any] = {"certificate_id": ID, "touched": {"users": 1}, "remaining": [], "checksum": "3c" * 32}
UNDER_WAY: dict[str, Any] = {"erasure_id": ID, "state": "erasing", "status_url": f"/api/learning/erasures/{ID}"}


def test_a_person_is_erased_and_the_certificate_comes_back(client: Client, service: Service) -> None:
    service.erasures = {"ada/1": (200, CERTIFICATE)}
    found = client.erase_user("ada/1")
    assert (bool(found), found.id, found.state, found.certificate, found.reason) == (True, ID, "done", CERTIFICATE, None)
    (asked,) = service.asked
    assert (asked.method, asked.path, asked.headers["authorization"]) == ("DELETE", "/api/learning/users/ada%2F1", f"Bearer {KEY}")


def test_one_that_takes_longer_is_asked_for_until_it_is_done(client: Client, service: Service) -> None:
    service.erasures = {"ada": (202, UNDER_WAY), ID: (200, {**UNDER_WAY, "certificate": None})}
    begun = client.erase_user("ada")
    assert not begun and (begun.id, begun.state) == (ID, "erasing") and not client.erasure(ID)
    service.erasures[ID] = (200, {**UNDER_WAY, "state": "done", "certificate": CERTIFICATE})
    assert client.erasure(ID) == Erasure(ID, "done", CERTIFICATE)


def test_the_client_for_asyncio_erases_too(service: Service, queue_dir: Any) -> None:
    service.erasures = {"ada": (202, UNDER_WAY), ID: (200, {**UNDER_WAY, "state": "done", "certificate": CERTIFICATE})}

    async def erase() -> Erasure:
        async with AsyncClient(service.url, KEY, queue_dir=queue_dir, options=quick()) as client:
            return await client.erasure(str((await client.erase_user("ada")).id))

    assert asyncio.run(erase()).certificate == CERTIFICATE


def test_what_waits_is_delivered_before_anybody_is_erased(client: Client, service: Service) -> None:
    service.erasures = {"ada": (200, CERTIFICATE)}
    client.log_execution(agent="desk", input="Where is it?", output="On its way.", user="ada")
    assert client.erase_user("ada")
    assert [one.method for one in service.asked] == ["POST", "DELETE"] and client.stats().queued == 0


def test_while_records_cannot_be_delivered_nobody_is_erased(make_client: MakeClient, service: Service) -> None:
    service.erasures = {"ada": (200, CERTIFICATE)}
    service.fault = lambda asked: Fault(503) if asked.method == "POST" else None
    client = make_client(request_timeout=0.3)
    client.log_execution(agent="desk", input="Where is it?", output="On its way.", user="ada")
    found = client.erase_user("ada")
    assert not found and found.id is None and "nobody was erased" in str(found.reason)
    assert all(one.method == "POST" for one in service.asked) and client.stats().errors["NotDelivered"] == 1
    client._core.reporter.raise_errors = True
    with pytest.raises(NotDelivered):
        client.erase_user("ada")


@pytest.mark.parametrize("fault", [None, Fault(403, body={"title": "Forbidden"}), Fault(200, body={"no": "certificate"}), Fault(drop="before")])
def test_without_an_answer_the_host_goes_on_and_knows_that_nobody_was_erased(make_client: MakeClient, service: Service, fault: Fault | None) -> None:
    service.fault = lambda asked: fault
    client = make_client()
    for found in (client.erase_user("nobody"), client.erasure(ID)):
        assert (bool(found), found.id, found.state) == (False, None, None) and "stats()" in str(found.reason)
    assert client.stats().errors == {"ErasureUnavailable": 2}
    with pytest.raises(ErasureUnavailable):
        make_client(raise_errors=True).erase_user("nobody")
