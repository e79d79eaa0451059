"""What has expired, by the clock of the gateway and not of the store, is not there."""

from __future__ import annotations

import dataclasses

import pytest

from memplane_adapters.conformance.stores.fixtures import NOW, Points, Subject, vector
from memplane_adapters.contract import Condition, Op, Order, Pushdown

_FAR = NOW + 10**15


@pytest.mark.asyncio
async def test_field_40_expired_rows_are_hidden(subject: Subject) -> None:
    """Expired rows were visible until the sweep."""
    await subject.write(
        subject.entry("dead", expire_time=NOW - 1),
        subject.entry("just", expire_time=NOW),
        subject.entry("still", expire_time=NOW + 1),
        subject.entry("long", expire_time=_FAR),
        subject.entry("always"),
    )
    alive = ["always", "long", "still"]
    assert await subject.walk() == alive
    assert await subject.walk(limit=1) == alive
    assert await subject.count() == 3
    later = subject.scope(at=NOW + 1)
    assert await subject.walk(later) == ["always", "long"]
    assert await subject.count(later) == 2
    if subject.capabilities.ordered_scan:
        assert await subject.walk(order=Order.TIME, descending=True) == alive
    if isinstance(subject, Points) and subject.capabilities.vector:
        assert await subject.search(vector=vector(1.0)) == alive
        assert await subject.search(later, vector=vector(1.0)) == ["always", "long"]


@pytest.mark.asyncio
async def test_expired_rows_are_read_by_address(subject: Subject) -> None:
    subject.lacks("expiry")
    await subject.write(subject.entry("dead", expire_time=NOW - 1))
    assert await subject.record(subject.address("dead")) == b"dead"


@pytest.mark.asyncio
async def test_expired_rows_are_rows_to_a_conditional_write(subject: Subject) -> None:
    subject.needs("conditional_write")
    subject.lacks("expiry")
    dead = subject.entry("dead", expire_time=NOW - 1, revision=5)
    await subject.write(dead)
    (result,) = await subject.try_write([subject.entry("dead", revision=6)], expected=0)
    assert result.status == "conflict"
    (result,) = await subject.try_write([subject.entry("dead", revision=6)], expected=5)
    assert result.status == "applied"
    assert await subject.walk() == ["dead"]


@pytest.mark.asyncio
async def test_expiry_is_taken_away_by_a_write_without(subject: Subject) -> None:
    await subject.write(subject.entry("k", expire_time=NOW - 1))
    assert await subject.count() == 0
    await subject.write(subject.entry("k", revision=2))
    assert await subject.walk() == ["k"]
    await subject.write(subject.entry("k", revision=3, expire_time=NOW - 1))
    assert await subject.walk() == []


@pytest.mark.asyncio
async def test_expired_rows_do_not_use_up_a_page(points: Points) -> None:
    points.needs("vector")
    await points.write(
        *(points.point(f"dead{number}", expire_time=NOW) for number in range(40)),
        points.point("alive", vector(1.0, 1.0)),
    )
    assert await points.search(vector=vector(1.0), limit=5) == ["alive"]
    assert await points.walk(limit=5) == ["alive"]


@pytest.mark.asyncio
async def test_a_sweep_sees_what_has_expired_and_nothing_else(subject: Subject) -> None:
    """A store that drops expired rows by itself may have done so already."""
    other = dataclasses.replace(subject, tenant=f"{subject.tenant}-2")
    await other.write(other.entry("dead", expire_time=NOW))
    await subject.write(
        subject.entry("dead", expire_time=NOW - 1, fields={"n": 1}),
        subject.entry("just", ("suite", "below"), expire_time=NOW, fields={"n": 2}),
        subject.entry("still", expire_time=NOW + 1),
        subject.entry("always"),
    )
    gone = dataclasses.replace(subject.scope(), expired=True)
    deep = dataclasses.replace(subject.scope("suite", "below"), expired=True)
    later = dataclasses.replace(subject.scope(at=NOW + 1), expired=True)
    seen = await subject.walk(gone)
    if subject.capabilities.expiry:
        assert set(seen) <= {"dead", "just"}
        return
    assert seen == await subject.walk(gone, limit=1) == ["dead", "just"]
    assert await subject.walk(gone, descending=True) == ["just", "dead"]
    assert await subject.walk(deep) == ["just"]
    assert await subject.walk(later) == ["dead", "still", "just"]
    if subject.capabilities.exact_count:
        assert [await subject.count(scope) for scope in (gone, deep, later)] == [2, 1, 3]
    if subject.capabilities.pushdown(Op.EQ) is Pushdown.EXACT:
        assert await subject.walk(gone, filter=Condition(("n",), Op.EQ, 2)) == ["just"]
    assert await subject.walk() == ["always", "still"]
    assert await subject.store.delete_where(gone, max_revision=9) == 2
    assert await subject.walk(later) == ["still"]
    assert await subject.walk() == ["always", "still"]


@pytest.mark.asyncio
async def test_a_period_begins_again_at_the_same_revision(subject: Subject) -> None:
    """What renews a memory changes its expiry alone, and only where nobody has written since."""
    await subject.write(subject.entry("k", revision=5, expire_time=NOW + 1))
    longer = subject.entry("k", revision=5, expire_time=NOW + 10)
    native = subject.capabilities.conditional_write == "native"
    (result,) = await subject.try_write([longer], expected=5 if native else None)
    assert result.status == "applied"
    later = subject.scope(at=NOW + 5)
    assert await subject.walk(later) == ["k"]
    assert await subject.count(later) == 1
    if isinstance(subject, Points) and subject.capabilities.vector:
        assert await subject.search(later, vector=vector(1.0)) == ["k"]
    if native:
        await subject.write(subject.entry("k", revision=6))
        (result,) = await subject.try_write([longer], expected=5)
        assert result.status == "conflict"
        assert await subject.walk(subject.scope(at=NOW + 20)) == ["k"]
