"""The connection of a store: opened and closed once, and every failure a StoreError."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from pinecone import AsyncIndex

from memplane_adapters.contract import StoreError
from memplane_adapters.kit.errors import after_write, closed
from memplane_adapters.pinecone import errors
from memplane_adapters.pinecone.client import WATCHED, Attempts, Client
from memplane_adapters.pinecone.settings import PineconeSettings

T = TypeVar("T")


class Engine:
    """Calls of one client; knows which are under way."""

    def __init__(self, settings: PineconeSettings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._opening: Final = asyncio.Lock()
        self._under_way = 0
        self._idle: Final = asyncio.Event()
        self._idle.set()

    async def open(self) -> None:
        """Make a client; nothing is sent. Raises MISCONFIGURED without an API key."""
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

    async def read(self, host: str, send: Callable[[AsyncIndex], Awaitable[T]]) -> T:
        """One request to an index."""

        async def sent(client: Client) -> T:
            return await send(await client.index(host))

        return await self.call(sent)

    async def write(self, host: str, send: Callable[[AsyncIndex], Awaitable[object]]) -> int | None:
        """One request to an index that changes it; says at which LSN. Raises as `call`.

        The library's own retries may have written before what they raise in the end.
        """
        attempts = Attempts()
        watched = WATCHED.set(attempts)
        try:
            await self.read(host, send)
        except StoreError as error:
            raise after_write(error) if attempts.unsure else error from error
        finally:
            WATCHED.reset(watched)
        return attempts.lsn


def _make(settings: PineconeSettings) -> Client:
    try:
        return Client(settings)
    except Exception as error:
        raise errors.from_exception(error) from error
