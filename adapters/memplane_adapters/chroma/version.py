"""Asking what serves a store."""

from __future__ import annotations

from memplane_adapters.chroma.client import Client
from memplane_adapters.chroma.engine import Engine
from memplane_adapters.chroma.settings import ChromaSettings


async def server_version(settings: ChromaSettings) -> str:
    """What the server says that it is. Raises StoreError."""
    engine = Engine(settings)
    await engine.open()
    try:
        return f"Chroma {await engine.call(Client.get_version)}"
    finally:
        await engine.close()
