"""The connection of a store: opened and closed once, and every failure a StoreError."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from memplane_adapters.chroma import errors
from memplane_adapters.chroma.client import Client, make_client
from memplane_adapters.chroma.settings import ChromaSettings
from memplane_adapters.kit.errors import closed

T = TypeVar("T")


class Engine:
    """Calls of one client; knows which are under way."""

    def __init__(self, settings: ChromaSettings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._opening: Final = asyncio.Lock()
        self._under_way = 0
        self._idle: Final = asyncio.Event()
        self._idle.set()

    async def open(self) -> None:
        """Make a client, which reads certificates; nothing is sent."""
        async with self._opening:
            if self._client is None:
                self._client = await asyncio.to_thread(_make, self._settings)

    async def close(self) -> None:
        """Wait for the calls under way, and close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await self._idle.wait()
            await client.shut()

    @property
    def is_open(self) -> bool:
        return self._client is not None

    async def call(self, send: Callable[[Client], Awaitable[T]]) -> T:
        """One request. Raises StoreError and nothing else but CancelledError."""
        client = self._client
        if client is None:
            raise closed()
        self._under_way += 1
        self._idle.clear()
        try:
            return await send(client)
        except Exception as error:
            raise errors.from_exception(error) from error
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()


def _make(settings: ChromaSettings) -> Client:
    try:
        return make_client(settings)
    except Exception as error:
        raise errors.from_exception(error) from error
