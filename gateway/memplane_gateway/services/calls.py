"""What the rpcs of several files do alike."""

from __future__ import annotations

import asyncio
import contextlib

from memplane_adapters.contract import Durability, StoreError
from memplane_gateway.deadline import remaining
from memplane_gateway.routes import Route
from memplane_gateway.wire.memories import DURABILITIES
from memplane_gateway.wire.violations import Violations


class Translated:
    """A store's failure inside becomes the error that a caller hears."""

    def __init__(self, route: Route) -> None:
        self._route = route

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, StoreError):
            raise self._route.failure(error) from error


async def know_durability(route: Route) -> None:
    """Ask a store that is back what a write survives; without an answer the reply does not say it."""
    if route.state.durability is not None or route.spools:
        return
    left = remaining()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0 if left is None else min(1.0, left / 2)):
            await route.probe()


def read_min_durability(number: int, violations: Violations) -> Durability | None:
    """What a write is to survive at least; None: whatever the route reaches."""
    if not number:
        return None
    asked = DURABILITIES.get(number)
    if asked is None:
        violations.add("min_durability", "is unknown, or cannot be asked for")
    return asked
