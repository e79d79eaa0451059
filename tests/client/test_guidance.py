"""What newcomers get wrong, what they may leave out, and replies that would be too large."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

import memplane
from memplane import AsyncClient, Client, Put, _replies
from memplane.v1 import search_pb2

from .conftest import FakeGateway, rich_status


def test_what_a_newcomer_gets_wrong(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        ada: Any = client.scope("ada")
        ada.set("tone", "short")
        for call in (ada.get, ada.update, ada.delete, ada.put):
            with pytest.raises(memplane.InvalidArgument, match="ref: give a kind and a key"):
                call("tone")
        nothing: list[dict[str, Any]] = [{}, {"attributes": {}}, {"pinned": True}, {"key": "k"}]
        for empty in nothing:
            with pytest.raises(memplane.InvalidArgument, match="text: is empty") as caught:
                ada.remember("", **empty)
            assert caught.value.violations[0].field == "text"
        with pytest.raises(memplane.InvalidArgument, match="text: must be a str, not NoneType"):
            ada.remember(None)
        assert len(gateway.requests) == 1
        for enough in ({"attributes": {"a": 1}}, {"value": None}, {"vector": [1.0]}):
            assert ada.remember("", **enough).ok
        assert ada.put("semantic", "empty").ok
    with pytest.raises(memplane.InvalidArgument, match="ports are 0 to 65535"):
        Client("localhost:99999")


async def test_list_and_count_are_about_facts_unless_told_otherwise(gateway: FakeGateway) -> None:
    async with AsyncClient(gateway.target) as client:
        await client.remember("a fact", key="fact")
        await client.record("an event", key="event")
        assert [memory.key async for memory in client.list()] == ["fact"]
        assert await client.count() == 1
    with Client(gateway.target) as sync:
        assert [memory.key for memory in sync.list()] == ["fact"]
        assert sync.count() == 1


def test_a_reply_that_would_be_too_large_is_asked_for_in_halves(gateway: FakeGateway) -> None:
    too_large = rich_status(8, "REPLY_TOO_LARGE", metadata={"limit_bytes": "16777216"})
    with Client(gateway.target) as client:
        refs = [client.ref("semantic", f"k{number}") for number in range(5)]
        client.put_many(Put(ref, text=ref.key) for ref in refs[:4])
        gateway.requests.clear()
        gateway.fail_richly(grpc.StatusCode.RESOURCE_EXHAUSTED, too_large)
        found = client.get_many(refs)
        assert [each and each.text for each in found] == ["k0", "k1", "k2", "k3", None]
        assert [len(request.refs) for request in gateway.requests] == [5, 2, 3]
        gateway.fail_richly(grpc.StatusCode.RESOURCE_EXHAUSTED, too_large)
        with pytest.raises(memplane.ResourceExhausted) as caught:
            client.get_many(refs[:1])
        assert caught.value.reason == "REPLY_TOO_LARGE"


def test_a_search_says_that_hits_were_left_out() -> None:
    assert _replies.search_result(search_pb2.SearchResult(truncated=True)).truncated
    assert not _replies.search_result(search_pb2.SearchResult()).truncated
