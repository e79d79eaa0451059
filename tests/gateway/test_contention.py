"""Many writers of one memory: who loses a round queues, so that all get through."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.gateway.flaky import House, address, caller

from memplane_gateway.memory.model import Outcome, Update
from memplane_gateway.memory.write import writing

WRITERS = 64


async def test_of_many_writers_none_loses_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the queue the last of them needs about as many rounds as there are writers."""
    monkeypatch.setattr(writing, "MAX_ATTEMPTS", 8)
    house = await House(tmp_path).open()
    await house.put({})

    async def write(writer: int) -> Outcome | None:
        update = Update(address(), set_attributes={f"w{writer}": writer})
        # Past the outbox, in which writers of one memory take turns anyway.
        (written,) = await house.memories._writer.update(caller(), [update])
        assert written.error is None, written.error.message
        return written.outcome

    outcomes = await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
    assert outcomes == [Outcome.UPDATED] * WRITERS
    (memory,) = await house.memories.get([address()], vectors=False, max_bytes=10**6, alone=True)
    assert memory is not None
    assert len(memory.record.content.attributes) == WRITERS
    await house.close()
