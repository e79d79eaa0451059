"""Values by key through a store's own library, as somebody would write it who needs no gateway.

JSON under a string: no revisions, no preconditions, no request ids, no other answers than the
library's. It is as durable as the server is set up to be, which is the same for the gateway.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, LiteralString, Protocol

from bench.connections import Connections
from bench.stores import Place


class DirectValues(Protocol):
    """Keys of its own, beside those of a gateway on the same server."""

    library: str
    """What it goes through."""

    async def open(self) -> None:
        """Connect."""
        ...

    async def get(self, keys: Sequence[str]) -> list[Any]:
        """The values of keys that are all there, in one round trip."""
        ...

    async def put(self, values: Mapping[str, Any]) -> None:
        """Set keys, in one round trip; it is done, and as durable as can be, when this returns."""
        ...

    async def close(self) -> None:
        """Remove the keys, and whatever else a gateway made beside them; disconnect."""
        ...


class RedisValues:
    """redis-py's asyncio client with the pool that it has by itself: a connection for each call."""

    library = "redis-py"

    def __init__(self, place: Place) -> None:
        from redis.asyncio import Redis

        from memplane_adapters.redis import RedisSettings

        settings = RedisSettings(**place.keys)  # type: ignore[arg-type]
        options: dict[str, Any] = {
            "username": settings.username or None,
            "password": settings.password or None,
        }
        if settings.ca_file:
            options["ssl_ca_certs"] = settings.ca_file
        self._redis: Any = Redis.from_url(settings.url, **options)
        self._prefix = place.prefix

    async def open(self) -> None:
        await self._redis.ping()

    async def get(self, keys: Sequence[str]) -> list[Any]:
        if len(keys) == 1:
            return [json.loads(await self._redis.get(self._name(keys[0])))]
        return [json.loads(one) for one in await self._redis.mget(map(self._name, keys))]

    async def put(self, values: Mapping[str, Any]) -> None:
        if len(values) == 1:
            ((key, value),) = values.items()
            await self._redis.set(self._name(key), json.dumps(value))
            return
        async with self._redis.pipeline(transaction=False) as pipeline:
            for key, value in values.items():
                pipeline.set(self._name(key), json.dumps(value))
            await pipeline.execute()

    async def close(self) -> None:
        async for key in self._redis.scan_iter(match=f"{self._prefix}*", count=1_000):
            await self._redis.unlink(key)
        await self._redis.aclose()

    def _name(self, key: str) -> str:
        return f"{self._prefix}-direct:{key}"


_TABLE: Final[LiteralString] = "CREATE TABLE direct (key text PRIMARY KEY, value text NOT NULL)"
_GET: Final[LiteralString] = "SELECT value FROM direct WHERE key = %s"
_GETS: Final[LiteralString] = "SELECT key, value FROM direct WHERE key = ANY(%s)"
_PUT: Final[LiteralString] = (
    "INSERT INTO direct SELECT * FROM unnest(%s::text[], %s::text[])"
    " ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value"
)


class PostgresValues:
    """psycopg with as many connections as the adapter has, kept open."""

    library = "psycopg"

    def __init__(self, place: Place) -> None:
        self._connections = Connections(place)

    async def open(self) -> None:
        await self._connections.open()
        async with self._connections.one() as connection:
            await connection.execute(_TABLE)

    async def get(self, keys: Sequence[str]) -> list[Any]:
        async with self._connections.one() as connection:
            if len(keys) == 1:
                found = await connection.execute(_GET, (keys[0],))
                return [json.loads(value) for (value,) in await found.fetchall()]
            found = await connection.execute(_GETS, (list(keys),))
            values = dict(await found.fetchall())
        return [json.loads(values[key]) for key in keys]

    async def put(self, values: Mapping[str, Any]) -> None:
        texts = [json.dumps(value) for value in values.values()]
        async with self._connections.one() as connection:
            await connection.execute(_PUT, (list(values), texts))

    async def close(self) -> None:
        await self._connections.close()


DIRECT_VALUES: Final[Mapping[str, Callable[[Place], DirectValues]]] = {
    "postgres": PostgresValues,
    "redis": RedisValues,
}
"""By adapter. What has none is measured without."""
