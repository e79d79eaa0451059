"""What has expired, by the clock of the gateway and not of the store, is not there."""

from __future__ import annotations

import pytest

from memplane_adapters.conformance.stores.fixtures import NOW, Points, Subject, vector
from memplane_adapters.contract import Order

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
