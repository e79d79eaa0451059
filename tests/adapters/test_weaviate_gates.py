"""Who waits for whom at Weaviate; without a server."""

from __future__ import annotations

import asyncio

from memplane_adapters.contract import Address, Kind
from memplane_adapters.weaviate.gates import Gates


async def test_a_write_to_two_tenants_waits_until_both_let_it() -> None:
    """One of them may close again while the other still has it wait."""
    gates, one, two = Gates(), ("c", "one"), ("c", "two")
    address = Address("one", Kind.SEMANTIC, ("n",), "k")
    events: list[str] = []
    leave = {door: asyncio.Event() for door in (one, two)}

    async def alone(door: tuple[str, str]) -> None:
        async with gates.alone(door):
            events.append(f"alone in {door[1]}")
            await leave[door].wait()
            events.append(f"leaves {door[1]}")

    async def write() -> None:
        async with gates.writing({one: {"1": address}, two: {}}):
            events.append("written")

    async def turns() -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(alone(two))
        await turns()
        tasks.create_task(write())
        await turns()
        tasks.create_task(alone(one))
        await turns()
        leave[two].set()
        await turns()
        leave[one].set()
    assert events == ["alone in two", "alone in one", "leaves two", "leaves one", "written"]
