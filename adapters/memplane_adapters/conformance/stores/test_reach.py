"""How far a query or a walk reaches: beyond any cap of the vendor's, and never past the filter."""

from __future__ import annotations

import random
from typing import Any

import pytest

from memplane_adapters.conformance.stores.fixtures import NOW, Points, Subject, vector
from memplane_adapters.contract import All, Condition, Op, Order, Pushdown

_ROWS = 1_200


@pytest.mark.asyncio
async def test_field_39_a_limit_beyond_every_cap_is_no_empty_answer(points: Points) -> None:
    """Over-fetching ten times the limit passed the backend's cap of 100 and returned []."""
    points.needs("vector")
    keys = [f"{number:04}" for number in range(_ROWS)]
    await points.write(*(points.point(key, vector(1.0, n / 50)) for n, key in enumerate(keys)))
    for limit in (101, 1_001, _ROWS, 10_000):
        found = await points.search(vector=vector(1.0), limit=limit)
        assert found == keys[:limit]
    for limit in (101, 1_001, 10_000):
        page = await points.page(limit=limit)
        assert [row.record.decode() for row in page.rows] == keys[:limit]
    many = [points.address(key) for key in keys]
    assert all(row is not None for row in await points.read(*many))


@pytest.mark.asyncio
async def test_field_12_a_filter_holds_for_what_is_found_by_words(points: Points) -> None:
    """The local engine ignored the outer filter of a fused query."""
    points.needs("keyword")
    if points.capabilities.pushdown(Op.EQ) is not Pushdown.EXACT:
        pytest.skip("the store does not declare eq as exact")
    await points.write(
        *(
            points.point(f"{n:02}", terms="green tea", fields={"owner": f"u{n % 4}"})
            for n in range(40)
        )
    )
    tree = Condition(("owner",), Op.EQ, "u2")
    found = await points.search(terms=("tea",), filter=tree, limit=100)
    assert sorted(found) == [f"{n:02}" for n in range(2, 40, 4)]


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.asyncio
async def test_field_44_hits_and_rows_are_in_order_under_a_filter(
    points: Points, filtered: bool
) -> None:
    """Filtered matches came out of score order."""
    points.needs("vector")
    if filtered and points.capabilities.pushdown(Op.EQ) is not Pushdown.EXACT:
        pytest.skip("the store does not declare eq as exact")
    numbers = list(range(200))
    random.Random(44).shuffle(numbers)
    for number in numbers:  # one by one, so that no order of theirs is the right one
        await points.write(
            points.point(
                f"{number:03}",
                vector(1.0, number / 20),
                time=NOW - number,
                fields={"even": number % 2 == 0, "here": "yes"},
            )
        )
    tree = All((Condition(("even",), Op.EQ, True), Condition(("here",), Op.EQ, "yes")))
    options: dict[str, Any] = {"filter": tree} if filtered else {}
    expected = [f"{number:03}" for number in range(0, 200, 2 if filtered else 1)]
    assert await points.search(vector=vector(1.0), limit=200, **options) == expected
    assert await points.search(vector=vector(1.0), limit=17, **options) == expected[:17]
    assert await points.walk(limit=17, **options) == expected
    if points.capabilities.ordered_scan:
        newest = await points.walk(order=Order.TIME, descending=True, limit=17, **options)
        assert newest == expected


@pytest.mark.asyncio
async def test_field_3_a_filter_reaches_every_call(subject: Subject) -> None:
    """The caller's filter never reached the query, and another user's row was returned."""
    if subject.capabilities.pushdown(Op.EQ) is not Pushdown.EXACT:
        pytest.skip("the store does not declare eq as exact")
    await subject.write(
        subject.entry("mine", fields={"user": "ada"}),
        subject.entry("theirs", fields={"user": "bob"}),
    )
    mine, nobody = (Condition(("user",), Op.EQ, name) for name in ("ada", "nobody"))
    assert (await subject.walk(filter=mine), await subject.count(tree=mine)) == (["mine"], 1)
    assert (await subject.walk(filter=nobody), await subject.count(tree=nobody)) == ([], 0)
    if isinstance(subject, Points) and subject.capabilities.vector:
        assert await subject.search(vector=vector(1.0), filter=mine) == ["mine"]
        assert await subject.search(vector=vector(1.0), filter=nobody) == []
    assert await subject.store.delete_where(subject.scope(), nobody, max_revision=9) == 0
    assert await subject.store.delete_where(subject.scope(), mine, max_revision=9) == 1
    assert await subject.walk() == ["theirs"]
