"""VECTOR: the same scores, the same rows, the same order on every store."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest

from memplane import (
    AsyncScope,
    Capabilities,
    InvalidArgument,
    Kind,
    Mode,
    Put,
    Query,
    Ref,
    SearchResult,
    Unimplemented,
)
from memplane.v1 import memory_pb2, search_pb2
from memplane.v1 import memory_service_pb2 as pb
from memplane_adapters.conformance import notes
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.helpers import (
    KIND_NUMBERS,
    ON_THE_SESSION_LOOP,
    SEARCHED,
    at,
    axis,
    dimension_of,
    key,
    needs,
    needs_texts,
    put_all,
    ref_message,
    refused,
    there,
    unit_vectors,
)

pytestmark = [ON_THE_SESSION_LOOP, SEARCHED]

# Of the contract: the same score on every vendor within this.
CLOSE = 1e-3


def keys(result: SearchResult) -> list[str]:
    return [memory.key for memory in result.memories]


@pytest.fixture
def length(abilities: Capabilities, kind: Kind) -> int:
    """How many dimensions the kind has."""
    needs(abilities[kind].vector, "VECTOR search")
    return dimension_of(abilities, kind)


def exactly(abilities: Capabilities, kind: Kind) -> bool:
    """What `exact` is set to so that row-for-row parity binds."""
    able = abilities[kind]
    needs(able.exact_search or not able.approximate, "exact search")
    return able.exact_search


async def test_field_42_identical_orthogonal_and_opposite(
    space: AsyncScope, kind: Kind, length: int
) -> None:
    vectors = {"same": (1, 0), "diagonal": (1, 1), "orthogonal": (0, 1), "opposite": (-1, 0)}
    await put_all(
        space,
        [Put(space.ref(kind, name), vector=axis(length, *v)) for name, v in vectors.items()],
    )
    found = await space.search(vector=axis(length, 1.0), kind=kind)
    assert found.mode is Mode.VECTOR
    assert keys(found) == list(vectors)
    for hit, score in zip(found, (1.0, math.sqrt(0.5), 0.0, -1.0), strict=True):
        assert hit.score == pytest.approx(score, abs=CLOSE)
        assert hit.relevance == pytest.approx((1 + score) / 2, abs=CLOSE)
        assert hit.score is not None
        assert -1.0 <= hit.score <= 1.0
        assert 0.0 <= hit.relevance <= 1.0


async def test_field_42_scores_stay_in_range_whatever_the_rounding(
    space: AsyncScope, kind: Kind, length: int
) -> None:
    vectors = unit_vectors(30, length, seed=1)
    await put_all(
        space, [Put(space.ref(kind, f"{n:02}"), vector=vector) for n, vector in enumerate(vectors)]
    )
    for number, vector in enumerate(vectors):
        for sign in (1, -1):
            result = await space.search(vector=sign * vector, kind=kind)
            assert all(-1.0 <= (hit.score or 0.0) <= 1.0 for hit in result)
            assert all(0.0 <= hit.relevance <= 1.0 for hit in result)
            if sign > 0:
                assert result[0].memory.key == f"{number:02}"
                assert result[0].score == pytest.approx(1.0, abs=CLOSE)


async def test_field_41_scores_are_cosines_and_rank_the_best_first(
    space: AsyncScope, kind: Kind, length: int, abilities: Capabilities
) -> None:
    exact = exactly(abilities, kind)
    vectors = unit_vectors(300, length, seed=2)
    await put_all(
        space, [Put(space.ref(kind, f"{n:03}"), vector=vector) for n, vector in enumerate(vectors)]
    )
    for query in unit_vectors(5, length, seed=3):
        cosines = vectors.astype(np.float64) @ query.astype(np.float64)
        found = await space.search(vector=query, kind=kind, limit=300, exact=exact)
        assert len(found) == 300
        for hit in found:
            assert hit.score == pytest.approx(cosines[int(hit.memory.key)], abs=CLOSE)
        notes.compared(
            [hit.score for hit in found], [cosines[int(hit.memory.key)] for hit in found]
        )
        ranked = [round(hit.relevance, 6) for hit in found]
        assert ranked == sorted(ranked, reverse=True)
        top = await space.search(vector=query, kind=kind, limit=10, exact=exact)
        assert keys(top) == keys(found)[:10]
        best = [f"{n:03}" for n in np.argsort(-cosines)[:10]]
        assert keys(top) == best


async def test_min_relevance_of_1_finds_the_same_vector(
    space: AsyncScope, kind: Kind, length: int
) -> None:
    """In float32 the cosine of a vector with itself may be a hair below 1."""
    vectors = unit_vectors(20, length, seed=41)
    await put_all(
        space, (Put(space.ref(kind, f"k{n:02}"), vector=v) for n, v in enumerate(vectors))
    )
    for number, same in enumerate(vectors):
        found = await space.search(vector=same, kind=kind, min_relevance=1.0)
        assert keys(found) == [f"k{number:02}"]


async def test_field_41_min_relevance_keeps_the_best(
    space: AsyncScope, kind: Kind, length: int
) -> None:
    angles = {f"{degrees:03}": math.radians(degrees) for degrees in range(0, 181, 10)}
    await put_all(
        space,
        [
            Put(space.ref(kind, name), vector=axis(length, math.cos(angle), math.sin(angle)))
            for name, angle in angles.items()
        ],
    )
    query = axis(length, 1.0)
    for bound, expected in (
        (0.0, list(angles)),
        (0.49, [name for name in angles if name <= "090"]),
        (0.93, ["000", "010", "020", "030"]),
        (0.999, ["000"]),
    ):
        found = await space.search(vector=query, kind=kind, min_relevance=bound)
        assert keys(found) == expected
        assert all(hit.relevance >= bound for hit in found)
    assert (
        len(await space.search(vector=axis(length, -1.0, 0.5), kind=kind, min_relevance=1.0)) == 0
    )


async def test_ties_go_by_time_and_then_by_ref(space: AsyncScope, kind: Kind, length: int) -> None:
    own = axis(length, 1.0)
    for batch in ("db", "ca"):
        if kind is Kind.EPISODIC:
            for name in batch:
                event_time = at(60 if batch == "ca" else 0)
                await space.record("t", key=name, event_time=event_time, vector=own)
        else:
            await put_all(space, [Put(space.ref(kind, name), vector=own) for name in batch])
    below = Ref(kind, (*space.namespace, "x"), "a")
    memory = await there(space, kind, "a")
    await space.put(below, vector=own, episode=memory.episode)
    expected = ["a", "c", "a", "b", "d"] if kind is Kind.EPISODIC else ["a", "a", "c", "b", "d"]
    found = await space.search(vector=own, kind=kind)
    assert keys(found) == expected
    for limit in range(1, 6):
        assert keys(await space.search(vector=own, kind=kind, limit=limit)) == expected[:limit]


async def test_a_tie_at_the_end_of_the_page_is_cut_in_order(
    space: AsyncScope, kind: Kind, length: int
) -> None:
    own = axis(length, 1.0)
    puts = [Put(space.ref(kind, f"{n:03}"), vector=own) for n in range(200)]
    await put_all(space, puts)
    found = await space.search(vector=own, kind=kind, limit=7)
    assert keys(found) == [f"{n:03}" for n in range(7)]


async def test_vectors_are_normalised(space: AsyncScope, kind: Kind, length: int) -> None:
    sizes = {"huge": 3e38, "large": 1e6, "unit": 1.0, "small": 1e-6, "tiny": 1e-40}
    for name, size in sizes.items():
        await space.put(kind, name, vector=axis(length, size))
        vector = (await there(space, kind, name, with_vectors=True)).vector
        assert vector is not None
        assert len(vector) == length
        assert math.fsum(number * number for number in vector) == pytest.approx(1.0, abs=1e-5)
    for size in sizes.values():
        found = await space.search(vector=axis(length, size), kind=kind)
        assert len(found) == len(sizes)
        for hit in found:
            assert hit.score == pytest.approx(1.0, abs=CLOSE)


async def test_of_vector_and_text_the_vector_serves_vector_search(
    space: AsyncScope, kind: Kind, length: int, abilities: Capabilities
) -> None:
    own = axis(length, 1.0)
    await space.put(kind, "both", text="green tea", vector=own)
    memory = await there(space, kind, "both", with_vectors=True)
    assert list(memory.vector or ()) == own
    assert memory.embedding is not None
    assert memory.embedding.provider == "client"
    assert memory.embedding.dimension == length
    found = await space.search(vector=own, kind=kind)
    assert found[0].score == pytest.approx(1.0, abs=CLOSE)
    if abilities[kind].keyword:
        assert keys(await space.search("tea", kind=kind, mode=Mode.KEYWORD)) == ["both"]
    embedding = abilities[kind].embedding
    if embedding is not None and embedding.provider == "hash":
        text = await space.search("green tea", kind=kind, mode=Mode.VECTOR)
        assert text[0].score is not None
        assert text[0].score < 0.9


async def test_another_vector_under_the_same_text_is_a_change(
    space: AsyncScope, kind: Kind, length: int
) -> None:
    first = await space.put(kind, "k", text="tea", vector=axis(length, 1.0))
    same = await space.put(kind, "k", text="tea", vector=axis(length, 2.0))
    assert same.revision == first.revision, "the same direction is the same vector"
    other = await space.put(kind, "k", text="tea", vector=axis(length, 0.0, 1.0))
    assert other.revision > first.revision
    found = await space.search(vector=axis(length, 0.0, 1.0), kind=kind)
    assert found[0].score == pytest.approx(1.0, abs=CLOSE)


NO_VECTORS = {
    "nan": [math.nan],
    "infinity": [math.inf],
    "minus-infinity": [-math.inf],
    "nan-among-others": [1.0, math.nan],
    "zero": [0.0],
    "minus-zero": [-0.0],
}


@pytest.mark.parametrize("numbers", NO_VECTORS.values(), ids=NO_VECTORS)
async def test_field_43_what_has_no_direction_is_refused(
    door: Door, space: AsyncScope, kind: Kind, length: int, numbers: list[float]
) -> None:
    raw = struct.pack(f"<{length}f", *axis(length, *numbers))
    await _refused_vector(door, space, kind, raw, "INVALID_REQUEST")


@pytest.mark.parametrize("difference", [-1, 1, "half", "double", "one"])
async def test_a_wrong_dimension_is_refused(
    door: Door, space: AsyncScope, kind: Kind, length: int, difference: int | str
) -> None:
    named: dict[int | str, int] = {"half": length // 2, "double": length * 2, "one": 1}
    wrong = named.get(difference, length + int(difference) if difference in (1, -1) else 0)
    raw = struct.pack(f"<{wrong}f", *axis(wrong, 1.0))
    for refusal in await _refused_vector(door, space, kind, raw, "DIMENSION_MISMATCH"):
        assert refusal.metadata["expected"] == str(length)
        assert refusal.metadata["actual"] == str(wrong)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
async def test_bytes_that_are_no_numbers_are_refused(
    door: Door, space: AsyncScope, kind: Kind, size: int
) -> None:
    await _refused_vector(door, space, kind, b"x" * size, "INVALID_REQUEST")


async def test_an_empty_vector_is_no_vector(door: Door, space: AsyncScope, kind: Kind) -> None:
    memory = memory_pb2.Memory(ref=ref_message(space.ref(kind, "k")), vector=b"")
    put = pb.PutMemoriesRequest(puts=[pb.MemoryPut(memory=memory)])
    reply = await call(door, "PutMemories", put, pb.PutMemoriesResponse)
    assert not reply.results[0].searchable
    query = search_pb2.SearchQuery(kind=KIND_NUMBERS[kind], namespace=space.namespace, vector=b"")
    with refused(InvalidArgument, "INVALID_REQUEST", "queries[0].vector"):
        await call(
            door,
            "SearchMemories",
            pb.SearchMemoriesRequest(queries=[query]),
            pb.SearchMemoriesResponse,
        )


async def _refused_vector(
    door: Door, space: AsyncScope, kind: Kind, raw: bytes, reason: str
) -> list[Any]:
    memory = memory_pb2.Memory(ref=ref_message(space.ref(kind, "k")), vector=raw)
    put = pb.PutMemoriesRequest(puts=[pb.MemoryPut(memory=memory)])
    with refused(InvalidArgument, reason, "puts[0].memory.vector") as first:
        await call(door, "PutMemories", put, pb.PutMemoriesResponse)
    assert await space.count(kind) == 0
    errors: list[Any] = [first.error]
    for mode in (search_pb2.SEARCH_MODE_AUTO, search_pb2.SEARCH_MODE_VECTOR):
        query = search_pb2.SearchQuery(
            kind=KIND_NUMBERS[kind], namespace=space.namespace, mode=mode
        )
        query.vector = raw
        search = pb.SearchMemoriesRequest(queries=[query])
        with refused(InvalidArgument, reason, "queries[0].vector") as second:
            await call(door, "SearchMemories", search, pb.SearchMemoriesResponse)
        errors.append(second.error)
    return errors


async def test_without_text_and_vector_a_memory_is_kept_and_never_near(
    space: AsyncScope, kind: Kind, length: int, abilities: Capabilities
) -> None:
    needs(abilities[kind].vectorless, "room for memories without a vector")
    written = await space.put(kind, "bare", attributes={"a": 1}, value=1)
    assert written.searchable is False
    memory = await there(space, kind, "bare", with_vectors=True)
    assert memory.searchable is False
    assert (memory.vector, memory.embedding) == (None, None)
    await space.put(kind, "far", vector=axis(length, -1.0))
    assert keys(await space.search(vector=axis(length, 1.0), kind=kind, limit=1000)) == ["far"]
    bare = {"a": 1}
    assert len(await space.search(vector=axis(length, 1.0), kind=kind, filter=bare)) == 0
    assert [m.key async for m in space.list(kind)] == ["bare", "far"]
    assert sorted(keys(await space.search(kind=kind))) == ["bare", "far"]
    assert await space.count(kind) == 2


async def test_field_43_a_text_without_a_vector_is_kept_and_never_near(
    space: AsyncScope, kind: Kind, length: int, abilities: Capabilities
) -> None:
    embedding = abilities[kind].embedding
    needs(embedding is not None and embedding.provider == "hash", "embedder that gives zeros")
    written = await space.put(kind, "k", text="!!! ... ???")
    assert written.searchable is False
    memory = await there(space, kind, "k", with_vectors=True)
    assert (memory.vector, memory.embedding) == (None, None)
    assert len(await space.search(vector=axis(length, 1.0), kind=kind)) == 0
    empty = await space.search("!!!", kind=kind, mode=Mode.VECTOR)
    assert len(empty) == 0
    assert empty.mode is Mode.VECTOR


async def test_an_equal_text_is_nearest(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs_texts(abilities, kind)
    texts = ["Ada drinks green tea", "Bob repairs old bicycles", "It rains in Bergen"]
    await put_all(space, [Put(space.ref(kind, f"{n}"), text=text) for n, text in enumerate(texts)])
    for number, text in enumerate(texts):
        found = await space.search(text, kind=kind, mode=Mode.VECTOR, with_vectors=True)
        assert found.mode is Mode.VECTOR
        assert found[0].memory.key == f"{number}"
        assert found[0].score == pytest.approx(1.0, abs=CLOSE)
        assert found[0].memory.vector is not None


async def test_exact_search_is_given_or_refused(
    space: AsyncScope, kind: Kind, length: int, abilities: Capabilities
) -> None:
    own = axis(length, 1.0)
    await space.put(kind, "k", vector=own)
    if not abilities[kind].exact_search:
        with refused(Unimplemented, "CAPABILITY_MISSING") as refusal:
            await space.search(vector=own, kind=kind, exact=True)
        assert refusal.error.metadata["capability"] == "exact_search"
        return
    found = await space.search(vector=own, kind=kind, exact=True)
    assert keys(found) == ["k"]
    assert found.approximate is False


async def test_field_11_a_small_namespace_fills_the_page(
    space: AsyncScope, kind: Kind, length: int
) -> None:
    """The other 99 % are all nearer."""
    query = axis(length, 1.0)
    near = [
        Put(Ref(kind, (*space.namespace, "big"), f"{n:04}"), vector=axis(length, 1.0, n * 1e-5))
        for n in range(1980)
    ]
    far = [
        Put(Ref(kind, (*space.namespace, "small"), f"{n:02}"), vector=axis(length, -1.0, n * 0.1))
        for n in range(20)
    ]
    await put_all(space, [*near, *far])
    found = await space.scope("small").search(vector=query, kind=kind, limit=20)
    assert len(found) == 20
    assert {memory.namespace[-1] for memory in found.memories} == {"small"}
    assert keys(found) == [f"{n:02}" for n in reversed(range(20))]


async def test_field_11_a_rare_attribute_fills_the_page(
    space: AsyncScope, kind: Kind, length: int
) -> None:
    puts = [
        Put(
            space.ref(kind, f"{n:04}"),
            vector=axis(length, 1.0, n * 1e-3),
            attributes={"rare": n >= 990},
        )
        for n in range(1000)
    ]
    await put_all(space, puts)
    query = axis(length, 1.0)
    found = await space.search(vector=query, kind=kind, limit=10, filter={"rare": True})
    assert keys(found) == [f"{n:04}" for n in range(990, 1000)]
    assert found.filter is not None
    assert not found.filter.truncated


async def test_several_questions_in_one_call_are_answered_in_order(
    space: AsyncScope, kind: Kind, length: int
) -> None:
    other = Kind.EPISODIC if kind is Kind.SEMANTIC else Kind.SEMANTIC
    for each in (kind, other):
        await space.put(each, f"x-{each.value}", vector=axis(length, 1.0))
        await space.put(each, f"y-{each.value}", vector=axis(length, 0.0, 1.0))
    await space.put(Kind.PROCEDURAL, "p")
    x, y = axis(length, 1.0), axis(length, 0.0, 1.0)
    results = await space.search_many(
        [
            Query(vector=y, kind=kind, limit=1),
            Query(kind=Kind.PROCEDURAL),
            Query(vector=x, kind=other, limit=1),
            Query(kind=kind, mode=Mode.RECENT, filter={"@key": f"x-{kind.value}"}),
            Query(vector=y, kind=kind, namespace=(*space.namespace, "nothing")),
        ]
    )
    assert [keys(result) for result in results] == [
        [f"y-{kind.value}"],
        ["p"],
        [f"x-{other.value}"],
        [f"x-{kind.value}"],
        [],
    ]
    assert [result.mode for result in results] == [
        Mode.VECTOR,
        Mode.RECENT,
        Mode.VECTOR,
        Mode.RECENT,
        Mode.VECTOR,
    ]


async def test_a_search_follows_every_write(space: AsyncScope, kind: Kind, length: int) -> None:
    x, y = axis(length, 1.0), axis(length, 0.0, 1.0)
    name = key()
    await space.put(kind, name, vector=x, attributes={"a": 1})
    assert keys(await space.search(vector=x, kind=kind, filter={"a": 1})) == [name]
    await space.update(kind, name, attributes={"a": 2})
    assert keys(await space.search(vector=x, kind=kind, filter={"a": 1})) == []
    assert keys(await space.search(vector=x, kind=kind, filter={"a": 2})) == [name]
    await space.put(kind, name, vector=y)
    (hit,) = await space.search(vector=x, kind=kind)
    assert hit.score == pytest.approx(0.0, abs=CLOSE)
    await space.delete(kind, name)
    assert keys(await space.search(vector=x, kind=kind)) == []
    await space.put(kind, name, vector=x)
    (hit,) = await space.search(vector=x, kind=kind)
    assert hit.score == pytest.approx(1.0, abs=CLOSE)
