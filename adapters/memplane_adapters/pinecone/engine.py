"""The connection of a store."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pinecone import AsyncIndex

from memplane_adapters.contract import StoreError
from memplane_adapters.kit import engine
from memplane_adapters.kit.errors import after_write
from memplane_adapters.pinecone import errors
from memplane_adapters.pinecone.client import WATCHED, Attempts, Client
from memplane_adapters.pinecone.settings import PineconeSettings

T = TypeVar("T")


class Engine(engine.Engine[Client]):
    """Calls of one client; `open` raises MISCONFIGURED without an API key."""

    def __init__(self, settings: PineconeSettings) -> None:
        super().__init__(functools.partial(Client, settings), errors.from_exception)

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
