"""What waits differently in the two clients: a pause, and what a function of the caller gives."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import Any

from memplane._errors import InvalidArgument


class AsyncWaiting:
    """Waits without holding up the event loop."""

    @staticmethod
    async def pause(seconds: float) -> None:
        """Lets time pass."""
        await asyncio.sleep(seconds)

    @staticmethod
    async def answer(given: Any) -> Any:
        """What a function has given; that of an async function is awaited."""
        return await given if inspect.isawaitable(given) else given


class Waiting:
    """Waits in its thread."""

    @staticmethod
    def pause(seconds: float) -> None:
        """Lets time pass."""
        time.sleep(seconds)

    @staticmethod
    def answer(given: Any) -> Any:
        """What a function has given.

        Raises:
            InvalidArgument: It was an async function, whose work would never be done.
        """
        if inspect.isawaitable(given):
            if inspect.iscoroutine(given):
                given.close()
            raise InvalidArgument.at(
                "change", "is an async function; this client takes plain ones, AsyncClient both"
            )
        return given
