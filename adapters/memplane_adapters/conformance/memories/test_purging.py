"""Purge deletes exactly what it names, counts that, and leaves alone what is written later."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from memplane import (
    AlreadyExists,
    AsyncClient,
    AsyncScope,
    Capabilities,
    FilterLike,
    InvalidArgument,
    Kind,
    Mode,
    NotFound,
    Outcome,
    Put,
    Ref,
    attr,
)
from memplane.v1 import memory_pb2
from memplane.v1 import purge_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    EVERY_STORE,
    ON_THE_SESSION_LOOP,
    axis,
    dimension_of,
    expired,
    key,
    keys_listed,
    keys_recent,
    needs,
    put_all,
    refused,
    there,
)

pytestmark = ON_THE_SESSION_LOOP

WRITERS = 40

_INVALID = (InvalidArgument, "INVALID_REQUEST")


async def purge_raw(door: Door, **fields: Any) -> pb.PurgeMemoriesResponse:
    """Sends a request that the client would not."""
    request = pb.PurgeMemoriesRequest(**fields)
    return await call(door, "PurgeMemories", request, pb.PurgeMemoriesResponse)


@EVERY_KIND
async def test_field_27_only_one_namespace_is_purged(space: AsyncScope, kind: Kind) -> None:
    """Deleting one user's memories reset the whole collection."""
    names = [("acme",), ("acme", "below"), ("acme-corp",), ("Acme",), ("acm",), ()]
    await put_all(space, [Put(Ref(kind, (*space.namespace, *name), "k")) for name in names])
    done = await space.scope("acme").purge(kind)
    assert (done.count, done.dry_run, done.replayed) == (2, False, False)
    left = [memory.namespace async for memory in space.list(kind)]
    assert left == sorted((*space.namespace, *name) for name in names if name[:1] != ("acme",))
    assert (await space.scope("acme").purge(kind)).count == 0


@EVERY_STORE
async def test_an_exact_namespace_leaves_what_is_below(space: AsyncScope, kind: Kind) -> None:
    await put_all(space, [Put(Ref(kind, (*space.namespace, *more), "k")) for more in ((), ("b",))])
    assert (await space.purge(kind, exact_namespace=True)).count == 1
    assert await keys_listed(space, kind) == ["k"]
    assert await space.scope("b").get(kind, "k") is not None


async def test_other_kinds_stay(space: AsyncScope) -> None:
    await put_all(space, [Put(Ref(kind, space.namespace, "k"), text="t") for kind in Kind])
    assert (await space.purge(Kind.EPISODIC)).count == 1
    assert [await space.count(kind) for kind in Kind] == [
        int(kind is not Kind.EPISODIC) for kind in Kind
    ]


FILTERS: list[FilterLike] = [
    attr("n") >= 3,
    attr("n") != 3,
    attr("n") == 2**53 + 1,
    attr("n") > 2**53,
    {"state": "Verified"},
    {"state": {"$nin": ["Verified", "verified"]}},
    attr("tags") == ["a", "b"],
    attr("tags").contains("a"),
    attr("tags") == [],
    ~(attr("tags").contains("a")) & (attr("n") <= 4),
    (attr("state") == "Verified") | (attr("gone").is_null() & (attr("n") == 4)),
    attr("deep", "er").exists(),
]
ROWS: list[dict[str, Any]] = [
    {"n": 1, "state": "Verified"},
    {"n": 2, "state": "Not Verified"},
    {"n": 3, "state": "verified", "tags": ["a", "b"]},
    {"n": 3.0, "tags": ["b", "a"]},
    {"n": 4, "tags": []},
    {"n": "3", "tags": "a"},
    {"n": 2**53},
    {"n": 2**53 + 1, "deep": {"er": None}},
    {"n": True, "deep": {"er": 1}},
    {"n": None},
    {},
]


@EVERY_STORE
@pytest.mark.parametrize("number", range(len(FILTERS)))
async def test_field_8_exactly_what_is_listed_is_purged(
    space: AsyncScope, kind: Kind, number: int
) -> None:
    """EQ "Verified" also returned "Not Verified", and the same filter also deletes."""
    given = FILTERS[number]
    await put_all(
        space, [Put(space.ref(kind, f"{n}"), attributes=row) for n, row in enumerate(ROWS)]
    )
    everything = await keys_listed(space, kind)
    matching = await keys_listed(space, kind, given)
    dry = await space.purge(kind, filter=given, dry_run=True)
    assert (dry.count, dry.dry_run) == (len(matching), True)
    assert await keys_listed(space, kind) == everything
    assert (await space.purge(kind, filter=given)).count == len(matching)
    assert await keys_listed(space, kind) == [each for each in everything if each not in matching]
    assert (await space.purge(kind, filter=given)).count == 0


async def test_what_is_purged_is_in_no_answer(space: AsyncScope, abilities: Capabilities) -> None:
    needs(abilities[Kind.SEMANTIC].vector, "vector search")
    vector = axis(dimension_of(abilities, Kind.SEMANTIC), 1.0)
    for name in ("a", "b"):
        await space.put(
            Kind.SEMANTIC, name, text="tea", attributes={"name": name}, vector=vector, pinned=True
        )
    assert (await space.purge(Kind.SEMANTIC, filter={"name": "a"})).count == 1
    assert await space.get(Kind.SEMANTIC, "a") is None
    assert await space.count(Kind.SEMANTIC) == 1
    assert await keys_recent(space, Kind.SEMANTIC) == ["b"]
    found = await space.search(vector=vector, mode=Mode.VECTOR)
    assert [memory.key for memory in found.memories] == ["b"]


@EVERY_STORE
async def test_what_has_expired_is_not_counted(space: AsyncScope, kind: Kind) -> None:
    await expired(space, kind, "gone")
    await space.put(kind, "there")
    assert (await space.purge(kind, dry_run=True)).count == 1
    assert (await space.purge(kind)).count == 1
    assert (await space.put(kind, "gone")).outcome is Outcome.CREATED


@EVERY_STORE
async def test_field_30_a_purge_of_many_has_no_end_at_a_page(space: AsyncScope, kind: Kind) -> None:
    """Delete by filter stopped at 100 rows in a wrapper."""
    await put_all(
        space, [Put(space.ref(kind, f"{n}"), attributes={"odd": n % 2}) for n in range(1100)]
    )
    assert (await space.purge(kind, filter={"odd": 1})).count == 550
    assert await space.count(kind) == 550
    assert (await space.purge(kind)).count == 550
    assert await space.count(kind) == 0


async def test_all_of_a_tenant_has_to_be_meant(client: AsyncClient, door: Door) -> None:
    for kind in Kind:
        for exact in (False, True):
            with refused(*_INVALID, "confirm_all"):
                await client.purge(kind, exact_namespace=exact)
    assert (await client.purge(Kind.SEMANTIC, dry_run=True)).dry_run
    assert (await client.purge(Kind.SEMANTIC, filter={key(): key()})).count == 0
    with refused(*_INVALID, "kind"):
        await purge_raw(door, confirm_all=True)


async def test_what_is_wrong_is_said_and_nothing_is_deleted(door: Door, space: AsyncScope) -> None:
    await space.put(Kind.SEMANTIC, "k")
    asked: dict[str, Any] = {"kind": memory_pb2.KIND_SEMANTIC, "namespace": space.namespace}
    with refused(*_INVALID, "request_id", "min_durability"):
        await purge_raw(door, **asked, request_id="x" * 129, min_durability=99)
    with refused(*_INVALID, "namespace[0]"):
        await purge_raw(door, kind=memory_pb2.KIND_SEMANTIC, namespace=[""])
    asked["page_token"] = key()
    with refused(_INVALID[0], "PAGE_TOKEN_INVALID", "page_token"):
        await purge_raw(door, **asked)
    assert await space.get(Kind.SEMANTIC, "k") is not None


# --- sent again -----------------------------------------------------------------------------------


@EVERY_STORE
async def test_a_retry_hears_the_first_receipt_and_spares_what_came_since(
    space: AsyncScope, kind: Kind
) -> None:
    await put_all(space, [Put(space.ref(kind, name)) for name in "abc"])
    request_id = key()
    first = await space.purge(kind, request_id=request_id)
    assert (first.count, first.replayed) == (3, False)
    await space.put(kind, "a")
    for _ in range(2):
        again = await space.purge(kind, request_id=request_id)
        assert (again.count, again.replayed) == (3, True)
    assert await keys_listed(space, kind) == ["a"]


async def test_the_request_id_of_another_purge_is_refused(space: AsyncScope) -> None:
    await space.put(Kind.SEMANTIC, "k", attributes={"n": 1})
    request_id = key()
    await space.purge(Kind.SEMANTIC, filter={"n": 2}, request_id=request_id)
    with refused(AlreadyExists, "REQUEST_ID_REUSED"):
        await space.purge(Kind.SEMANTIC, filter={"n": 1}, request_id=request_id)
    assert (await space.delete(Kind.SEMANTIC, "k", request_id=request_id)).ok, "another rpc"


# --- beside other writes --------------------------------------------------------------------------


@EVERY_STORE
async def test_a_put_is_before_or_after_a_purge(space: AsyncScope, kind: Kind) -> None:
    names = [f"{number}" for number in range(WRITERS)]
    await put_all(space, [Put(space.ref(kind, name), value=0) for name in names])
    puts = (space.put(kind, name, value=1) for name in names)
    purged, written = await asyncio.gather(space.purge(kind), asyncio.gather(*puts))
    left = await keys_listed(space, kind)
    created = sum(each.outcome is Outcome.CREATED for each in written)
    assert purged.count == created + WRITERS - len(left)
    for name, each in zip(names, written, strict=True):
        if name in left:
            assert (await there(space, kind, name)).etag == each.etag
        else:
            assert each.outcome is Outcome.UPDATED, "it came before, and was purged"


@EVERY_STORE
async def test_an_update_brings_nothing_back_that_was_purged(space: AsyncScope, kind: Kind) -> None:
    names = [f"{number}" for number in range(WRITERS)]
    await put_all(space, [Put(space.ref(kind, name), text="old") for name in names])

    async def change(name: str) -> bool:
        try:
            await space.update(kind, name, attributes={"n": 1})
        except NotFound:
            return False
        return True

    untouched = ~attr("n").exists()
    purged, changed = await asyncio.gather(
        space.purge(kind, filter=untouched), asyncio.gather(*map(change, names))
    )
    left = await keys_listed(space, kind)
    assert left == sorted(name for name, done in zip(names, changed, strict=True) if done)
    assert purged.count == WRITERS - len(left)
