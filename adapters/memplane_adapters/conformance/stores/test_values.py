"""Records, vectors and fields come back, or are found, exactly as they were written."""

from __future__ import annotations

import os

import numpy as np
import pytest

from memplane_adapters.conformance.stores.fixtures import Points, Subject, some_vectors, vector
from memplane_adapters.conformance.strategies import VALUES
from memplane_adapters.contract import Condition, Op, Pushdown, equal

_RECORDS = {
    "one zero": b"\0",
    "zeros": b"\0\0\0",
    "every byte": bytes(range(256)),
    "no text": b"\xff\xfe\xc3\x28",
    "quotes": b"'\"\\\r\n",
    "64 KiB": os.urandom(65536),
    "64 KiB of zeros": bytes(65536),
}


@pytest.mark.parametrize("record", list(_RECORDS.values()), ids=list(_RECORDS))
@pytest.mark.asyncio
async def test_records_come_back_byte_by_byte(subject: Subject, record: bytes) -> None:
    able = subject.capabilities
    for name, limit in (
        ("max_item_bytes", able.max_item_bytes),
        ("max_metadata_bytes", able.max_metadata_bytes),
    ):
        if 0 < limit < 2 * len(record):
            pytest.skip(f"the store declares a lower {name}")
    await subject.write(subject.entry("k", record=record))
    assert await subject.record(subject.address("k")) == record
    (row,) = await subject.walk_rows()
    assert row.record == record
    if isinstance(subject, Points) and subject.capabilities.vector:
        (hit,) = await subject.query(vector=vector(1.0))
        assert hit.record == record


@pytest.mark.asyncio
async def test_vectors_come_back_when_asked(points: Points) -> None:
    vectors = some_vectors(5)
    await points.write(*(points.point(f"k{number}", at) for number, at in enumerate(vectors)))
    addresses = [points.address(f"k{number}") for number in range(5)]
    fetched = await points.store.fetch(addresses, vectors=True)
    walked = await points.walk_rows(vectors=True)
    for at, row, other in zip(vectors, fetched, walked, strict=True):
        assert row is not None
        for found in (row.vector, other.vector):
            assert found is not None
            assert found.dtype == np.float32
            assert found.shape == at.shape
            np.testing.assert_allclose(found, at, atol=1e-6)
    plain = await points.store.fetch(addresses)
    assert [row.vector for row in plain if row is not None] == [None] * 5


@pytest.mark.asyncio
async def test_vectors_of_hits_come_back_when_asked(points: Points) -> None:
    points.needs("vector")
    at = vector(1.0, 2.0, 3.0)
    await points.write(points.point("k", at))
    (hit,) = await points.query(vector=at, vectors=True)
    assert hit.vector is not None
    np.testing.assert_allclose(hit.vector, at, atol=1e-6)
    (hit,) = await points.query(vector=at)
    assert hit.vector is None


@pytest.mark.asyncio
async def test_field_21_fields_of_every_type_are_told_apart(subject: Subject) -> None:
    """Integers came back as floats; null, [], {}, "" and absent were one (also 22, 5, 7)."""
    if subject.capabilities.pushdown(Op.EQ) is not Pushdown.EXACT:
        pytest.skip("the store does not declare eq as exact")
    await subject.write(
        subject.entry("absent"),
        *(
            subject.entry(f"{number:03}", fields={"v": value})
            for number, value in enumerate(VALUES)
        ),
    )
    for value in VALUES:
        if subject.capabilities.scalar_operands and isinstance(value, list | dict):
            continue  # the gateway asks for something wider and checks again
        alike = [f"{number:03}" for number, other in enumerate(VALUES) if equal(value, other)] + (
            ["absent"] if value is None else []
        )
        assert await subject.walk(filter=Condition(("v",), Op.EQ, value)) == alike, value


@pytest.mark.asyncio
async def test_field_7_a_name_with_a_dot_is_no_path(subject: Subject) -> None:
    """A dotted name was a nested path on one store, a literal name on another."""
    if subject.capabilities.pushdown(Op.EQ) is not Pushdown.EXACT:
        pytest.skip("the store does not declare eq as exact")
    await subject.write(
        subject.entry("flat", fields={"a.b": 1}),
        subject.entry("nested", fields={"a": {"b": 1}}),
        subject.entry("both", fields={"a": {"b": 2}, "a.b": 1}),
    )
    flat, nested = Condition(("a.b",), Op.EQ, 1), Condition(("a", "b"), Op.EQ, 1)
    assert await subject.walk(filter=flat) == ["both", "flat"]
    assert await subject.walk(filter=nested) == ["nested"]
    if not subject.capabilities.scalar_operands:
        assert await subject.walk(filter=Condition(("a",), Op.EQ, {"b": 1})) == ["nested"]


@pytest.mark.asyncio
async def test_writing_again_replaces_the_whole(subject: Subject) -> None:
    await subject.write(subject.entry("k", fields={"old": 1, "same": 1}, record=b"first"))
    await subject.write(subject.entry("k", fields={"same": 1}, record=b"second", revision=2))
    assert await subject.record(subject.address("k")) == b"second"
    assert await subject.count() == 1
    if subject.capabilities.pushdown(Op.EXISTS) is Pushdown.EXACT:
        assert await subject.walk(filter=Condition(("old",), Op.EXISTS)) == []
        assert await subject.walk(filter=Condition(("same",), Op.EXISTS)) == ["second"]
