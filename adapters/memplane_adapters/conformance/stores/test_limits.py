"""What a store declares to take in one call it takes in one call."""

from __future__ import annotations

import pytest

from memplane_adapters.conformance.stores.fixtures import Subject
from memplane_adapters.contract import WriteStatus

APPLIED = WriteStatus.APPLIED
_MIB = 2**20
_BESIDE = 2_000
"""More than an item has beside its record."""


@pytest.mark.asyncio
async def test_field_35_a_batch_of_as_many_items_as_are_declared(subject: Subject) -> None:
    """A batch above the vendor's own limit failed, or looked like a timeout."""
    subject.needs("max_batch_items")
    most = min(subject.capabilities.max_batch_items, 1_000)
    entries = [subject.entry(f"{number:04}") for number in range(most)]
    results = await subject.try_write(entries)
    assert [result.status for result in results] == [APPLIED] * most
    assert await subject.walk(limit=most) == [f"{number:04}" for number in range(most)]
    found = await subject.read(*(entry.address for entry in entries))
    assert [row.record if row else None for row in found] == [entry.record for entry in entries]


@pytest.mark.asyncio
async def test_field_35_a_batch_of_as_many_bytes_as_are_declared(subject: Subject) -> None:
    able = subject.capabilities
    subject.needs("max_batch_bytes")
    limits = (able.max_item_bytes, able.max_metadata_bytes, able.max_batch_bytes, _MIB)
    each = min(filter(None, limits)) * 3 // 5 if able.max_metadata_bytes else _MIB
    number = min(able.max_batch_bytes, 8 * _MIB) // (each + _BESIDE)
    records = [bytes([place]) * each for place in range(number)]
    entries = [subject.entry(f"{place}", record=record) for place, record in enumerate(records)]
    results = await subject.try_write(entries)
    assert [result.status for result in results] == [APPLIED] * number
    for entry, record in zip(entries, records, strict=True):
        assert await subject.record(entry.address) == record
