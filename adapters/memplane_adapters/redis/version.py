"""Asking what serves a store."""

from __future__ import annotations

from memplane_adapters.redis.engine import Engine
from memplane_adapters.redis.settings import RedisSettings


async def server_version(settings: RedisSettings) -> str:
    """What the server says that it is. Raises StoreError."""
    engine = Engine(settings)
    await engine.open()
    try:
        (said,) = await engine.read([(b"INFO", b"server")])
    finally:
        await engine.close()
    facts = dict(line.partition(":")[::2] for line in said.decode().splitlines() if ":" in line)
    for name in ("valkey", "redis"):  # Valkey says, too, which Redis it is like
        if f"{name}_version" in facts:
            return f"{name.capitalize()} {facts[f'{name}_version']}"
    return "Redis"
