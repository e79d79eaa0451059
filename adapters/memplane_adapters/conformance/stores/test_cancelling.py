"""Callers who give up: nobody else hears their answers, or waits for them."""

from __future__ import annotations

import asyncio
import random

import pytest

from memplane_adapters.conformance.stores.fixtures import Subject
from memplane_adapters.contract import WriteStatus

APPLIED = WriteStatus.APPLIED
_CALLERS = 40


async def let_begin(dice: random.Random) -> None:
    """Time for calls to get somewhere, each time somewhere else."""
    for _ in range(dice.randrange(8)):
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_field_48_a_storm_of_cancelling_leaves_no_answer_to_others(subject: Subject) -> None:
    """A cancelled command left its reply for the next caller; slots of the pool leaked."""
    keys = [f"{number:02}" for number in range(_CALLERS)]
    await subject.write(*(subject.entry(key) for key in keys))
    dice = random.Random(48)
    for _ in range(4):
        calls = [asyncio.ensure_future(subject.record(subject.address(key))) for key in keys]
        await let_begin(dice)
        for call in dice.sample(calls, _CALLERS * 3 // 4):
            call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for key, answer in zip(keys, answers, strict=True):
            assert answer == key.encode() or isinstance(answer, asyncio.CancelledError)
    # As many as ever are served at once, each with its own.
    answers = await asyncio.gather(*(subject.record(subject.address(key)) for key in keys))
    assert answers == [key.encode() for key in keys]


@pytest.mark.asyncio
async def test_field_49_a_cancelled_writer_holds_up_nobody(subject: Subject) -> None:
    """One cancelled caller wedged the worker that writes for all of them."""
    keys = [f"{number:02}" for number in range(_CALLERS)]
    dice = random.Random(49)
    calls = {
        key: asyncio.ensure_future(subject.try_write([subject.entry(key, revision=1)]))
        for key in keys
    }
    await let_begin(dice)
    gone = set(dice.sample(keys, _CALLERS // 2))
    for key in gone:
        calls[key].cancel()
    await asyncio.gather(*calls.values(), return_exceptions=True)
    for key in keys:
        if key not in gone:
            (result,) = calls[key].result()
            assert result.status is APPLIED
    # Those can be written; what was cancelled may still reach the store, whole, or not.
    again = [subject.entry(key, revision=2, record=b"again") for key in sorted(gone)]
    for entry in again:  # one by one: a store may declare how many it takes at once
        (result,) = await subject.try_write([entry])
        assert result.status is APPLIED
    await subject.write(subject.entry("last"))
    for key, row in zip(keys, await subject.read(*map(subject.address, keys)), strict=True):
        assert row is not None
        assert row.record in ((b"again", key.encode()) if key in gone else (key.encode(),))
