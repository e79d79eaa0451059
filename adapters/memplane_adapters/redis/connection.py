"""One connection: a batch of commands goes out at once, and its answers come back in order."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import hiredis
from redis import exceptions as redis
from redis.asyncio.connection import Connection as Inner
from redis.asyncio.connection import SSLConnection

from memplane_adapters.redis import errors
from memplane_adapters.redis.settings import RedisSettings

Command: TypeAlias = tuple[bytes | int, ...]
Reply: TypeAlias = Any
"""What Redis answered: int, bytes, a list of these, None; or the exception that it is or stands for."""

_RESP: Final = 2


def make(settings: RedisSettings) -> Inner:
    """A connection that is not connected yet. It tries nothing twice."""
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "db": settings.database,
        "username": settings.username or None,
        "password": settings.password or None,
        # Times are kept here, for a whole batch at once.
        "socket_timeout": None,
        "socket_connect_timeout": settings.connect_timeout,
        "protocol": _RESP,
        "driver_info": None,
    }
    if settings.tls:
        return SSLConnection(ssl_ca_certs=settings.ca_file or None, **options)
    return Inner(**options)


class Connection:
    """Carries one batch at a time."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._inner = make(settings)
        self.awaited = False
        """Whether answers are to come."""

    async def connect(self) -> Exception | None:
        """Be connected; what keeps it from that, before anything is sent."""
        inner = self._inner
        try:
            if inner.is_connected:
                if not await inner.can_read():
                    return None
                await self.close()  # the server has hung up, or said what nobody asked
            async with asyncio.timeout(self._settings.connect_timeout):
                await inner.connect()  # type: ignore[no-untyped-call]
        except asyncio.CancelledError:
            await self.close()
            raise
        except Exception as error:  # noqa: BLE001 (told to every caller whose commands it had)
            await self.close()
            return errors.NotConnectedError(error)
        return None

    async def send(self, commands: Sequence[Command]) -> Exception | None:
        """Send a batch; what kept it from that."""
        inner = self._inner
        try:
            async with asyncio.timeout(self._settings.timeout):
                # One piece, made in C: redis-py's own packing is Python, a step for each argument.
                packed = b"".join([hiredis.pack_command(each) for each in commands])  # type: ignore[arg-type]  # its stub means tuples of any length
                await inner.send_packed_command(packed, check_health=False)
        except Exception as error:  # noqa: BLE001 (as above)
            await self.close()
            return error
        self.awaited = True
        return None

    async def receive(self, replies: list[Reply], number: int) -> None:
        """Read answers until there are so many.

        When it is cancelled, what has come stands in `replies`, and it may be called again. When the
        connection fails, its failure stands for all answers that are missing.
        """
        try:
            async with asyncio.timeout(self._settings.timeout):
                while len(replies) < number:
                    replies.append(await self._read())
        except Exception as error:  # noqa: BLE001 (as above)
            await self.close()
            replies += [error] * (number - len(replies))
        self.awaited = False

    async def close(self) -> None:
        """Hang up."""
        await self._inner.disconnect(nowait=True)

    async def _read(self) -> Reply:
        try:
            return await self._inner.read_response(timeout=math.inf, disconnect_on_error=False)
        except redis.ResponseError as error:
            return error
