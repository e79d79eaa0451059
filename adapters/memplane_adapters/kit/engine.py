"""The connection of a store: opened and closed once, and every failure a StoreError."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, Protocol, TypeVar

from memplane_adapters.contract import StoreError
from memplane_adapters.kit.errors import closed

T = TypeVar("T")


class Client(Protocol):
    """A vendor's client."""

    async def shut(self) -> None:
        """Let go of its connections."""
        ...


ClientT = TypeVar("ClientT", bound=Client)


class Engine(Generic[ClientT]):
    """Calls of one client; knows which are under way.

    Args:
        make: Makes the client in a thread, for it may read files; sends nothing.
        failure: The StoreError for what the vendor's library raises.
    """

    def __init__(
        self, make: Callable[[], ClientT], failure: Callable[[Exception], StoreError]
    ) -> None:
        self._make: Final = make
        self._failure: Final = failure
        self._client: ClientT | None = None
        self._opening: Final = asyncio.Lock()
        self._under_way = 0
        self._idle: Final = asyncio.Event()
        self._idle.set()

    async def open(self) -> None:
        """Make a client; nothing is sent. Raises StoreError."""
        async with self._opening:
            if self._client is None:
                try:
                    self._client = await asyncio.to_thread(self._make)
                except Exception as error:
                    raise self._failure(error) from error

    async def close(self) -> None:
        """Wait for the calls under way, and close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await self._idle.wait()
            await client.shut()

    @property
    def is_open(self) -> bool:
        """Whether there is a client."""
        return self._client is not None

    async def call(self, send: Callable[[ClientT], Awaitable[T]]) -> T:
        """One request. Raises StoreError and nothing else but CancelledError."""
        client = self._client
        if client is None:
            raise closed()
        self._under_way += 1
        self._idle.clear()
        try:
            return await send(client)
        except Exception as error:
            raise self._failure(error) from error
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()
