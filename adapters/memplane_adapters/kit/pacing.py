"""Long loops on the event loop, with room for other callers in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

EVERY: Final = 16
"""Items between two pauses: to make a row of one takes up to half a millisecond."""


async def paced(items: Iterable[T]) -> AsyncIterator[T]:
    """The items, with a turn for everybody else after every few."""
    for number, item in enumerate(items, start=1):
        yield item
        if not number % EVERY:
            await asyncio.sleep(0)
