"""Removing all that a prefix has on a server."""

from __future__ import annotations

from typing import Final

from memplane_adapters.contract import StoreError
from memplane_adapters.redis import layout
from memplane_adapters.redis.engine import Engine
from memplane_adapters.redis.settings import RedisSettings

_LOOKED_AT: Final = 1_000
"""About how many keys of the server, others' too, are looked at in one step."""


async def remove_all(settings: RedisSettings) -> None:
    """Remove the keys of a prefix, found by a walk over all keys of the server. Raises StoreError."""
    engine = Engine(settings)
    await engine.open()
    try:
        cursor = b"0"
        while True:
            match = layout.every_key(settings.prefix)
            ((cursor, keys),) = await engine.read(
                [(b"SCAN", cursor, b"MATCH", match, b"COUNT", _LOOKED_AT)]
            )
            if keys:
                (answer,) = await engine.write([(b"UNLINK", *keys)])
                if isinstance(answer, StoreError):
                    raise answer
            if cursor == b"0":
                return
    finally:
        await engine.close()
