"""Each sentence of the ruling on expiry. Nothing here measures time: what must happen is polled for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from memplane import (
    AsyncScope,
    Capabilities,
    InvalidArgument,
    Kind,
    Mode,
    Order,
    Outcome,
    Put,
    Query,
)
from memplane.v1 import memory_service_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    ON_THE_SESSION_LOOP,
    axis,
    dimension_of,
    expired,
    keys_listed,
    keys_recent,
    put_all,
    ref_message,
    refused,
    there,
    until,
)

pytestmark = ON_THE_SESSION_LOOP

FAR = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@EVERY_KIND
async def test_a_put_without_a_ttl_never_expires(space: AsyncScope, kind: Kind) -> None:
    assert (await space.put(kind, "k", text="t", ttl=3600)).expire_time is not None
    assert (await space.put(kind, "k", text="t")).expire_time is None
    assert (await there(space, kind, "k")).expire_time is None


@EVERY_KIND
async def test_a_ttl_counts_from_the_write(space: AsyncScope, kind: Kind) -> None:
    written = await space.put(kind, "k", text="t", ttl=timedelta(hours=1, microseconds=1))
    assert written.update_time is not None
    assert written.expire_time == written.update_time + timedelta(hours=1, microseconds=1)
    assert (await there(space, kind, "k")).expire_time == written.expire_time


@EVERY_KIND
async def test_an_expire_time_is_kept_exactly(space: AsyncScope, kind: Kind) -> None:
    for moment in (FAR, datetime(2500, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)):
        written = await space.put(kind, "k", expire_time=moment)
        assert written.expire_time == moment
        assert (await there(space, kind, "k")).expire_time == moment


@EVERY_KIND
async def test_an_update_without_a_ttl_leaves_the_expiry(space: AsyncScope, kind: Kind) -> None:
    written = await space.put(kind, "k", text="t", ttl=3600)
    updated = await space.update(kind, "k", text="u", attributes={"a": 1})
    assert updated.expire_time == written.expire_time
    assert (await there(space, kind, "k")).expire_time == written.expire_time


@EVERY_KIND
async def test_an_update_can_set_and_end_the_expiry(space: AsyncScope, kind: Kind) -> None:
    await space.put(kind, "k", text="t")
    updated = await space.update(kind, "k", ttl=3600)
    assert updated.outcome is Outcome.UPDATED
    assert updated.update_time is not None
    assert updated.expire_time == updated.update_time + timedelta(hours=1)
    updated = await space.update(kind, "k", expire_time=FAR)
    assert updated.expire_time == FAR
    updated = await space.update(kind, "k", ttl=0)
    assert updated.outcome is Outcome.UPDATED
    assert updated.expire_time is None
    assert (await space.update(kind, "k", ttl=0)).outcome is Outcome.UNCHANGED


@EVERY_KIND
async def test_a_ttl_of_0_is_no_expiry(space: AsyncScope, kind: Kind) -> None:
    assert (await space.put(kind, "k", text="t", ttl=0)).expire_time is None
    assert (await space.put(kind, "k", text="t")).outcome is Outcome.UNCHANGED


@EVERY_KIND
async def test_another_expiry_is_a_change_and_the_same_one_is_none(
    space: AsyncScope, kind: Kind
) -> None:
    first = await space.put(kind, "k", text="t", expire_time=FAR)
    same = await space.put(kind, "k", text="t", expire_time=FAR)
    assert same.outcome is Outcome.UNCHANGED
    assert (same.revision, same.etag) == (first.revision, first.etag)
    earlier = await space.put(kind, "k", text="t", expire_time=FAR - timedelta(microseconds=1))
    assert earlier.outcome is Outcome.UPDATED
    assert earlier.revision > first.revision
    assert (await space.put(kind, "k", text="t")).outcome is Outcome.UPDATED


@EVERY_KIND
async def test_more_than_100_years_count_as_100(space: AsyncScope, kind: Kind) -> None:
    for years in (101, 9_000):
        written = await space.put(kind, "k", text=str(years), ttl=timedelta(days=365 * years))
        assert written.expire_time is not None
        assert written.update_time is not None
        kept = written.expire_time - written.update_time
        assert timedelta(days=365 * 100) <= kept <= timedelta(days=366 * 100)


BAD_EXPIRIES = {
    "negative": (pb.Expiry(ttl=Duration(seconds=-1)), "expiry.ttl"),
    "a-little-negative": (pb.Expiry(ttl=Duration(nanos=-1)), "expiry.ttl"),
    "two-signs": (pb.Expiry(ttl=Duration(seconds=1, nanos=-1)), "expiry.ttl"),
    "malformed": (pb.Expiry(ttl=Duration(seconds=1, nanos=10**9)), "expiry.ttl"),
    "past": (pb.Expiry(expire_time=Timestamp(seconds=1)), "expiry.expire_time"),
    "before-1970": (pb.Expiry(expire_time=Timestamp(seconds=-1)), "expiry.expire_time"),
    "finer-than-microseconds": (
        pb.Expiry(expire_time=Timestamp(seconds=32_503_680_000, nanos=1)),
        "expiry.expire_time",
    ),
    "nothing": (pb.Expiry(), "expiry"),
}


@pytest.mark.parametrize(("expiry", "field"), BAD_EXPIRIES.values(), ids=BAD_EXPIRIES)
async def test_a_bad_expiry_is_refused(
    door: Door, space: AsyncScope, expiry: pb.Expiry, field: str
) -> None:
    ref = ref_message(space.ref(Kind.SEMANTIC, "k"))
    put = pb.MemoryPut(expiry=expiry)
    put.memory.ref.CopyFrom(ref)
    with refused(InvalidArgument, "INVALID_REQUEST", f"puts[0].{field}"):
        await call(door, "PutMemories", pb.PutMemoriesRequest(puts=[put]), pb.PutMemoriesResponse)
    assert await space.get(Kind.SEMANTIC, "k") is None
    await space.put(Kind.SEMANTIC, "k")
    update = pb.UpdateMemoriesRequest(updates=[pb.MemoryUpdate(ref=ref, expiry=expiry)])
    with refused(InvalidArgument, "INVALID_REQUEST", f"updates[0].{field}"):
        await call(door, "UpdateMemories", update, pb.UpdateMemoriesResponse)
    assert (await there(space, Kind.SEMANTIC, "k")).expire_time is None


async def test_the_shortest_period_is_an_expiry_and_not_never(
    door: Door, space: AsyncScope
) -> None:
    put = pb.MemoryPut(expiry=pb.Expiry(ttl=Duration(nanos=1)))
    put.memory.ref.CopyFrom(ref_message(space.ref(Kind.SEMANTIC, "k")))
    request = pb.PutMemoriesRequest(puts=[put])
    reply = await call(door, "PutMemories", request, pb.PutMemoriesResponse)
    assert reply.results[0].HasField("expire_time")

    async def gone() -> bool:
        return await space.get(Kind.SEMANTIC, "k") is None

    await until(gone)


@EVERY_KIND
async def test_field_40_what_has_expired_is_not_there(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    await put_all(space, [Put(space.ref(kind, name), text="tea") for name in ("a", "z")])
    for name in ("b", "y"):
        await expired(space, kind, name, text="tea", attributes={"x": 1}, pinned=True)
    assert [
        memory and memory.key
        for memory in await space.get_many([space.ref(kind, name) for name in "abyz"])
    ] == ["a", None, None, "z"]
    for order in Order:
        for descending in (False, True):
            walk = await keys_listed(space, kind, order=order, descending=descending, page_size=1)
            assert sorted(walk) == ["a", "z"]
    assert await keys_listed(space, kind, {"x": 1}) == []
    assert sorted(await keys_recent(space, kind)) == ["a", "z"]
    assert await keys_recent(space, kind, {"x": 1}) == []
    assert await space.count(kind) == 2
    assert await space.count(kind, filter={"x": 1}) == 0
    assert await space.count(kind, exact_namespace=True) == 2
    if abilities[kind].keyword:
        found = await space.search("tea", kind=kind, mode=Mode.KEYWORD)
        assert sorted(memory.key for memory in found.memories) == ["a", "z"]


@pytest.mark.parametrize("kind", [Kind.SEMANTIC, Kind.EPISODIC])
async def test_field_40_what_has_expired_is_not_near(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    own = axis(dimension_of(abilities, kind), 1.0)
    await space.put(kind, "stays", vector=axis(dimension_of(abilities, kind), 1.0, 1.0))
    await expired(space, kind, "gone", vector=own)
    query = Query(vector=own, kind=kind, limit=1)
    for result in await space.search_many([query, query]):
        assert [memory.key for memory in result.memories] == ["stays"]


@EVERY_KIND
async def test_field_40_a_put_on_what_has_expired_creates(space: AsyncScope, kind: Kind) -> None:
    old = await expired(space, kind, "k", text="same", attributes={"old": 1}, value=1)
    new = await space.put(kind, "k", text="same")
    assert new.outcome is Outcome.CREATED
    assert new.create_time is not None
    assert old.expire_time is not None
    assert new.create_time >= old.expire_time
    assert new.create_time == new.update_time
    assert new.revision > old.revision
    assert new.etag != old.etag
    assert new.expire_time is None
    memory = await there(space, kind, "k")
    assert (memory.attributes, memory.has_value) == ({}, False)


@EVERY_KIND
async def test_field_40_the_very_same_put_on_what_has_expired_creates(
    space: AsyncScope, kind: Kind
) -> None:
    await expired(space, kind, "k", text="same")
    assert (await space.put(kind, "k", text="same", ttl=3600)).outcome is Outcome.CREATED


@EVERY_KIND
async def test_field_40_nothing_revives_what_has_expired(space: AsyncScope, kind: Kind) -> None:
    await expired(space, kind, "k", text="t")
    await space.get(kind, "k", with_vectors=True)
    (refusal,) = await space.delete_many([space.ref(kind, "k")])
    assert refusal.outcome is Outcome.MISSING
    assert await space.get(kind, "k") is None
    assert await space.count(kind) == 0


@EVERY_KIND
async def test_a_memory_goes_at_its_time_without_anybody_s_help(
    space: AsyncScope, kind: Kind
) -> None:
    soon, _ = await put_all(
        space,
        [
            Put(space.ref(kind, "soon"), text="t", ttl=0.2),
            Put(space.ref(kind, "late"), text="t", ttl=3600),
        ],
    )

    async def only_late() -> bool:
        return await keys_listed(space, kind) == ["late"]

    await until(only_late)
    assert soon.expire_time is not None
    assert datetime.now(UTC) >= soon.expire_time
    assert await space.count(kind) == 1
