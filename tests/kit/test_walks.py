"""Ordered walks over outlines without order: each row once, in order, with little looked at."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memplane_adapters.contract import Address, Cursor, Kind, Order, Scan, Scope, Stored
from memplane_adapters.kit import walks
from memplane_adapters.kit.walks import Fetch, Outline, Spot, Walks

SCOPE = Scope("t", Kind.SEMANTIC, 0)
NOW = 1_767_225_600_000_000


class Rows:
    """Rows in a store that knows no order."""

    def __init__(self, values: Sequence[int]) -> None:
        chance = random.Random(7)
        self.spots = [
            Spot(value, (chance.choice("ab"),), f"{chance.random():.6f}", str(number))
            for number, value in enumerate(values)
        ]
        self.gone: set[str] = set()
        self.outlined = 0
        self.fetched = 0

    def outline(self, order: Order) -> Outline:
        async def outline(low: int | None, high: int | None) -> AsyncIterator[Iterable[Spot]]:
            for spot in random.Random(3).sample(self.spots, len(self.spots)):
                inside = (low is None or spot.value >= low) and (high is None or spot.value < high)
                if inside:
                    self.outlined += 1
                    yield [spot._replace(value=0) if order is Order.PLACE else spot]

        return outline

    @property
    def fetch(self) -> Fetch:
        async def fetch(spots: Sequence[Spot]) -> Sequence[Stored | None]:
            self.fetched += len(spots)
            return [None if spot.id in self.gone else Stored(spot.id.encode()) for spot in spots]

        return fetch

    async def walk(self, walking: Walks, **options: Any) -> list[str]:
        order = options.get("order", Order.PLACE)
        found: list[str] = []
        after: Cursor | None = None
        while True:
            scan = Scan(scope=SCOPE, after=after, **options)
            page = await walking.page(scan, self.outline(order), self.fetch)
            assert len(page.rows) <= scan.limit
            assert page.scanned <= scan.budget
            found += [row.record.decode() for row in page.rows]
            if page.next is None:
                return found
            assert page.next != after
            after = page.next

    def right(self, order: Order, *, descending: bool) -> list[str]:
        if order is Order.PLACE:
            spots = sorted(
                self.spots, key=lambda spot: (spot.namespace, spot.key), reverse=descending
            )
        else:
            spots = sorted(self.spots, key=walks.time_order(descending=descending))
        return [spot.id for spot in spots if spot.id not in self.gone]


VALUES = st.lists(
    st.sampled_from([NOW, NOW - 1, NOW + 10**9, 0, -5, NOW - 10**13]) | st.integers(0, 2 * NOW),
    max_size=60,
)


WALKS = st.fixed_dictionaries(
    {
        "order": st.sampled_from(Order),
        "descending": st.booleans(),
        "limit": st.integers(1, 30),
        "budget": st.integers(1, 50),
    }
)


@given(values=VALUES, options=WALKS, gone=st.sets(st.integers(0, 60), max_size=10))
@pytest.mark.asyncio
async def test_a_walk_meets_each_row_once_and_in_order(
    values: list[int], options: dict[str, Any], gone: set[int]
) -> None:
    rows = Rows(values)
    rows.gone = {str(number) for number in gone}
    found = await rows.walk(Walks(lambda: NOW), **options)
    assert found == rows.right(options["order"], descending=options["descending"])


@pytest.mark.asyncio
async def test_walks_that_begin_alike_each_learn_what_is_written_meanwhile() -> None:
    """One is told before the other begins, and the other after the first has its outline."""
    walking, rows = Walks(), Rows([])
    gates = [asyncio.Event(), asyncio.Event()]

    async def walk(gate: asyncio.Event) -> list[str]:
        async def outline(_low: int | None, _high: int | None) -> AsyncIterator[Iterable[Spot]]:
            yield []
            await gate.wait()

        page = await walking.page(Scan(scope=SCOPE), outline, rows.fetch)
        return [row.record.decode() for row in page.rows]

    async with asyncio.TaskGroup() as tasks:
        first, second = (tasks.create_task(walk(gate)) for gate in gates)
        await asyncio.sleep(0)
        gates[1].set()
        await second
        walking.noted(Address("t", Kind.SEMANTIC, ("n",), "k"), "new")
        gates[0].set()
    assert (first.result(), second.result()) == (["new"], [])


@pytest.mark.asyncio
async def test_a_walk_by_place_takes_one_outline() -> None:
    rows = Rows(range(500))
    assert await rows.walk(Walks(), limit=50) == rows.right(Order.PLACE, descending=False)
    assert rows.outlined == 500


@pytest.mark.asyncio
async def test_a_walk_that_leaps_takes_one_outline() -> None:
    rows, walking = Rows(range(500)), Walks()
    scan = Scan(scope=SCOPE, limit=3)
    page = await walking.page(scan, rows.outline(Order.PLACE), rows.fetch)
    assert page.next is not None
    inside = [spot for spot in rows.spots if spot.namespace == ("b",)]
    leap = replace(scan, after=Cursor(0, ("a", "~"), ""), resumes=page.next, limit=500)
    landed = await walking.page(leap, rows.outline(Order.PLACE), rows.fetch)
    assert [row.record.decode() for row in landed.rows] == [
        spot.id for spot in sorted(inside, key=lambda spot: spot.key)
    ]
    beyond = replace(scan, after=Cursor(0, ("c",), ""), resumes=page.next)
    assert (await walking.page(beyond, rows.outline(Order.PLACE), rows.fetch)).next is None
    assert rows.outlined == 500
    rows.spots.append(Spot(0, ("c",), "k", "of another process"))
    unknown = replace(scan, after=Cursor(0, ("b", "~"), ""))
    found = await walking.page(unknown, rows.outline(Order.PLACE), rows.fetch)
    assert [row.record for row in found.rows] == [b"of another process"], "no walk came here"


@pytest.mark.asyncio
async def test_a_walk_longer_than_what_is_kept_takes_more_outlines() -> None:
    rows = Rows(range(450))
    for descending in (False, True):
        for order in Order:
            found = await rows.walk(Walks(kept=100), order=order, descending=descending, limit=7)
            assert found == rows.right(order, descending=descending)


@pytest.mark.asyncio
async def test_a_new_walk_sees_what_was_written_since_the_last_one() -> None:
    rows = Rows(range(20))
    walking = Walks()
    await rows.walk(walking, limit=5)
    rows.spots.append(Spot(0, ("a",), "zz", "new"))
    assert await rows.walk(walking, limit=5) == rows.right(Order.PLACE, descending=False)


@pytest.mark.parametrize("descending", [False, True])
@given(st.lists(st.integers(0, 99), max_size=30), st.integers(1, 5), st.integers(2, 200))
@pytest.mark.asyncio
async def test_a_walk_meets_what_is_written_behind_its_cursor(
    descending: bool, written: list[int], limit: int, kept: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walks, "KEPT_SPOTS", kept)
        rows, walking = Rows(range(40)), Walks()
        found: list[str] = []
        scan = Scan(scope=SCOPE, limit=limit, descending=descending)
        expected = set(rows.right(Order.PLACE, descending=descending))
        for number in written:
            page = await walking.page(scan, rows.outline(Order.PLACE), rows.fetch)
            found += [row.record.decode() for row in page.rows]
            if page.next is None:
                return
            scan = replace(scan, after=page.next)
            address = Address("t", Kind.SEMANTIC, ("b",), f"{number / 100:.6f}")
            spot = Spot(0, address.namespace, address.key, f"new-{number}")
            if spot not in rows.spots:
                rows.spots.append(spot)
                if walks.is_behind(spot, scan):
                    expected.add(spot.id)
            walking.noted(address, spot.id)
        while scan.after is not None:
            page = await walking.page(scan, rows.outline(Order.PLACE), rows.fetch)
            found += [row.record.decode() for row in page.rows]
            if page.next is None:
                break
            scan = replace(scan, after=page.next)
        if scan.after is not None:
            assert set(found) == expected
            assert len(found) == len(expected)


@pytest.mark.asyncio
async def test_what_is_written_during_the_outline_is_met() -> None:
    rows, walking = Rows(range(20)), Walks()
    late = Address("t", Kind.SEMANTIC, ("b",), "zz")

    async def outline(low: int | None, high: int | None) -> AsyncIterator[Iterable[Spot]]:
        async for part in rows.outline(Order.PLACE)(low, high):
            yield part
        walking.noted(late, "late")

    scan = Scan(scope=SCOPE, limit=50)
    page = await walking.page(scan, outline, rows.fetch)
    assert page.rows[-1].record == b"late"


@pytest.mark.asyncio
async def test_the_newest_of_many_are_found_in_a_small_window() -> None:
    rows = Rows([NOW - number * 1_000_000 for number in range(20_000)])
    walking = Walks(lambda: NOW)
    scan = Scan(scope=SCOPE, order=Order.TIME, descending=True, limit=10)
    for _ in range(3):
        rows.outlined = 0
        page = await walking.page(scan, rows.outline(Order.TIME), rows.fetch)
        assert [row.record for row in page.rows] == [str(number).encode() for number in range(10)]
    assert rows.outlined <= 3601
    assert rows.fetched == 30


@pytest.mark.asyncio
async def test_bytes_end_a_page() -> None:
    rows = Rows(range(100))
    scan = Scan(scope=SCOPE, limit=50, max_bytes=10)
    page = await Walks().page(scan, rows.outline(Order.PLACE), rows.fetch)
    assert sum(len(row.record) for row in page.rows) >= 10
    assert sum(len(row.record) for row in page.rows[:-1]) < 10
    assert page.next is not None
