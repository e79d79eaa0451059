"""Search for what is like a memory."""

from __future__ import annotations

import pytest
import pytest_asyncio

from memplane import AsyncScope, Capabilities, FailedPrecondition, Kind, Mode, NotFound, Put, Ref
from memplane_adapters.conformance.memories.helpers import (
    ON_THE_SESSION_LOOP,
    SEARCHED,
    dimension_of,
    expired,
    needs,
    put_all,
    refused,
    unit_vectors,
)

pytestmark = [ON_THE_SESSION_LOOP, SEARCHED]


@pytest_asyncio.fixture(loop_scope="session")
async def filled(space: AsyncScope, kind: Kind, abilities: Capabilities) -> AsyncScope:
    needs(abilities[kind].vector, "VECTOR search")
    vectors = unit_vectors(40, dimension_of(abilities, kind), seed=5)
    await put_all(
        space,
        [
            Put(space.scope(f"r{n % 2}").ref(kind, f"{n:02}"), vector=vector, attributes={"n": n})
            for n, vector in enumerate(vectors)
        ],
    )
    return space


async def test_it_is_the_search_by_its_vector_without_itself(
    filled: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    vectors = unit_vectors(40, dimension_of(abilities, kind), seed=5)
    like = filled.scope("r1").ref(kind, "07")
    for limit in (1, 10, 39, 1000):
        by_vector = await filled.search(vector=vectors[7], kind=kind, limit=limit + 1)
        assert by_vector[0].memory.ref == like
        found = await filled.search(like=like, kind=kind, limit=limit)
        assert found.mode is Mode.VECTOR
        assert [hit.memory.ref for hit in found] == [hit.memory.ref for hit in by_vector][1:]
        for hit, other in zip(found, by_vector[1:], strict=True):
            assert hit.relevance == pytest.approx(other.relevance, abs=1e-6)
        assert not found.truncated
        assert found.notice == ""


async def test_it_may_lie_outside_of_what_is_searched(filled: AsyncScope, kind: Kind) -> None:
    like = filled.scope("r1").ref(kind, "07")
    found = await filled.scope("r0").search(
        like=like, kind=kind, mode="vector", filter={"n": {"$lt": 20}}
    )
    assert sorted(memory.key for memory in found.memories) == [f"{n:02}" for n in range(0, 20, 2)]


async def test_what_is_missing_or_has_expired_is_not_found(filled: AsyncScope, kind: Kind) -> None:
    await expired(filled, kind, "gone", text="tea")
    for key in ("gone", "never-there"):
        with refused(NotFound, "MEMORY_NOT_FOUND"):
            await filled.search(like=filled.ref(kind, key), kind=kind)


async def test_without_a_vector_it_says_so(filled: AsyncScope, kind: Kind) -> None:
    await filled.put(kind, "bare", value=1)
    with refused(FailedPrecondition, "VECTOR_MISSING") as refusal:
        await filled.search(like=filled.ref(kind, "bare"), kind=kind)
    assert refusal.error.metadata == {"route": kind.value}


async def test_a_ref_that_is_none_is_refused(space: AsyncScope, kind: Kind) -> None:
    other = Kind.EPISODIC if kind is Kind.SEMANTIC else Kind.SEMANTIC
    with refused() as refusal:
        await space.search(like=space.ref(other, "k"), kind=kind)
    assert refusal.fields == {"queries[0].like.kind"}
    with refused() as refusal:
        await space.search(like=Ref(kind, space.namespace, ""), kind=kind)
    assert refusal.fields == {"queries[0].like.key"}
    for mode in (Mode.KEYWORD, Mode.RECENT):
        with refused():
            await space.search(like=space.ref(kind, "k"), kind=kind, mode=mode)
