"""Removing all that a prefix has on a server."""

from __future__ import annotations

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.weaviate.client import Client
from memplane_adapters.weaviate.collections import Collections
from memplane_adapters.weaviate.settings import WeaviateSettings


async def remove_all(settings: WeaviateSettings) -> None:
    """Remove the collections of a prefix. Raises StoreError."""
    client = Client(settings)
    await client.open()
    try:
        collections = Collections(client, settings)
        for name in await collections.of_prefix():
            try:
                await collections.drop(name)
            except StoreError as error:
                if error.reason is not StoreReason.COLLECTION_MISSING:
                    raise
    finally:
        await client.close()
