"""Redis stores and servers for tests: the adapter over a server that is set up in some way."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tests.adapters import opening

from memplane_adapters.conformance.local_stores import Servers, choices
from memplane_adapters.conformance.servers import Server
from memplane_adapters.conformance.stores.fixtures import KeyValues
from memplane_adapters.contract import (
    StoreError,
)
from memplane_adapters.redis.settings import RedisSettings
from memplane_adapters.redis.store import RedisKeyValueStore

(REDIS,) = (choice for choice in choices() if choice.adapter_name == "redis")
LEAST_PERMISSIONS = (
    "+ping +info +evalsha +script|load +wait +mget +get +set +getrange +del +exists +pexpireat "
    "+zadd +zrem +zcard +zlexcount +zrangebylex +zrevrangebylex +sadd +smembers +hget +hset +hdel"
)
"""What docs/adapters/redis.md asks for."""


def opened(
    settings: RedisSettings, **changes: Any
) -> contextlib.AbstractAsyncContextManager[KeyValues]:
    store = RedisKeyValueStore(dataclasses.replace(settings, **changes))
    return opening.opened(KeyValues(store))


def server(servers: Servers, root: Path, *arguments: str) -> Server:
    assert REDIS.store is not None
    store = dataclasses.replace(REDIS.store, arguments=(*REDIS.store.arguments, *arguments))
    return servers.own(store, root)


def at(server: Server, **keys: Any) -> RedisSettings:
    return RedisSettings(url=server.url, **keys)


async def refusal(kv: KeyValues) -> StoreError:
    """What a ping is answered with."""
    with pytest.raises(StoreError) as caught:
        await kv.store.ping()
    return caught.value
