"""Calls that the client makes several of: purges and lists of namespaces."""

from __future__ import annotations

import grpc
import pytest

import memplane
from memplane import Client, Durability, Kind, Put, attr

from .conftest import FakeGateway


def test_a_purge_goes_on_until_nothing_is_left(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        ada = client.scope("ada")
        ada.put_many(Put(ada.ref(Kind.SEMANTIC, name), text="t") for name in "abc")
        dry = ada.purge("semantic", dry_run=True)
        assert (dry.count, dry.dry_run, dry.filter) == (3, True, None)
        done = ada.purge("semantic", filter=attr("n") != 1, request_id="mine")
        assert (done.count, done.dry_run, done.durability) == (3, False, Durability.DISK)
        assert done.filter is not None
        assert (done.filter.scanned, done.filter.truncated) == (6, False)
        sent = gateway.requests[-3:]
        assert [each.request_id for each in sent] == ["mine", "mine.1", "mine.2"]
        assert [each.page_token for each in sent] == ["", "more", "more"]
        ada.put_many(Put(ada.ref(Kind.SEMANTIC, name), text="t") for name in "abc")
        gateway.faults.append(lambda _: None)
        gateway.fail(grpc.StatusCode.INTERNAL)
        with pytest.raises(memplane.Internal) as caught:
            ada.purge("semantic")
        assert caught.value.__notes__ == ["1 memories were deleted by the calls before this one"]


def test_namespaces_come_from_page_after_page(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        ada = client.scope("ada")
        found = ada.namespaces(
            "episodic", prefix=["*", "\\*", "\\\\*", "x*"], suffix=["*"], max_depth=2
        )
        assert list(found) == [("a",), ("b",)]
        (sent, again) = gateway.requests
        assert [each.label for each in sent.prefix] == ["ada", "", "*", "\\*", "x*"]
        assert [each.any for each in sent.prefix] == [False, True, False, False, False]
        assert sent.suffix[0].any
        assert sent.max_depth == 3
        assert again.page_token == "more"
        page = found.page()
        assert (len(page), list(page), page.incomplete) == (1, [("a",)], True)
        with pytest.raises(memplane.InvalidArgument):
            ada.namespaces(max_depth=0)


def test_statistics_by_kind(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        (figures,) = client.scope("ada").statistics("semantic", filter=attr("n") > 1).items()
        kind, found = figures
        assert (kind, found.count, found.importance_count) == (Kind.SEMANTIC, 2, 1)
        assert (found.mean_importance, found.newest, found.truncated) == (0.5, None, False)
        assert found.oldest is not None
        assert found.oldest.timestamp() == 1
        (sent,) = gateway.requests
        assert (list(sent.kinds), list(sent.namespace)) == ([1], ["ada"])
