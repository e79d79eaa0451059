"""Redis: key-values on a server, exact, versioned and as durable as it is set up to be."""

from __future__ import annotations

from pathlib import Path

from memplane_adapters.contract import Adapter, Backend, LocalStore
from memplane_adapters.redis.settings import RedisSettings, from_url

__all__ = ["ADAPTER", "RedisSettings"]


def connect(settings: RedisSettings, data_dir: Path) -> Backend:  # noqa: ARG001 (a server keeps it)
    """The key-value promise. The client library is loaded here."""
    from memplane_adapters.redis.store import RedisKeyValueStore

    return Backend(key_value=RedisKeyValueStore(settings))


async def server(settings: RedisSettings, data_dir: Path) -> str:  # noqa: ARG001 (as above)
    """What answers, and its version."""
    from memplane_adapters.redis.version import server_version

    return await server_version(settings)


async def remove(settings: RedisSettings, data_dir: Path) -> None:  # noqa: ARG001 (as above)
    """The keys of the prefix."""
    from memplane_adapters.redis.removing import remove_all

    await remove_all(settings)


ADAPTER = Adapter(
    name="redis",
    settings=RedisSettings,
    connect=connect,
    from_url=from_url,
    place=("url", "prefix"),
    prefix="prefix",
    remove=remove,
    server=server,
    needs=("redis", "hiredis"),
    aliases=("valkey",),
    local=(
        LocalStore(
            name="redis",
            url="redis://{host}:{ports[0]}/0",
            vectors=False,
            key_values=True,
            program="redis-server",
            arguments=(
                *("--bind", "{host}", "--port", "{ports[0]}", "--dir", "{directory}"),
                *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
            ),
            ready=("tcp://{host}:{ports[0]}",),
            variable="REDIS_URL",
        ),
    ),
)
