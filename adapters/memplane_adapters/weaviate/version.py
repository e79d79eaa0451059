"""Asking what serves a store."""

from __future__ import annotations

from memplane_adapters.weaviate.client import Client
from memplane_adapters.weaviate.settings import WeaviateSettings


async def server_version(settings: WeaviateSettings) -> str:
    """What the server says that it is. Raises StoreError."""
    client = Client(settings)
    await client.open()
    try:
        return f"Weaviate {await client.version()}"
    finally:
        await client.close()
