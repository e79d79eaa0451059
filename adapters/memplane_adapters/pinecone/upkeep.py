"""What is done with a project beside serving memories from it."""

from __future__ import annotations

import httpx

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.kit.collections import names_of_prefix
from memplane_adapters.pinecone import errors
from memplane_adapters.pinecone.engine import Engine
from memplane_adapters.pinecone.settings import PineconeSettings

_API: str = "API 2026-07"


async def remove_all(settings: PineconeSettings) -> None:
    """Remove the indexes of a prefix. Raises StoreError."""
    engine = Engine(settings)
    await engine.open()
    try:
        names = await engine.call(lambda client: client.names())
        for name in names_of_prefix(settings.prefix, names):
            try:
                await engine.call(lambda client, name=name: client.remove(name))  # type: ignore[misc]
            except StoreError as error:
                if error.reason is not StoreReason.COLLECTION_MISSING:
                    raise
    finally:
        await engine.close()


async def server_name(settings: PineconeSettings) -> str:
    """What serves the control plane: the service, or our emulator of it. Raises StoreError."""
    try:
        async with httpx.AsyncClient(timeout=settings.timeout) as client:
            answer = await client.get(f"{settings.url.rstrip('/')}/emulator")
    except httpx.HTTPError as error:
        raise errors.from_exception(error) from error
    if answer.is_success and b"emulator" in answer.content:
        return f"Memplane's emulator of Pinecone, {_API}"
    return f"Pinecone, {_API}"
