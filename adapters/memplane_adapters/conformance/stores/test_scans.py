"""Walks: each row exactly once, in order, whatever the size of a page."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from memplane_adapters.conformance.stores.fixtures import NOW, Subject
from memplane_adapters.contract import Condition, Cursor, Op, Order, Pushdown


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("order", Order)
@pytest.mark.asyncio
async def test_orders(subject: Subject, order: Order, descending: bool) -> None:
    if order is not Order.PLACE:
        subject.needs("ordered_scan")
    rows = [
        (((n * 7) % 5, (n * 3) % 4), (f"u{n % 3}",), f"k{n:02}")  # (time, update_time), ...
        for n in range(40)
    ]
    await subject.write(
        *(
            subject.entry(key, namespace, time=NOW + times[0], update_time=NOW + times[1])
            for times, namespace, key in rows
        )
    )
    way = -1 if descending else 1
    if order is Order.PLACE:
        rows.sort(key=lambda row: row[1:], reverse=descending)
    else:
        which = 0 if order is Order.TIME else 1
        rows.sort(key=lambda row: (way * row[0][which], row[1:]))
    keys = [key for _, _, key in rows]
    for limit in (1, 3, 39, 40, 41, 1000):
        assert await subject.walk(order=order, descending=descending, limit=limit) == keys
    some = [key for _, namespace, key in rows if namespace == ("u1",)]
    under = subject.scope("u1")
    assert await subject.walk(under, order=order, descending=descending, limit=4) == some


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.asyncio
async def test_times_before_1970_and_far_ahead(subject: Subject, descending: bool) -> None:
    subject.needs("ordered_scan")
    times = [-62_135_596_800_000_000, -1, 0, 1, NOW, NOW + 1, 253_402_300_799_999_999]
    await subject.write(
        *(subject.entry(f"{number}", time=time) for number, time in enumerate(times))
    )
    keys = [f"{number}" for number in range(len(times))]
    found = await subject.walk(order=Order.TIME, descending=descending, limit=2)
    assert found == (keys[::-1] if descending else keys)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.asyncio
async def test_field_38_300_rows_of_one_time(subject: Subject, descending: bool) -> None:
    """Ordered scroll had no offset, so rows of one time were lost or came twice."""
    subject.needs("ordered_scan")
    keys = [f"{n:03}" for n in range(300)]
    await subject.write(
        *(subject.entry(key, fields={"tags": ["x", "y"]}) for key in keys),
        subject.entry("older", time=NOW - 1),
        subject.entry("newer", time=NOW + 1),
    )
    whole = ["newer", *keys, "older"] if descending else ["older", *keys, "newer"]
    for order in (Order.TIME, Order.UPDATE_TIME):
        assert await subject.walk(order=order, descending=descending, limit=7) == whole


@pytest.mark.asyncio
async def test_field_37_2_500_rows_each_exactly_once_under_writes(subject: Subject) -> None:
    """Listing ended at the first 100 with no next page."""
    keys = [f"{n:04}" for n in range(2_500)]
    await subject.write(*(subject.entry(key) for key in keys))
    assert await subject.walk(limit=100) == keys

    walking = True

    async def disturb() -> int:
        turn = 0
        while walking:
            turn += 1
            await subject.write(subject.entry(f"{turn % 2500:04}+", time=NOW + turn, revision=turn))
            await subject.delete(subject.address(f"{(turn - 3) % 2500:04}+"))
            await asyncio.sleep(0)  # a store in memory may never wait, and would let nobody in
        return turn

    disturbing = asyncio.ensure_future(disturb())
    orders: list[dict[str, Any]] = [{}, {"descending": True}]
    if subject.capabilities.ordered_scan:
        orders += [{"order": Order.TIME}, {"order": Order.UPDATE_TIME, "descending": True}]
    try:
        for options in orders:
            found = await subject.walk(limit=100, **options)
            assert sorted(key for key in found if not key.endswith("+")) == keys
            assert len(set(found)) == len(found) or "order" in options
    finally:
        walking = False
        assert await disturbing > 0


@pytest.mark.asyncio
async def test_a_row_written_behind_the_cursor_is_found(subject: Subject) -> None:
    await subject.write(*(subject.entry(key) for key in ("a", "b", "d")))
    page = await subject.page(limit=2)
    await subject.write(subject.entry("c"), subject.entry("aa"))
    rest = await subject.page(after=page.next)
    assert [row.record for row in rest.rows] == [b"c", b"d"]


@pytest.mark.asyncio
async def test_a_walk_goes_on_where_its_row_was_deleted(subject: Subject) -> None:
    await subject.write(*(subject.entry(key) for key in "abcd"))
    page = await subject.page(limit=2)
    assert page.next is not None
    assert (page.next.namespace, page.next.key) == (("suite",), "b")
    await subject.delete(subject.address("b"))
    rest = await subject.page(after=page.next)
    assert [row.record for row in rest.rows] == [b"c", b"d"]


@pytest.mark.parametrize("order", Order)
@pytest.mark.asyncio
async def test_a_cursor_needs_no_row(subject: Subject, order: Order) -> None:
    if order is not Order.PLACE:
        subject.needs("ordered_scan")
    await subject.write(*(subject.entry(key) for key in "bdf"))
    value = 0 if order is Order.PLACE else NOW
    page = await subject.page(order=order, after=Cursor(value, ("suite",), "c"))
    assert [row.record for row in page.rows] == [b"d", b"f"]
    page = await subject.page(order=order, after=Cursor(value, ("zzz",), ""))
    assert (page.rows, page.next) == ((), None)


@pytest.mark.asyncio
async def test_a_budget_smaller_than_the_gap(subject: Subject) -> None:
    if subject.capabilities.pushdown(Op.EQ) is not Pushdown.EXACT:
        pytest.skip("the store does not declare eq as exact")
    await subject.write(
        *(subject.entry(f"{n:03}", fields={"hit": n in (3, 77)}) for n in range(100))
    )
    tree = Condition(("hit",), Op.EQ, operand=True)
    assert await subject.walk(filter=tree, budget=10) == ["003", "077"]
    assert await subject.walk(filter=tree, budget=1, limit=1) == ["003", "077"]
    assert await subject.walk(filter=tree, budget=10, descending=True) == ["077", "003"]
    first = await subject.page(filter=tree, budget=10)
    assert first.scanned <= 10
    if first.next is None:  # found by an index, without a look at the others
        assert [row.record for row in first.rows] == [b"003", b"077"]


@pytest.mark.asyncio
async def test_a_limit_that_is_met_tells_of_more(subject: Subject) -> None:
    await subject.write(*(subject.entry(key) for key in "abc"))
    page = await subject.page(limit=2)
    assert len(page.rows) == 2
    assert page.next is not None
    page = await subject.page(limit=4)
    assert len(page.rows) == 3
    assert page.next is None


@pytest.mark.asyncio
async def test_nothing_there(subject: Subject) -> None:
    page = await subject.page()
    assert (page.rows, page.next) == ((), None)
    assert await subject.count() == 0
    assert await subject.store.delete_where(subject.scope(), max_revision=1) == 0
    assert await subject.read(subject.address("k")) == [None]


@pytest.mark.asyncio
async def test_counts(subject: Subject) -> None:
    subject.needs("exact_count")
    await subject.write(
        *(subject.entry(f"{n}", namespace=(f"u{n % 3}",), fields={"n": n}) for n in range(30))
    )
    assert await subject.count() == 30
    assert await subject.count(subject.scope("u1")) == 10
    assert await subject.count(subject.scope(exact=True)) == 0
    if subject.capabilities.pushdown(Op.LT) is Pushdown.EXACT:
        assert await subject.count(tree=Condition(("n",), Op.LT, 12)) == 12
        assert await subject.count(subject.scope("u1"), Condition(("n",), Op.LT, 12)) == 4
