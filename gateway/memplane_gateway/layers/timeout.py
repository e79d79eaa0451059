"""End each store call when the deadline of the call that is being served passes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from memplane_adapters.contract import StoreError, StoreReason
from memplane_gateway.deadline import overtime, remaining
from memplane_gateway.layers.stacked import StoreCall

T = TypeVar("T")
BACKGROUND_SECONDS = 30.0
"""For calls that nobody waits for, such as pings."""


class Timeout:
    """Raises TIMEOUT at the deadline; a write that was under way may have taken effect."""

    async def __call__(self, call: StoreCall, proceed: Callable[[], Awaitable[T]]) -> T:
        """Let the call proceed for as long as there is time."""
        left = remaining()
        seconds = BACKGROUND_SECONDS if left is None else left + overtime()
        try:
            async with asyncio.timeout(seconds):
                return await proceed()
        except TimeoutError as error:
            raise StoreError(
                StoreReason.TIMEOUT,
                f"{call.store} did not finish {call.op} in time",
                retryable=not call.writes,
            ) from error
