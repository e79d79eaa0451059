"""FIELD 35: batches above a store's limits are split, and what is too large is said and not sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memplane_adapters.contract import (
    Address,
    Capabilities,
    Delete,
    Entry,
    Kind,
    Point,
    Stored,
    StoreError,
    StoreReason,
    Write,
    WriteResult,
    WriteStatus,
)
from memplane_gateway.errors import Code, Reason, from_store
from memplane_gateway.layers import StackedKeyValueStore, StackedVectorStore, make_layers
from memplane_gateway.layers.batches import parts, size_of

APPLIED = WriteResult(WriteStatus.APPLIED)


def address(number: int) -> Address:
    return Address("t", Kind.SEMANTIC, (), f"{number:04}")


def point(number: int, size: int = 100) -> Point:
    return Point(
        address=address(number),
        revision=1,
        update_time=1,
        time=1,
        record=bytes([number % 256]) * size,
    )


def entry(number: int, size: int = 100) -> Entry:
    made = point(number, size)
    return Entry(address=made.address, revision=1, update_time=1, time=1, record=made.record)


@dataclass
class Limited:
    """A store of both kinds that notes what each call held, and fails from some call on."""

    capabilities: Capabilities
    fails_at: int | None = None
    error: StoreError = field(
        default_factory=lambda: StoreError(StoreReason.UNAVAILABLE, "down", retryable=False)
    )
    calls: list[list[str]] = field(default_factory=list)
    short: bool = False

    async def upsert(self, writes: Sequence[Write[Entry]]) -> list[WriteResult]:
        self._note([write.entry.address for write in writes])
        return [APPLIED] * (len(writes) - self.short)

    async def put(self, writes: Sequence[Write[Entry]], *, atomic: bool) -> list[WriteResult]:
        return await self.upsert(writes)

    async def delete(self, deletes: Sequence[Delete], *, atomic: bool = False) -> list[WriteResult]:
        self._note([delete.address for delete in deletes])
        return [WriteResult(WriteStatus.MISSING)] * len(deletes)

    async def get(self, addresses: Sequence[Address]) -> list[Stored | None]:
        self._note(addresses)
        return [Stored(each.key.encode()) for each in addresses]

    async def fetch(self, addresses: Sequence[Address], *, vectors: bool) -> list[Stored | None]:
        return await self.get(addresses)

    def _note(self, addresses: Sequence[Address]) -> None:
        self.calls.append([each.key for each in addresses])
        if self.fails_at is not None and len(self.calls) > self.fails_at:
            raise self.error

    @property
    def sizes(self) -> list[int]:
        return [len(call) for call in self.calls]


def vectors(store: Limited) -> StackedVectorStore:
    return StackedVectorStore("s", store, make_layers())  # type: ignore[arg-type]


def key_values(store: Limited) -> StackedKeyValueStore:
    return StackedKeyValueStore("s", store, make_layers())  # type: ignore[arg-type]


def results(calls: Sequence[WriteResult]) -> list[str]:
    return [result.status.value for result in calls]


@pytest.mark.parametrize(
    ("items", "limit", "expected"),
    [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (3, 4, [3]), (4, 4, [4]), (3, 1, [1, 1, 1]), (9, 0, [9])],
)
async def test_field_35_every_call_by_address_is_split_by_items(
    items: int, limit: int, expected: list[int]
) -> None:
    able = Capabilities(max_batch_items=limit, atomic=True)
    addresses = [address(number) for number in range(items)]

    store = Limited(able)
    found = await vectors(store).fetch(addresses, vectors=True)
    assert [row.record.decode() for row in found if row] == [each.key for each in addresses]
    assert store.sizes == expected

    store = Limited(able)
    found = await key_values(store).get(addresses)
    assert [row.record.decode() for row in found if row] == [each.key for each in addresses]
    assert store.sizes == expected

    store = Limited(able)
    assert await vectors(store).upsert([Write(point(n)) for n in range(items)]) == [APPLIED] * items
    assert store.sizes == expected
    assert list(chain(*store.calls)) == [each.key for each in addresses]

    store = Limited(able)
    assert await key_values(store).put([Write(entry(n)) for n in range(items)]) == [APPLIED] * items
    assert store.sizes == expected

    store = Limited(able)
    deleted = await vectors(store).delete([Delete(each) for each in addresses])
    assert results(deleted) == ["missing"] * items
    assert store.sizes == expected

    store = Limited(able)
    deleted = await key_values(store).delete([Delete(each) for each in addresses])
    assert results(deleted) == ["missing"] * items
    assert store.sizes == expected


async def test_field_35_writes_are_split_by_bytes() -> None:
    store = Limited(Capabilities(max_batch_bytes=1000))
    sizes = [400, 500, 100, 1, 999, 1000, 300]
    writes = [Write(point(number, size)) for number, size in enumerate(sizes)]
    assert await vectors(store).upsert(writes) == [APPLIED] * len(sizes)
    assert [[sizes[int(key)] for key in call] for call in store.calls] == [
        [400, 500, 100],
        [1, 999],
        [1000],
        [300],
    ]


def test_the_size_of_an_item_is_all_of_it() -> None:
    bare = point(0, 100)
    assert size_of(bare) == 100
    full = Point(
        address=address(0),
        revision=1,
        update_time=1,
        time=1,
        record=b"r" * 100,
        vector=np.zeros(10, dtype=np.float32),
        text="é" * 10,
        terms=("one", "two"),
        fields={"a": "bcd", "n": [1, 2.0, None], "m": {"x": b"yz"}},
    )
    fields = len("a" + "bcd") + len("n") + 3 * 8 + len("m") + len("x") + len("yz")
    assert size_of(full) == 100 + 40 + 20 + 6 + fields


@given(
    sizes=st.lists(st.integers(0, 50), max_size=30),
    items=st.integers(0, 5),
    most=st.integers(0, 100),
)
def test_parts_hold_everything_in_order_within_the_limits(
    sizes: list[int], items: int, most: int
) -> None:
    able = Capabilities(max_batch_items=items, max_batch_bytes=most)
    made = list(parts(range(len(sizes)), sizes, able))
    assert [index for part in made for index in part] == list(range(len(sizes)))
    for part in made:
        assert part
        assert not items or len(part) <= items
        assert not most or len(part) == 1 or sum(sizes[index] for index in part) <= most
    for part, after in pairwise(made):
        full = items and len(part) == items
        assert full or sum(sizes[index] for index in [*part, after[0]]) > most


@pytest.mark.parametrize(
    "able",
    [
        Capabilities(max_item_bytes=500),
        Capabilities(max_item_bytes=500, max_batch_bytes=900),
        Capabilities(max_batch_bytes=500),
        Capabilities(max_item_bytes=900, max_batch_bytes=500),
    ],
)
async def test_what_is_too_large_is_refused_alone_and_never_sent(able: Capabilities) -> None:
    writes = [Write(point(0, 500)), Write(point(1, 501)), Write(point(2, 1))]
    store = Limited(able)
    written = await vectors(store).upsert(writes)
    assert results(written) == ["applied", "failed", "applied"]
    assert sorted(chain(*store.calls)) == ["0000", "0002"]
    assert written[1].error is not None
    said = from_store(written[1].error, "semantic")
    assert (said.code, said.reason) == (Code.INVALID_ARGUMENT, Reason.ITEM_TOO_LARGE)
    assert said.metadata == {"route": "semantic", "limit_bytes": "500", "actual_bytes": "501"}


async def test_a_batch_of_too_large_items_alone_reaches_nobody() -> None:
    store = Limited(Capabilities(max_item_bytes=10))
    assert results(await vectors(store).upsert([Write(point(0))])) == ["failed"]
    assert store.calls == []


async def test_the_first_part_fails_the_call_since_nothing_was_written() -> None:
    store = Limited(Capabilities(max_batch_items=2), fails_at=0)
    with pytest.raises(StoreError, match="down"):
        await vectors(store).upsert([Write(point(n)) for n in range(6)])
    assert store.sizes == [2]


@pytest.mark.parametrize(
    "write",
    [
        lambda store: vectors(store).upsert([Write(point(n)) for n in range(6)]),
        lambda store: key_values(store).put([Write(entry(n)) for n in range(6)]),
        lambda store: vectors(store).delete([Delete(address(n)) for n in range(6)]),
    ],
    ids=["upsert", "put", "delete"],
)
async def test_behind_a_part_that_was_written_a_failure_is_that_of_its_items(
    write: Callable[[Limited], object],
) -> None:
    error = StoreError(StoreReason.INTERRUPTED, "gone")
    store = Limited(Capabilities(max_batch_items=2), fails_at=1, error=error)
    done: list[WriteResult] = await write(store)  # type: ignore[misc]
    assert store.sizes == [2, 2], "nothing is sent behind a failure"
    assert [result.status is WriteStatus.FAILED for result in done] == [False] * 2 + [True] * 4
    errors = [result.error for result in done[2:] if result.error is not None]
    assert {each.reason for each in errors} == {StoreReason.INTERRUPTED}
    # Of the part that was under way nobody knows; of what was never sent everybody does.
    assert [each.metadata for each in errors] == [{"ambiguous": "true"}] * 2 + [{}] * 2


async def test_a_part_that_cannot_be_read_fails_the_call() -> None:
    store = Limited(Capabilities(max_batch_items=2), fails_at=1)
    with pytest.raises(StoreError, match="down"):
        await vectors(store).fetch([address(n) for n in range(6)])


async def test_a_part_with_an_answer_too_few_is_no_answer() -> None:
    store = Limited(Capabilities(max_batch_items=2), short=True)
    with pytest.raises(StoreError) as caught:
        await vectors(store).upsert([Write(point(n)) for n in range(3)])
    assert caught.value.reason is StoreReason.PROTOCOL


async def test_an_atomic_batch_is_never_split() -> None:
    able = Capabilities(max_batch_items=2, max_item_bytes=200, atomic=True)
    store = Limited(able)
    whole = [Write(entry(n)) for n in range(5)]
    assert await key_values(store).put(whole, atomic=True) == [APPLIED] * 5
    assert store.sizes == [5]
    refused = await key_values(store).put([*whole, Write(entry(5, 201))], atomic=True)
    assert results(refused) == ["failed"] * 6
    assert [result.error is None for result in refused] == [True] * 5 + [False]
    assert store.sizes == [5]
    deleted = await key_values(store).delete([Delete(address(n)) for n in range(5)], atomic=True)
    assert results(deleted) == ["missing"] * 5
    assert store.sizes == [5, 5]
