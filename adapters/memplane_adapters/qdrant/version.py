"""Asking what serves a store."""

from __future__ import annotations

from memplane_adapters.qdrant.engine import ANY_VERSION, Server
from memplane_adapters.qdrant.settings import QdrantSettings


async def server_version(settings: QdrantSettings) -> str:
    """What the server says that it is; of the engine in this process nothing. Raises StoreError."""
    if settings.in_process:
        return ""
    engine = Server(settings, least_version=ANY_VERSION)
    await engine.open()
    try:
        return f"Qdrant {(await engine.call('info')).version}"
    finally:
        await engine.close()
