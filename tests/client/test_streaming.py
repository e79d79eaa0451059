"""Ingest and scan against the tiny gateway: what a client makes of streams that break off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest

import memplane
from memplane import AsyncClient, Client, IngestAck, Put, Ref
from memplane.v1 import memory_service_pb2 as service

from .conftest import FakeGateway, rich_status

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def puts(count: int) -> Iterator[Put]:
    """So many memories."""
    return (Put(Ref("semantic", ("a",), f"k{i:03}"), text=f"text {i}") for i in range(count))


def batches(gateway: FakeGateway) -> list[int]:
    """The sequences of the batches that arrived, in order."""
    return [each.batch.sequence for each in gateway.requests if each.HasField("batch")]


def test_memories_go_in_batches_and_each_is_answered(gateway: FakeGateway) -> None:
    acks: list[IngestAck] = []
    with Client(gateway.target) as client:
        result = client.ingest(puts(7), batch_items=3, on_ack=acks.append)
    assert (result.answered, result.created, result.refused) == (7, 7, 0)
    assert [(ack.sequence, ack.start, len(ack.results)) for ack in acks] == [
        (1, 0, 3), (2, 3, 3), (3, 6, 1),
    ]  # fmt: skip
    assert len(gateway.memories) == 7


def test_nothing_to_ingest_is_no_error(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        assert client.ingest([]).answered == 0


def test_memories_are_taken_as_there_is_room(gateway: FakeGateway) -> None:
    taken = 0

    def source() -> Iterator[Put]:
        nonlocal taken
        for put in puts(100):
            taken += 1
            yield put

    ahead: list[int] = []
    with Client(gateway.target) as client:
        client.ingest(source(), batch_items=5, on_ack=lambda ack: ahead.append(taken - ack.start))
    # Four batches are under way and the next one begins with what ended the one before.
    assert max(ahead) <= 5 * 5 + 1


def test_a_ref_that_comes_again_begins_another_batch(gateway: FakeGateway) -> None:
    ref = Ref("semantic", (), "k")
    with Client(gateway.target) as client:
        client.ingest([Put(ref, text="first"), Put(ref, text="second")])
    assert batches(gateway) == [1, 2]


@pytest.mark.parametrize("broken", [0, 1, 3])
def test_a_stream_that_breaks_off_is_resumed(gateway: FakeGateway, broken: int) -> None:
    for _ in range(broken):
        gateway.faults.append(lambda _: None)
    gateway.fail(UNAVAILABLE)
    with Client(gateway.target) as client:
        result = client.ingest(puts(20), batch_items=2)
    assert result.answered == result.created == 20
    assert result.replayed == 0
    assert len(gateway.memories) == 20


async def test_lost_answers_are_asked_for_again(gateway: FakeGateway) -> None:
    gateway.lost_acks = 2

    async def source() -> AsyncIterator[Put]:
        for put in puts(20):
            yield put

    async with AsyncClient(gateway.target) as client:
        result = await client.ingest(source(), batch_items=2)
    assert result.answered == result.created == 20
    assert result.replayed == 2
    assert len(gateway.memories) == 20


def test_what_was_answered_before_need_not_be_sent(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        result = client.ingest(puts(10), ingest_id="again", batch_items=2, after=3)
        with pytest.raises(memplane.InvalidArgument, match="after"):
            client.ingest(puts(1), after=-1)
    assert (result.skipped, result.answered) == (6, 4)
    assert batches(gateway) == [4, 5]
    assert gateway.requests[0].opening.ingest_id == "again"


def test_a_refusal_ends_it_and_says_how_far_it_came(gateway: FakeGateway) -> None:
    gateway.faults += [lambda _: None] * 3
    gateway.fail_richly(
        grpc.StatusCode.FAILED_PRECONDITION, rich_status(9, "DURABILITY_UNAVAILABLE")
    )
    with Client(gateway.target) as client, pytest.raises(memplane.FailedPrecondition) as caught:
        client.ingest(puts(20), ingest_id="mine", batch_items=2)
    (note,) = caught.value.__notes__
    assert note == "4 memories of the ingest 'mine' were answered before"


def test_a_gateway_that_stays_away_is_given_up(gateway: FakeGateway) -> None:
    gateway.fail(*[UNAVAILABLE] * 50)
    with Client(gateway.target) as client, pytest.raises(memplane.DeadlineExceeded) as caught:
        client.ingest(puts(3), timeout=1.0)
    assert isinstance(caught.value.__cause__, memplane.Unavailable)


def test_what_is_no_memory_is_named_by_its_place(gateway: FakeGateway) -> None:
    bad: Any = [*puts(4), "text"]
    with Client(gateway.target) as client:
        with pytest.raises(memplane.InvalidArgument, match=r"puts\[4\]"):
            client.ingest(bad, batch_items=2)
        for source in ("text", 7):
            with pytest.raises(memplane.InvalidArgument, match="iterable"):
                client.ingest(source)  # type: ignore[arg-type]
        with pytest.raises(memplane.InvalidArgument, match="batch_items"):
            client.ingest([], batch_items=0)
        huge = Put(Ref("semantic", (), "k"), value=b"x" * 2**22)
        with pytest.raises(memplane.InvalidArgument, match=r"puts\[1\].memory: must be at most"):
            client.ingest([*puts(1), huge])


@pytest.mark.parametrize("error", [OSError("gone"), memplane.Unavailable("gone")])
def test_an_error_of_the_source_comes_through(gateway: FakeGateway, error: Exception) -> None:
    """A source may be a scan of another gateway: its end is not that of the memories."""

    def source() -> Iterator[Put]:
        yield from puts(4)
        raise error

    with Client(gateway.target) as client, pytest.raises(type(error), match="gone"):
        client.ingest(source(), batch_items=2)


async def test_an_error_of_on_ack_comes_through(gateway: FakeGateway) -> None:
    def seen(_: IngestAck) -> None:
        raise memplane.Unavailable("the checkpoint is not written")

    async def seen_async(ack: IngestAck) -> None:
        seen(ack)

    async with AsyncClient(gateway.target) as client:
        for given in (seen, seen_async):
            with pytest.raises(memplane.Unavailable, match="checkpoint"):
                await client.ingest(puts(4), batch_items=2, on_ack=given)
    with Client(gateway.target) as sync_client:
        with pytest.raises(memplane.InvalidArgument, match=r"on_ack: is an async function"):
            sync_client.ingest(puts(4), on_ack=seen_async)
        with pytest.raises(memplane.InvalidArgument, match="on_ack: must be a function"):
            sync_client.ingest(puts(4), on_ack="x")  # type: ignore[arg-type]


def test_none_is_no_memory_and_no_end(gateway: FakeGateway) -> None:
    given: Any = [*puts(2), None, *puts(2)]
    with (
        Client(gateway.target) as client,
        pytest.raises(memplane.InvalidArgument, match=r"puts\[2\]"),
    ):
        client.ingest(given)


def test_another_answer_than_the_next_one_is_a_bug(gateway: FakeGateway) -> None:
    def wrong(_: grpc.ServicerContext) -> None:
        gateway.requests[-1].batch.sequence = 9

    gateway.faults += [lambda _: None, wrong]
    with Client(gateway.target) as client, pytest.raises(memplane.Internal, match="batch 9, not 1"):
        client.ingest(puts(1))


def test_a_scan_that_breaks_off_goes_on_where_it_was(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        client.ingest(puts(5))
        gateway.requests.clear()
        gateway.faults += [lambda _: None] * 2
        gateway.fail(UNAVAILABLE, UNAVAILABLE)
        scan = client.scope("a").scan()
        assert [memory.key for memory in scan] == [f"k{i:03}" for i in range(5)]
        assert scan.next_page_token == ""
        assert [each.page_token for each in gateway.requests] == ["", "", "", "2", "2", "2", "2"]


async def test_a_scan_can_be_taken_up_elsewhere(gateway: FakeGateway) -> None:
    async with AsyncClient(gateway.target) as client:
        await client.ingest(puts(5))
        scan = client.scope("a").scan()
        seen = []
        async for memory in scan:
            seen.append(memory.key)
            if len(seen) == 3:
                break
        rest = [
            memory.key async for memory in client.scope("a").scan(page_token=scan.next_page_token)
        ]
    assert [*seen[:2], *rest] == [f"k{i:03}" for i in range(5)]


def test_a_scan_has_the_words_of_a_listing(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        client.ingest(puts(1))
        list(client.scope("a").scan(filter={"x": 1}, exact_namespace=True, page_size=7))
    request = gateway.requests[-1]
    assert request.HasField("filter")
    assert (request.exact_namespace, request.page_size) == (True, 7)
    assert isinstance(gateway.requests[0], service.IngestMemoriesRequest)
