"""The two ways to Qdrant: a server, or the engine inside its client library.

Both take the operations of the client library by name; what they raise is a StoreError.
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from qdrant_client import AsyncQdrantClient, QdrantClient, models

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.kit.errors import closed
from memplane_adapters.qdrant import errors
from memplane_adapters.qdrant.settings import IN_MEMORY, QdrantSettings

T = TypeVar("T")

ANY_VERSION: Final = (0, 0)
LEAST_VERSION: Final = (1, 17)
"""The first server that has update_mode; older ones take a conditional write for any other."""

TENANTS_VERSION: Final = (1, 19)
"""The first server that can count how rare a word is among chosen rows."""

_GRPC_OPTIONS: Final = {
    # A server that was away is back within half a second. Without a pool of their own, channels
    # share a connection, and its waiting time, with every other channel to the address. The least
    # waiting time stays as it is: it is the time to connect, too.
    "grpc.use_local_subchannel_pool": 1,
    "grpc.initial_reconnect_backoff_ms": 50,
    "grpc.max_reconnect_backoff_ms": 500,
}


class Engine(Protocol):
    """What carries out operations."""

    @property
    def local(self) -> bool:
        """Whether it runs in this process: exact, without indexes, and no limits to mind."""
        ...

    @property
    def counts_by_tenant(self) -> bool:
        """Whether it weighs words by the rows of a tenant; else by those of the collection.

        Known from the first answer on.
        """
        ...

    async def open(self) -> None:
        """Connect."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...

    async def call(self, operation: str, /, **arguments: Any) -> Any:
        """Carry out an operation of the client library."""
        ...


class Server:
    """A server, over gRPC or REST."""

    local = False

    def __init__(
        self, settings: QdrantSettings, *, least_version: tuple[int, int] = LEAST_VERSION
    ) -> None:
        """Takes no server older than `least_version`."""
        self._settings = settings
        self._least_version = least_version
        self._client: AsyncQdrantClient | None = None
        self._version: tuple[int, int] | None = None

    @property
    def counts_by_tenant(self) -> bool:
        """By the server's version."""
        return self._version is not None and self._version >= TENANTS_VERSION

    async def open(self) -> None:
        """Asks the server nothing."""
        settings = self._settings
        self._client = AsyncQdrantClient(
            url=settings.url,
            prefer_grpc=settings.transport == "grpc",
            grpc_port=settings.grpc_port,
            grpc_options=dict(_GRPC_OPTIONS),
            timeout=settings.timeout,
            # As a header: handed over as a key it makes a warning where there is no TLS.
            headers={"api-key": settings.api_key} if settings.api_key else {},
            check_compatibility=False,
        )
        self._version = None

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def call(self, operation: str, /, **arguments: Any) -> Any:
        """The first one looks whether the server is one that can be used."""
        client = self._client
        if client is None:
            raise closed()
        try:
            if self._version is None:
                self._version = _version_of(await client.info(), self._least_version)
            return await getattr(client, operation)(**arguments)
        except StoreError:
            raise
        except Exception as error:
            raise errors.from_exception(error) from error


class InProcess:
    """The engine inside the client library, which blocks: it lives in a thread of its own."""

    local = True
    counts_by_tenant = True

    def __init__(self, location: str) -> None:
        self._location = location
        self._client: QdrantClient | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="qdrant")
        try:
            self._client = await self._run(functools.partial(_make_engine, self._location))
        except BaseException:
            self._thread.shutdown(wait=False)
            self._thread = None
            raise

    async def close(self) -> None:
        client, self._client = self._client, None
        thread = self._thread
        if client is None or thread is None:
            return
        try:
            await self._run(client.close)
        finally:
            self._thread = None
            thread.shutdown(wait=False)

    async def call(self, operation: str, /, **arguments: Any) -> Any:
        if self._client is None:
            raise closed()
        return await self._run(functools.partial(getattr(self._client, operation), **arguments))

    async def _run(self, work: Callable[[], T]) -> T:
        assert self._thread is not None, "a thread lives as long as its client"
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except Exception as error:
            raise errors.from_exception(error) from error


def check_completed(result: models.UpdateResult) -> None:
    """Raises TIMEOUT unless the server says that the update is done, and not only accepted."""
    if result.status is not models.UpdateStatus.COMPLETED:
        raise StoreError(
            StoreReason.TIMEOUT, f"an update is {result.status}, not completed", retryable=True
        )


def _make_engine(location: str) -> QdrantClient:
    if location == IN_MEMORY:
        return QdrantClient(location=IN_MEMORY)
    _check_free(Path(location) / ".lock")
    return QdrantClient(path=location)


def _check_free(lock: Path) -> None:
    """Raises MISCONFIGURED if another process holds it.

    The library looks, too, but only when it has read everything, and leaves its file open then.
    """
    if not lock.exists():
        return
    with lock.open("r+") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                StoreReason.MISCONFIGURED, f"{lock.parent} is in use by another process"
            ) from error


def _version_of(info: models.VersionInfo, least_version: tuple[int, int]) -> tuple[int, int]:
    """Major and minor. Raises MISCONFIGURED for one that cannot be used."""
    numbers = str(info.version).split("-")[0].split(".")
    if len(numbers) < 2 or not all(number.isdecimal() for number in numbers[:2]):
        raise StoreError(StoreReason.PROTOCOL, f"a Qdrant of version {info.version!r}")
    version = int(numbers[0]), int(numbers[1])
    if version < least_version:
        least = ".".join(map(str, least_version))
        raise StoreError(
            StoreReason.MISCONFIGURED,
            f"Qdrant {info.version} has no conditional writes; {least} or newer is needed",
        )
    return version
