"""What the gateway makes of such a store, as callers see it."""

from __future__ import annotations

from memplane import Capabilities, ConditionalWrite
from memplane_adapters.conformance.memories.helpers import ON_THE_SESSION_LOOP

pytestmark = ON_THE_SESSION_LOOP


async def test_callers_see_a_store_that_is_coordinated(abilities: Capabilities) -> None:
    levels = {able.conditional_write for able in abilities.routes.values()}
    assert levels == {ConditionalWrite.COORDINATED}
    assert {able.max_batch_items for able in abilities.routes.values()} == {7}
