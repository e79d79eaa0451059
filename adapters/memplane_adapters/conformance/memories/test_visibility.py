"""What was written is seen: by every read at once, or by those that bring the write's token."""

from __future__ import annotations

from memplane import AsyncScope, Capabilities, Kind, Mode
from memplane_adapters.conformance.memories.helpers import EVERY_STORE, ON_THE_SESSION_LOOP

pytestmark = ON_THE_SESSION_LOOP


@EVERY_STORE
async def test_field_47_a_read_that_may_not_see_a_write_is_told_so_and_waits_for_its_token(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    for number in range(4):
        written = await space.put(kind, f"{number}", text="tea", value=number)
        assert written.visible is abilities[kind].read_your_writes
        token = written.consistency_token
        assert written.visible or token
        memory = await space.get(kind, f"{number}", consistency_token=token)
        assert memory is not None
        assert memory.value == number
        found = await space.search(kind=kind, mode=Mode.RECENT, consistency_token=token)
        assert sorted(hit.memory.key for hit in found) == [f"{n}" for n in range(number + 1)]
        listed = [each.key async for each in space.list(kind, consistency_token=token)]
        assert listed == [f"{n}" for n in range(number + 1)]
        assert await space.count(kind, consistency_token=token) == number + 1
