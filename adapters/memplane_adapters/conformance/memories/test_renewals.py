"""On a route with `refresh_ttl` a read lets a period begin again, and changes nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest_asyncio

from memplane import AsyncScope, Kind, Memory, Outcome
from memplane_adapters.conformance.memories.doors import Door
from memplane_adapters.conformance.memories.fixtures import (
    Arrange,
    fresh_label,
    opened,
    settings_in,
)
from memplane_adapters.conformance.memories.helpers import (
    EVERY_STORE,
    ON_THE_SESSION_LOOP,
    keys_recent,
    until,
)
from memplane_gateway.config import Settings

pytestmark = ON_THE_SESSION_LOOP

TTL = 5.0
"""A tenth of it has to pass before it begins again; a case must not take as long as all of it."""


@pytest_asyncio.fixture(loop_scope="session")
async def renewing(door_name: str, arrange: Arrange, tmp_path: Path) -> AsyncIterator[Door]:
    """A way into a gateway of the case's own, whose routes renew."""
    async with opened(door_name, _renewing(arrange(settings_in(tmp_path)))) as door:
        yield door


def _renewing(settings: Settings) -> Settings:
    routes = settings.routes
    update = {
        kind.value: getattr(routes, kind.value).model_copy(update={"refresh_ttl": True})
        for kind in Kind
    }
    return settings.model_copy(update={"routes": routes.model_copy(update=update)})


async def _listed(space: AsyncScope, kind: Kind) -> Memory:
    """The only memory, as a listing shows it, which renews nothing."""
    (memory,) = [each async for each in space.list(kind, with_vectors=True)]
    return memory


@EVERY_STORE
async def test_a_get_and_a_search_let_a_period_begin_again(renewing: Door, kind: Kind) -> None:
    space = renewing.client.scope(fresh_label())
    await space.put(kind, "k", text="green tea", value={"n": 1}, attributes={"a": 1}, ttl=TTL)
    first = last = await _listed(space, kind)
    reads: list[Callable[[], Awaitable[object]]] = [
        lambda: space.get(kind, "k"),
        lambda: keys_recent(space, kind),
    ]
    for read in reads:

        async def is_renewed(
            read: Callable[[], Awaitable[object]] = read, before: Memory = last
        ) -> bool:
            assert await read()
            after = await _listed(space, kind)
            assert after.expire_time is not None
            assert before.expire_time is not None
            return after.expire_time > before.expire_time

        await until(is_renewed)
        last = await _listed(space, kind)
        assert replace(last, expire_time=None) == replace(first, expire_time=None)
    renewals = (await renewing.client.status())[kind].renewals
    assert renewals is not None
    assert renewals.renewed >= 2
    assert renewals.failed == 0
    written = await space.update(kind, "k", value={"n": 2}, if_match=first.etag)
    assert written.outcome is Outcome.UPDATED
