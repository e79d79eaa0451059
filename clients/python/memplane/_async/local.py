"""A client with a gateway of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

from memplane._async.client import AsyncClient
from memplane._errors import FailedPrecondition
from memplane._local import LocalGateway
from memplane._waiting import AsyncWaiting, async_opened

# ruff: noqa: ASYNC109 (`timeout` is a deadline that travels with the call)


class AsyncLocalClient(AsyncClient):
    """A client whose gateway is its own: closing the client stops it. `async_local` makes them."""

    def __init__(self, gateway: LocalGateway, target: str, *, timeout: float) -> None:
        """Internal: takes over a gateway that serves."""
        super().__init__(target, timeout=timeout)
        self._gateway = gateway
        # Scopes outlive the client that they were made by; what they share is the connection.
        gateway.stop_with(self._connection)

    @property
    def target(self) -> str:
        """Where the gateway listens, for further clients of the same user on this machine."""
        return self._connection.target

    async def close(self) -> None:
        """Closes the connection, and stops the gateway. Closing again is fine."""
        try:
            await super().close()
        finally:
            await AsyncWaiting.work(self._gateway.stop)

    async def __aenter__(self) -> Self:
        if self._gateway.stopped:
            raise FailedPrecondition("the gateway of this client has been stopped: start another")
        return await super().__aenter__()


@async_opened
async def async_local(
    path: str | os.PathLike[str] | None = None,
    *,
    config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    command: Sequence[str] | None = None,
    log_file: str | os.PathLike[str] | None = None,
    start_timeout: float = 60.0,
    timeout: float = 30.0,
    **settings: Any,
) -> AsyncLocalClient:
    """Starts a gateway for this process alone, and returns a client of it once it serves.

    For scripts, notebooks and tests: nothing else has to run. The gateway stops when the client is
    closed (or its block ends), and when this process ends, in whatever way. What an acknowledged
    write survives does not depend on that.

    Neither `MEMPLANE_` variables nor a `.env` or `memplane.yaml` in the current directory count: all
    settings are given here.

    Example:
        async with async_local("memories") as client:
            ada = client.scope("support-bot", "user-42")
            await ada.remember("Prefers tea in the morning")

    Args:
        path: The directory of the embedded store; it is made if need be. One gateway at a time can
            have it. None means the one that `memplane serve` takes, too.
        config: The gateway's configuration: a YAML file, or what would stand in one.
        command: The words that run the gateway's command line, such as `["/opt/bin/memplane"]`. None
            means that of this interpreter, else `memplane` on the PATH.
        log_file: Where the gateway's log is added to. None means that it is not kept.
        start_timeout: Seconds that the start may take.
        timeout: Seconds that a call may take, as of `AsyncClient`.
        settings: Single settings by the names of their variables, for example
            `embedder="openai"` (MEMPLANE_EMBEDDER) or `log__level="debug"` (MEMPLANE_LOG__LEVEL).

    Raises:
        GatewayNotStarted: No gateway is installed, or it did not start; the error says why.
        InvalidArgument: An argument is not as it must be.
    """
    gateway = LocalGateway(
        path,
        config=config,
        command=command,
        log_file=log_file,
        start_timeout=start_timeout,
        settings=settings,
    )
    try:
        target = await AsyncWaiting.work(gateway.start)
        return AsyncLocalClient(gateway, target, timeout=timeout)
    except BaseException:
        gateway.abandon()
        raise
