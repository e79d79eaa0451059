"""Writes and deletes: each happens once, or is told why not."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from memplane_adapters.conformance.stores.fixtures import (
    DIMENSION,
    KeyValues,
    Points,
    Subject,
    vector,
)
from memplane_adapters.contract import Delete, StoreReason, Write, WriteStatus

APPLIED, CONFLICT, MISSING, FAILED = WriteStatus


@pytest.mark.asyncio
async def test_results_come_in_the_order_of_the_request(subject: Subject) -> None:
    await subject.write(subject.entry("a"), subject.entry("c"))
    addresses = [subject.address(key) for key in ("c", "b", "a", "c")]
    rows = await subject.read(*addresses)
    assert [None if row is None else row.record for row in rows] == [b"c", None, b"a", b"c"]
    assert await subject.delete(*addresses[:3]) == [APPLIED, MISSING, APPLIED]


@pytest.mark.asyncio
async def test_delete_says_what_was_not_there(subject: Subject) -> None:
    await subject.write(subject.entry("k"))
    address = subject.address("k")
    assert await subject.delete(address) == [APPLIED]
    assert await subject.delete(address) == [MISSING]
    assert await subject.record(address) is None
    assert await subject.walk() == []
    assert await subject.count() == 0


@pytest.mark.asyncio
async def test_a_deleted_row_can_be_written_again(subject: Subject) -> None:
    await subject.write(subject.entry("k", record=b"old"))
    await subject.delete(subject.address("k"))
    await subject.write(subject.entry("k", revision=2, record=b"new"))
    assert await subject.walk() == ["new"]


@pytest.mark.asyncio
async def test_field_28_deleting_nothing_deletes_nothing(subject: Subject) -> None:
    """delete(ids=[]) deleted everything."""
    await subject.write(subject.entry("k"))
    assert await subject.store.delete([]) == []
    assert await subject.walk() == ["k"]


@pytest.mark.parametrize(
    ("there", "expected", "status"),
    [
        (None, None, APPLIED),
        (None, 0, APPLIED),
        (None, 7, CONFLICT),
        (7, None, APPLIED),
        (7, 0, CONFLICT),
        (7, 7, APPLIED),
        (7, 6, CONFLICT),
        (7, 8, CONFLICT),
        (2**62, 2**62, APPLIED),
        (2**62, 2**62 + 1, CONFLICT),
    ],
)
@pytest.mark.asyncio
async def test_a_write_wants_the_expected_revision(
    subject: Subject, there: int | None, expected: int | None, status: WriteStatus
) -> None:
    subject.needs("conditional_write")
    if there is not None:
        await subject.write(subject.entry("k", revision=there, record=b"old"))
    new = subject.entry("k", revision=2**62 + 5, record=b"new")
    (result,) = await subject.try_write([new], expected=expected)
    assert result.status is status
    now = b"new" if status is APPLIED else (None if there is None else b"old")
    assert await subject.record(subject.address("k")) == now


@pytest.mark.parametrize(
    ("there", "expected", "status"),
    [
        (None, None, MISSING),
        (None, 0, MISSING),
        (None, 7, CONFLICT),
        (7, None, APPLIED),
        (7, 0, CONFLICT),
        (7, 7, APPLIED),
        (7, 6, CONFLICT),
    ],
)
@pytest.mark.asyncio
async def test_a_delete_wants_the_expected_revision(
    subject: Subject, there: int | None, expected: int | None, status: WriteStatus
) -> None:
    subject.needs("conditional_write")
    if there is not None:
        await subject.write(subject.entry("k", revision=there))
    assert await subject.delete(subject.address("k"), expected=expected) == [status]
    left = there is not None and status is not APPLIED
    assert await subject.record(subject.address("k")) == (b"k" if left else None)


@pytest.mark.asyncio
async def test_conflicts_leave_the_rest_of_a_batch(subject: Subject) -> None:
    subject.needs("conditional_write")
    await subject.write(subject.entry("b", record=b"old"))
    entries = [subject.entry(key, revision=2, record=b"new") for key in "abc"]
    results = await subject.try_write(entries, expected=0)
    assert [result.status for result in results] == [APPLIED, CONFLICT, APPLIED]
    assert await subject.walk() == ["new", "old", "new"]


@pytest.mark.asyncio
async def test_field_32_racing_conditional_writes_have_one_winner(subject: Subject) -> None:
    """Parallel adds stored the same memory twice: 50 writers, one winner a round (also 59)."""
    subject.needs("conditional_write")
    address, writers, current = subject.address("k"), 50, 0
    for revision in range(1, 6):
        rivals = [
            subject.entry("k", revision=revision, record=f"{revision}/{writer}".encode())
            for writer in range(writers)
        ]
        results = await asyncio.gather(
            *(subject.try_write([rival], expected=current) for rival in rivals)
        )
        statuses = Counter(result.status for (result,) in results)
        assert statuses == {APPLIED: 1, CONFLICT: writers - 1}
        winner = next(
            rival for rival, (one,) in zip(rivals, results, strict=True) if one.status is APPLIED
        )
        assert await subject.record(address) == winner.record
        current = revision
    deletes = await asyncio.gather(
        *(subject.delete(address, expected=current) for _ in range(writers))
    )
    assert Counter(status for (status,) in deletes)[APPLIED] == 1


@pytest.mark.asyncio
async def test_read_modify_write_loses_nothing(subject: Subject) -> None:
    subject.needs("conditional_write", "read_your_writes")
    await subject.write(subject.entry("k", revision=1, record=b"1"))

    async def count_up() -> None:
        while True:
            record = await subject.record(subject.address("k"))
            assert record is not None
            now = int(record)
            following = subject.entry("k", revision=now + 1, record=str(now + 1).encode())
            (result,) = await subject.try_write([following], expected=now)
            if result.status is APPLIED:
                return

    await asyncio.gather(*(count_up() for _ in range(50)))
    assert await subject.record(subject.address("k")) == b"51"


@pytest.mark.asyncio
async def test_field_59_many_clients_at_once_lose_nothing(subject: Subject) -> None:
    """Concurrent writers got "database is locked" and lost writes: 32 clients."""

    async def client(number: int) -> None:
        for turn in range(20):
            key = f"{number:02}/{turn:02}"
            (result,) = await subject.try_write([subject.entry(key)])
            assert result.status is APPLIED
            if turn % 5 == 4:
                assert await subject.delete(subject.address(key)) == [APPLIED]
            elif subject.capabilities.read_your_writes:
                assert await subject.record(subject.address(key)) == key.encode()

    await asyncio.gather(*(client(number) for number in range(32)))
    left = [f"{one:02}/{turn:02}" for one in range(32) for turn in range(20) if turn % 5 != 4]
    assert await subject.walk(limit=100) == left
    assert await subject.count() == len(left)


@pytest.mark.asyncio
async def test_field_33_one_bad_item_fails_alone(points: Points) -> None:
    """Failed batch items were only logged and their ids returned."""
    wrong = vector(1.0).repeat(2)
    assert wrong.size == 2 * DIMENSION
    results = await points.try_write(
        [points.point("a"), points.point("b", wrong), points.point("c")]
    )
    assert [result.status for result in results] == [APPLIED, FAILED, APPLIED]
    error = results[1].error
    assert error is not None
    assert error.reason is StoreReason.IDENTITY_MISMATCH
    assert not error.retryable
    assert await points.walk() == ["a", "c"]


@pytest.mark.asyncio
async def test_an_atomic_put_is_all(key_values: KeyValues) -> None:
    key_values.needs("atomic", "conditional_write")
    entries = [key_values.entry(key) for key in "abc"]
    results = await key_values.try_write(entries, expected=0, atomic=True)
    assert [result.status for result in results] == [APPLIED] * 3
    assert await key_values.walk() == ["a", "b", "c"]


@pytest.mark.asyncio
async def test_an_atomic_put_is_nothing(key_values: KeyValues) -> None:
    key_values.needs("atomic", "conditional_write")
    await key_values.write(key_values.entry("b", record=b"old"))
    entries = [key_values.entry(key, revision=2, record=b"new") for key in "abc"]
    results = await key_values.try_write(entries, expected=0, atomic=True)
    assert [result.status for result in results] == [FAILED, CONFLICT, FAILED]
    assert [result.error for result in results] == [None] * 3
    assert await key_values.walk() == ["old"]
    assert await key_values.count() == 1


@pytest.mark.asyncio
async def test_an_atomic_delete_is_all(key_values: KeyValues) -> None:
    key_values.needs("atomic")
    await key_values.write(*(key_values.entry(key) for key in "abd"))
    deletes = [Delete(key_values.address(key)) for key in "abc"]
    results = await key_values.store.delete(deletes, atomic=True)
    assert [result.status for result in results] == [APPLIED, APPLIED, MISSING]
    assert await key_values.walk() == ["d"]


@pytest.mark.asyncio
async def test_an_atomic_delete_is_nothing(key_values: KeyValues) -> None:
    key_values.needs("atomic", "conditional_write")
    await key_values.write(key_values.entry("a"), key_values.entry("b", revision=2))
    asked = {"a": 1, "b": 1, "c": 0}
    deletes = [Delete(key_values.address(key), expected) for key, expected in asked.items()]
    results = await key_values.store.delete(deletes, atomic=True)
    assert [result.status for result in results] == [FAILED, CONFLICT, MISSING]
    assert [result.error for result in results] == [None] * 3
    assert await key_values.walk() == ["a", "b"]


@pytest.mark.asyncio
async def test_racing_atomic_puts_do_not_mix(key_values: KeyValues) -> None:
    key_values.needs("atomic")

    async def writer(name: str) -> None:
        for turn in range(1, 11):
            entries = [key_values.entry(key, revision=turn, record=name.encode()) for key in "abc"]
            await key_values.store.put([Write(entry) for entry in entries], atomic=True)

    writing = asyncio.gather(*(writer(name) for name in "xyz"))
    while not writing.done():
        page = await key_values.page()
        assert len({row.record for row in page.rows}) <= 1
        await asyncio.sleep(0)  # a store that never waits lets no other task in between
    await writing
    assert len(set(await key_values.walk())) == 1


@pytest.mark.asyncio
async def test_a_cancelled_write_is_whole_or_not_at_all(subject: Subject) -> None:
    waiting = [
        asyncio.ensure_future(
            subject.try_write([subject.entry(f"{one:02}/{half}") for half in "ab"])
        )
        for one in range(40)
    ]
    await asyncio.sleep(0)
    for task in waiting[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert not any(isinstance(one, Exception) for one in outcomes)
    await subject.write(subject.entry("z"))  # comes behind all of them
    halves = Counter(key.partition("/")[0] for key in await subject.walk(limit=100))
    assert all(halves[f"{one:02}"] == 2 for one in range(1, 40, 2))
    if subject.capabilities.atomic:
        assert all(halves[f"{one:02}"] in (0, 2) for one in range(0, 40, 2))


@pytest.mark.asyncio
async def test_several_writes_of_one_address_in_a_batch_go_in_order(subject: Subject) -> None:
    entries = [subject.entry("k", revision=turn, record=b"%d" % turn) for turn in (1, 2, 3)]
    results = await subject.try_write(entries)
    assert [result.status for result in results] == [APPLIED] * 3
    assert await subject.walk() == ["3"]
    twice = [Delete(subject.address("k"))] * 2
    statuses = [result.status for result in await subject.store.delete(twice)]
    assert statuses == [APPLIED, MISSING]
