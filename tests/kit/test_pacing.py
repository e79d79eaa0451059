"""Long loops let others run."""

from __future__ import annotations

import pytest
from tests.turns import counted_turns

from memplane_adapters.kit.pacing import EVERY, paced


@pytest.mark.asyncio
async def test_others_have_their_turn_after_every_few() -> None:
    async with counted_turns() as turns:
        seen = [number async for number in paced(range(10 * EVERY))]
    assert seen == list(range(10 * EVERY))
    assert turns.count >= 9
