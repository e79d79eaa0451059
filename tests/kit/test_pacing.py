"""Long loops let others run."""

from __future__ import annotations

import asyncio

import pytest

from memplane_adapters.kit.pacing import EVERY, paced


@pytest.mark.asyncio
async def test_others_have_their_turn_after_every_few() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    seen = [number async for number in paced(range(10 * EVERY))]
    beside.cancel()
    assert seen == list(range(10 * EVERY))
    assert turns >= 9
