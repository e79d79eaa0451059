"""Consolidation merges near-duplicates into one of them, and loses nothing of what they say."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from typing import Any

import pytest

from memplane import (
    AlreadyExists,
    AsyncClient,
    AsyncScope,
    Capabilities,
    ConsolidateResult,
    Episode,
    InvalidArgument,
    Kind,
    NotFound,
    Outcome,
    Put,
    Unimplemented,
    attr,
)
from memplane.v1 import consolidate_pb2 as pb
from memplane.v1 import memory_pb2
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.helpers import (
    ON_THE_SESSION_LOOP,
    SEARCHED,
    at,
    axis,
    dimension_of,
    key,
    keys_listed,
    needs,
    put_all,
    refused,
    there,
)

pytestmark = ON_THE_SESSION_LOOP

_INVALID = (InvalidArgument, "INVALID_REQUEST")

Groups = dict[str, list[str]]


@pytest.fixture
def dimension(abilities: Capabilities) -> int:
    """How long vectors are, where the store can consolidate."""
    able = abilities[Kind.SEMANTIC]
    needs(able.vector and (able.exact_search or not able.approximate), "exact vector search")
    return dimension_of(abilities, Kind.SEMANTIC)


async def consolidate_raw(door: Door, **fields: Any) -> pb.ConsolidateMemoriesResponse:
    """Sends a request that the client would not."""
    request = pb.ConsolidateMemoriesRequest(kind=memory_pb2.KIND_SEMANTIC, **fields)
    path = "/memplane.v1.LifecycleService/ConsolidateMemories"
    return await call(door, path, request, pb.ConsolidateMemoriesResponse)


def groups(done: ConsolidateResult) -> Groups:
    """Keys by the key of what is kept, of one namespace."""
    return {group.kept.key: [each.ref.key for each in group.merged] for group in done.groups}


def towards(dimension: int, degrees: float) -> list[float]:
    """A vector of some direction in a plane."""
    angle = math.radians(degrees)
    return axis(dimension, math.cos(angle), math.sin(angle))


@SEARCHED
async def test_one_of_each_group_is_kept(space: AsyncScope, kind: Kind, dimension: int) -> None:
    """The pinned one, the most important, the newest."""
    given = [
        Put(space.ref(kind, name), vector=towards(dimension, degrees), **rest)
        for name, degrees, rest in (
            ("alone", 180, {}),
            ("minor", 0, {"importance": 0.1}),
            ("major", 2, {"importance": 0.9}),
            ("unsaid", 3, {}),
            ("pinned", 60, {"pinned": True, "importance": 0.0}),
            ("pinned too", 61, {"pinned": True}),
            ("not", 60.5, {"importance": 1.0}),
            ("older", 120, {}),
            ("newer", 121, {}),
        )
    ]
    for put in given:
        await put_all(space, [put])
    await space.put(kind, "text alone" if kind is Kind.SEMANTIC else "x")
    dry = await space.consolidate(kind, dry_run=True)
    assert await space.count(kind) == len(given) + 1
    done = await space.consolidate(kind)
    assert done.groups == dry.groups
    found = groups(done)
    assert found.pop("major") == ["unsaid", "minor"]
    assert found.pop("newer") == ["older"]
    assert found in ({"pinned": ["not"]}, {"pinned too": ["not"]})
    assert (done.merged_count, done.conflicts, done.dry_run) == (4, 0, False)
    for group in done.groups:
        assert all(0.99 < each.similarity < 1.0 for each in group.merged)
    again = await space.consolidate(kind)
    assert (again.groups, again.merged_count, again.conflicts) == ((), 0, 0)
    left = {"alone", "major", "pinned", "pinned too", "newer"}
    assert left < set(await keys_listed(space, kind))
    assert await space.count(kind) == len(left) + 1


async def test_what_is_kept_gets_what_it_lacks(space: AsyncScope, dimension: int) -> None:
    kind = Kind.EPISODIC
    given: list[tuple[dict[str, Any], float]] = [
        ({"a": 1, "b": 1, "c": 1}, 0.2),
        ({"b": 2, "d": [2, {"e": None}]}, 0.7),
        ({"a": None, "x": "kept"}, 0.1),
    ]
    for number, (attributes, importance) in enumerate(given):
        await space.put(
            kind,
            f"{number}",
            text=f"text {number}",
            vector=axis(dimension, 1.0, number * 0.01),
            attributes=attributes,
            value={"number": number},
            importance=importance,
            pinned=number == 2,
            episode=Episode(event_time=at(number), session_id=f"s{number}"),
            ttl=timedelta(hours=number + 1) if number != 1 else timedelta(hours=9),
        )
    was = [await there(space, kind, f"{number}", with_vectors=True) for number in range(3)]
    assert groups(await space.consolidate(kind)) == {"2": ["1", "0"]}
    now = await there(space, kind, "2", with_vectors=True)
    assert dict(now.attributes) == {
        "a": None,
        "x": "kept",
        "b": 2,
        "d": [2, {"e": None}],
        "c": 1,
    }
    assert (now.importance, now.pinned) == (0.7, True)
    assert now.expire_time == was[1].expire_time
    assert now.vector is not None
    assert was[2].vector is not None
    assert list(now.vector) == list(was[2].vector)
    for name in ("text", "value", "episode", "create_time", "embedding"):
        assert getattr(now, name) == getattr(was[2], name), name
    assert now.etag != was[2].etag
    assert await keys_listed(space, kind) == ["2"]


async def test_what_lacks_nothing_is_not_written(space: AsyncScope, dimension: int) -> None:
    vector = axis(dimension, 1.0)
    for name in "ab":
        await space.put(Kind.SEMANTIC, name, vector=vector, attributes={"n": name})
    etag = (await there(space, Kind.SEMANTIC, "b")).etag
    assert groups(await space.consolidate()) == {"b": ["a"]}
    assert (await there(space, Kind.SEMANTIC, "b")).etag == etag


async def test_memories_of_two_namespaces_are_never_merged(
    space: AsyncScope, dimension: int
) -> None:
    vector = axis(dimension, 1.0)
    places = [space, space.scope("a"), space.scope("a", "b"), space.scope("A")]
    for place in places:
        for name in ("1", "2"):
            await place.put(Kind.SEMANTIC, name, vector=vector)
            await place.put(Kind.EPISODIC, name, vector=vector)
    exact = await space.scope("a").consolidate(exact_namespace=True, dry_run=True)
    assert [group.kept.namespace for group in exact.groups] == [places[1].namespace]
    done = await space.scope("a").consolidate()
    assert done.merged_count == 2
    for group in done.groups:
        assert [each.ref.namespace for each in group.merged] == [group.kept.namespace]
    assert [await each.count(Kind.SEMANTIC, exact_namespace=True) for each in places] == [
        2,
        1,
        1,
        2,
    ]
    assert await space.count(Kind.EPISODIC) == 8


async def test_nothing_is_merged_along_a_chain(space: AsyncScope, dimension: int) -> None:
    """Each is similar to the next; the first and the last are not."""

    async def chain(name: str, importances: list[float]) -> Groups:
        below = space.scope(name)
        for number, importance in enumerate(importances):
            vector = towards(dimension, 15 * number)
            await below.put(Kind.SEMANTIC, f"{number}", vector=vector, importance=importance)
        least = math.cos(math.radians(20))
        return groups(await below.consolidate(min_similarity=least))

    assert await chain("middle", [0.1, 0.9, 0.2]) == {"1": ["0", "2"]}
    assert await chain("end", [0.9, 0.5, 0.1]) == {"0": ["1"]}
    assert await chain("rising", [0.1, 0.2, 0.3, 0.4, 0.5]) == {"4": ["3"], "2": ["1"]}
    assert await space.count(Kind.SEMANTIC) == 1 + 2 + 3


async def test_how_similar_is_said(space: AsyncScope, dimension: int) -> None:
    for name, degrees in (("a", 0), ("b", 17), ("c", 120), ("d", 139)):
        await space.put(Kind.SEMANTIC, name, vector=towards(dimension, degrees))
    assert groups(await space.consolidate(dry_run=True)) == {"b": ["a"]}
    done = await space.consolidate(min_similarity=0.94, dry_run=True)
    assert groups(done) == {"b": ["a"], "d": ["c"]}
    similarities = [each.similarity for group in done.groups for each in group.merged]
    assert sorted(similarities) == [
        pytest.approx(math.cos(math.radians(degrees)), abs=2e-6) for degrees in (19, 17)
    ]
    assert (await space.consolidate(min_similarity=1.0)).merged_count == 0
    await space.put(Kind.SEMANTIC, "e", vector=towards(dimension, 139))
    assert groups(await space.consolidate(min_similarity=1)) == {"e": ["d"]}


async def test_only_what_matches_takes_part(space: AsyncScope, dimension: int) -> None:
    """Not even to be kept."""
    numbers: list[Any] = [1, 2, 2**53, 2**53 + 1, 2**53 + 1, "2"]
    for name, number in enumerate(numbers):
        await space.put(
            Kind.SEMANTIC, f"{name}", vector=axis(dimension, 1.0), attributes={"n": number}
        )
    await space.put(Kind.SEMANTIC, "best", vector=axis(dimension, 1.0), importance=1.0, pinned=True)
    done = await space.consolidate(filter=attr("n") > 2**53)
    assert groups(done) == {"4": ["3"]}
    done = await space.consolidate(filter={"n": {"$lte": 2}})
    assert groups(done) == {"1": ["0"]}
    assert await keys_listed(space, Kind.SEMANTIC) == ["1", "2", "4", "5", "best"]


async def test_a_retry_hears_the_first_receipt(space: AsyncScope, dimension: int) -> None:
    vector, request_id = axis(dimension, 1.0), key()
    for name in "ab":
        await space.put(Kind.SEMANTIC, name, vector=vector)
    first = await space.consolidate(request_id=request_id)
    await space.put(Kind.SEMANTIC, "c", vector=vector)
    again = await space.consolidate(request_id=request_id)
    assert (again.groups, again.replayed) == (first.groups, True)
    assert await keys_listed(space, Kind.SEMANTIC) == ["b", "c"]
    with refused(AlreadyExists, "REQUEST_ID_REUSED"):
        await space.consolidate(min_similarity=0.9, request_id=request_id)


async def test_what_cannot_be_consolidated_is_refused(
    client: AsyncClient, door: Door, space: AsyncScope, abilities: Capabilities
) -> None:
    able = abilities[Kind.SEMANTIC]
    kinds = [Kind.PROCEDURAL]
    if not able.vector or (able.approximate and not able.exact_search):
        kinds.append(Kind.SEMANTIC)
    for kind in kinds:
        with refused(Unimplemented, "CAPABILITY_MISSING") as refusal:
            await client.consolidate(kind, dry_run=True)
        assert refusal.error.metadata["capability"] == "consolidate"
    for wrong in (0.4, 1.1, -1.0, float("nan")):
        with refused(*_INVALID, "min_similarity"):
            await consolidate_raw(door, namespace=space.namespace, min_similarity=wrong)
    with refused(*_INVALID, "request_id", "min_durability"):
        await consolidate_raw(door, request_id="x" * 129, min_durability=99)
    if len(kinds) == 1:
        with refused(_INVALID[0], "PAGE_TOKEN_INVALID", "page_token"):
            await consolidate_raw(door, page_token=key())


async def test_nothing_that_is_written_meanwhile_is_lost(space: AsyncScope, dimension: int) -> None:
    vector = axis(dimension, 1.0)
    names = [f"{number:02}" for number in range(30)]
    await put_all(
        space,
        [
            Put(space.ref(Kind.SEMANTIC, name), vector=vector, attributes={f"a{name}": 1})
            for name in names
        ],
    )

    async def change(name: str) -> bool:
        try:
            await space.update(Kind.SEMANTIC, name, attributes={f"b{name}": 1})
        except NotFound:
            return False
        return True

    done, changed = await asyncio.gather(
        space.consolidate(), asyncio.gather(*map(change, names[::2]))
    )
    left = [memory async for memory in space.list(Kind.SEMANTIC)]
    known = {name for memory in left for name in memory.attributes}
    assert known >= {f"a{name}" for name in names}
    assert known >= {f"b{name}" for name, ok in zip(names[::2], changed, strict=True) if ok}
    assert done.merged_count == len(names) - len(left)
    await space.consolidate()
    (last,) = [memory async for memory in space.list(Kind.SEMANTIC)]
    assert set(last.attributes) == known
    assert (await space.put(Kind.SEMANTIC, names[0])).outcome in (Outcome.CREATED, Outcome.UPDATED)
