"""The outbox through both clients: pages, limits, results and errors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import grpc
import pytest

import memplane
from memplane import AsyncClient, Client, Kind, OutboxOperation, OutboxResult, Ref
from memplane.v1 import memory_pb2

from .conftest import FakeGateway, rich_status

IDS = ("semantic-1", "semantic-2", "semantic-3")


def test_a_listing_walks_all_pages(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        entries = client.list_outbox()
    assert tuple(entry.id for entry in entries) == IDS
    first, _, damaged = entries
    assert (first.tenant, first.ref) == ("default", Ref(Kind.SEMANTIC, (), "1"))
    assert (first.operation, first.dead, first.error) == (OutboxOperation.PUT, False, None)
    assert first.spool_time is None
    assert (damaged.ref, damaged.operation) == (None, OutboxOperation.UNKNOWN)
    assert (damaged.dead, damaged.size_bytes) == (True, 9)
    assert isinstance(damaged.error, memplane.DataLoss)
    assert damaged.error.message == "damaged"
    assert [request.page_token for request in gateway.requests] == ["", "semantic-2"]
    assert [request.page_size for request in gateway.requests] == [1000, 1000]
    assert not any(request.dead or request.kind for request in gateway.requests)


async def test_a_listing_ends_where_it_is_told(gateway: FakeGateway) -> None:
    async with AsyncClient(gateway.target) as client:
        assert await client.list_outbox(limit=0) == ()
        assert gateway.requests == []
        assert len(await client.list_outbox("episodic", dead=True, limit=2)) == 2
        (request,) = gateway.requests
        assert (request.kind, request.dead) == (memory_pb2.KIND_EPISODIC, True)
        assert request.page_size == 2
        gateway.requests.clear()
        assert len(await client.list_outbox(Kind.SEMANTIC, limit=3)) == 3
        assert [request.page_size for request in gateway.requests] == [3, 1]
        gateway.requests.clear()
        assert len(await client.list_outbox(limit=5000)) == 3
        assert [request.page_size for request in gateway.requests] == [1000, 1000]


async def test_what_becomes_of_entries(gateway: FakeGateway) -> None:
    async with AsyncClient(gateway.target) as client:
        calls = (client.retry_outbox, client.drop_outbox)
        results = [await call(iter(IDS[:2])) for call in calls]
    with Client(gateway.target) as sync:
        results += [call(list(IDS[:2])) for call in (sync.retry_outbox, sync.drop_outbox)]
    for done, refused in results:
        assert done == OutboxResult("semantic-1")
        assert done.ok
        assert (refused.id, refused.ok) == ("semantic-2", False)
        assert isinstance(refused.error, memplane.NotFound)
    assert [list(request.ids) for request in gateway.requests] == [list(IDS[:2])] * 4
    names = [type(request).__name__ for request in gateway.requests]
    assert names == ["RetryOutboxEntriesRequest", "DropOutboxEntriesRequest"] * 2


async def test_a_call_that_fails_is_raised(gateway: FakeGateway) -> None:
    status = rich_status(8, "OUTBOX_FULL", metadata={"limit_bytes": "1048576"})
    async with AsyncClient(gateway.target) as client:
        for call in (client.list_outbox(), client.retry_outbox(IDS), client.drop_outbox(IDS)):
            gateway.fail_richly(grpc.StatusCode.RESOURCE_EXHAUSTED, status)
            with pytest.raises(memplane.ResourceExhausted) as caught:
                await call
            assert caught.value.reason == "OUTBOX_FULL"
            assert caught.value.metadata == {"limit_bytes": "1048576"}


def test_what_cannot_be_meant_is_not_sent(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        anything: Any = client
        ids = ("ids", "semantic-1"), ("ids", 7), ("ids[1]", ["semantic-1", 7])
        wrong: list[tuple[str, Callable[[], object]]] = [
            ("limit", functools.partial(anything.list_outbox, limit=-1)),
            ("limit", functools.partial(anything.list_outbox, limit="5")),
            ("dead", functools.partial(anything.list_outbox, dead="yes")),
            ("kind", functools.partial(anything.list_outbox, "sematic")),
            # A string would be taken letter by letter.
            *((field, functools.partial(anything.retry_outbox, given)) for field, given in ids),
            *((field, functools.partial(anything.drop_outbox, given)) for field, given in ids),
        ]
        for field, call in wrong:
            with pytest.raises(memplane.InvalidArgument) as caught:
                call()
            assert caught.value.violations[0].field == field
    assert gateway.requests == []
