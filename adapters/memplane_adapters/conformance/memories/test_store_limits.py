"""What a store says that it cannot hold: said by GetCapabilities, and refused before it is written."""

from __future__ import annotations

from typing import Any

import pytest

from memplane import (
    Aborted,
    AsyncScope,
    Capabilities,
    IndexedText,
    InvalidArgument,
    Kind,
    Put,
    WriteResult,
)
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    EVERY_STORE,
    ON_THE_SESSION_LOOP,
    axis,
    dimension_of,
    failed,
    needs,
    there,
)
from memplane_gateway import limits

pytestmark = ON_THE_SESSION_LOOP

_PART = 50_000
_BESIDE = 200_000
"""More than an item has beside its value."""


def limit_of(abilities: Capabilities, kind: Kind) -> int:
    """Most bytes of an item of this kind, where a call can hold more."""
    able = abilities[kind]
    needs(not able.max_metadata_bytes, "limit of items alone: a lower one refuses the call")
    most = min(filter(None, (able.max_item_bytes, able.max_batch_bytes)), default=0)
    needs(0 < most < limits.MEMORY_BYTES - _BESIDE, "limit below that of a call")
    return most


def value_of(size: int) -> list[str]:
    """A value of about so many bytes, in strings that may be."""
    whole, rest = divmod(size, _PART)
    return [*("x" * _PART for _ in range(whole)), "x" * rest]


def told(result: WriteResult, limit: int) -> int:
    """How many bytes too large an item was said to be."""
    error = failed(result, InvalidArgument, "ITEM_TOO_LARGE")
    assert int(error.metadata["limit_bytes"]) == limit
    over = int(error.metadata["actual_bytes"]) - limit
    assert over > 0
    return over


@EVERY_KIND
async def test_every_limit_of_a_store_is_a_number_of_a_unit(
    abilities: Capabilities, kind: Kind
) -> None:
    able = abilities[kind]
    shown = (
        *(able.max_batch_items, able.max_batch_bytes, able.max_item_bytes),
        *(able.max_metadata_bytes, able.max_dimension),
    )
    assert all(most is None or most > 0 for most in shown)
    if kind is not Kind.PROCEDURAL and able.max_dimension is not None:
        assert dimension_of(abilities, kind) <= able.max_dimension


@EVERY_STORE
async def test_field_23_what_is_over_the_limit_is_refused_and_what_is_at_it_passes(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    limit = limit_of(abilities, kind)
    refs = [space.ref(kind, name) for name in "abc"]
    few, large, some = await space.put_many(
        [Put(refs[0], value=1), Put(refs[1], value=value_of(limit)), Put(refs[2], value=2)]
    )
    size = limit - told(large, limit)
    assert few.ok
    assert some.ok
    assert await space.get(kind, "b") is None
    assert await space.count(kind) == 2
    # By how much is said: with so much less it passes (but for the lengths of lengths), soon.
    for _ in range(4):
        (still,) = await space.put_many([Put(refs[1], value=value_of(size))])
        if still.ok:
            break
        size -= told(still, limit)
    assert (await there(space, kind, "b")).value == value_of(size)
    (again,) = await space.put_many([Put(space.ref(kind, "d"), value=value_of(size + 20))])
    assert told(again, limit) <= 20


@EVERY_STORE
async def test_a_memory_does_not_grow_beyond_it(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    limit = limit_of(abilities, kind)
    before = await space.put(kind, "k", text="tea", value=value_of(limit // 2))
    with pytest.raises(InvalidArgument) as caught:
        await space.update(kind, "k", value=value_of(limit))
    assert caught.value.reason == "ITEM_TOO_LARGE"
    assert int(caught.value.metadata["limit_bytes"]) == limit
    memory = await there(space, kind, "k")
    assert (memory.etag, memory.value) == (before.etag, value_of(limit // 2))


@EVERY_STORE
async def test_an_ingest_says_which_was_too_large(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    limit = limit_of(abilities, kind)
    puts = [Put(space.ref(kind, f"{number}"), value=number) for number in range(5)]
    puts[3] = Put(space.ref(kind, "3"), value=value_of(limit))
    result = await space.ingest(puts, batch_items=2)
    assert (result.created, result.refused) == (4, 1)
    assert [memory.key async for memory in space.list(kind)] == ["0", "1", "2", "4"]


async def test_a_state_stays_as_it_was(space: AsyncScope, abilities: Capabilities) -> None:
    limit = limit_of(abilities, Kind.PROCEDURAL)
    state = space.state("job")
    await state.update(lambda value: value.update(step=1))
    with pytest.raises(InvalidArgument) as caught:
        await state.update(lambda value: value.update(step=2, result=value_of(limit)))
    assert caught.value.reason == "ITEM_TOO_LARGE"
    assert await space.value("job") == {"step": 1}


async def test_one_too_large_keeps_an_atomic_call_from_being_written(
    space: AsyncScope, abilities: Capabilities
) -> None:
    kind = Kind.PROCEDURAL
    needs(abilities[kind].atomic, "atomic batches")
    limit = limit_of(abilities, kind)
    values: list[Any] = [1, value_of(limit), 3]
    puts = [Put(space.ref(kind, f"{n}"), value=value) for n, value in enumerate(values)]
    first, large, last = await space.put_many(puts, atomic=True)
    told(large, limit)
    for other in (first, last):
        assert failed(other, Aborted, "ATOMIC_REFUSED").metadata["refused"] == "1"
    assert await space.count(kind) == 0


async def test_nothing_is_left_of_a_memory_whose_head_is_too_large(
    space: AsyncScope, abilities: Capabilities
) -> None:
    """Its further texts are points of their own, which must not be found."""
    kind = Kind.SEMANTIC
    limit = limit_of(abilities, kind)
    own = axis(dimension_of(abilities, kind), 1.0)
    (result,) = await space.put_many(
        [
            Put(
                space.ref(kind, "k"),
                value=value_of(limit),
                vector=own,
                indexed_texts=[IndexedText("title", vector=own)],
            )
        ]
    )
    told(result, limit)
    assert not await space.search(vector=own, kind=kind)
    assert await space.count(kind) == 0
