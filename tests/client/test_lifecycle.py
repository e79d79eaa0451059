"""Forgetting and consolidating, as the client asks for them and tells of them."""

from __future__ import annotations

from datetime import timedelta

import grpc
import pytest

import memplane
from memplane import Client, Durability, Kind, Ref, attr

from .conftest import FakeGateway


def test_a_forget_goes_on_until_nothing_is_left(gateway: FakeGateway) -> None:
    told: list[int] = []
    with Client(gateway.target) as client:
        done = client.scope("ada").forget(
            "semantic",
            older_than=timedelta(days=1, microseconds=5),
            inactive_for=1.5,
            importance_below=0.25,
            half_life=60,
            filter=attr("n") != 1,
            exact_namespace=True,
            request_id="mine",
            on_progress=told.append,
        )
        assert (done.count, done.dry_run, done.durability) == (2, False, Durability.DISK)
        assert [each.ref.key for each in done.memories] == ["first", "second"]
        first = done.memories[0]
        assert (first.age, first.inactive_for) == (timedelta(seconds=90), None)
        assert first.importance == 0.25
        assert done.filter is not None
        assert (done.filter.scanned, done.filter.truncated) == (6, False)
        assert told == [1, 2]
        sent, again = gateway.requests
        assert (sent.older_than.seconds, sent.older_than.nanos) == (86_400, 5000)
        assert (sent.inactive_for.nanos, sent.half_life.seconds) == (500_000_000, 60)
        assert (sent.importance_below, sent.exact_namespace) == (0.25, True)
        assert [each.request_id for each in (sent, again)] == ["mine", "mine.1"]
        assert again.page_token == "more"
        client.forget("semantic", dry_run=True)
        bare = gateway.requests[-2]
        assert not any(map(bare.HasField, ("older_than", "inactive_for", "importance_below")))
        gateway.faults.append(lambda _: None)
        gateway.fail(grpc.StatusCode.INTERNAL)
        with pytest.raises(memplane.Internal) as caught:
            client.forget("semantic", older_than=1)
        assert caught.value.__notes__ == ["1 memories were deleted by the calls before this one"]


def test_a_consolidation_goes_on_until_nothing_is_left(gateway: FakeGateway) -> None:
    told: list[int] = []
    with Client(gateway.target) as client:
        done = client.scope("ada").consolidate(min_similarity=0.9, on_progress=told.append)
        assert (done.merged_count, done.conflicts, done.compared) == (4, 2, 10)
        assert (done.replayed, done.durability) == (True, Durability.UNKNOWN)
        assert [group.merged_count for group in done.groups] == [2, 2]
        group = done.groups[0]
        assert group.kept == Ref(Kind.SEMANTIC, (), "kept")
        assert [(each.ref.key, each.similarity) for each in group.merged] == [("merged", 0.975)]
        assert told == [2, 4]
        sent = gateway.requests[0]
        assert (sent.kind, list(sent.namespace), sent.min_similarity) == (1, ["ada"], 0.9)
        client.consolidate("episodic", dry_run=True)
        assert gateway.requests[-2].dry_run
        assert not gateway.requests[-2].HasField("min_similarity")
        for wrong in ("0.9", float("nan")):
            with pytest.raises(memplane.InvalidArgument):
                client.consolidate(min_similarity=wrong)  # type: ignore[arg-type]
