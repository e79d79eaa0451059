"""Removing all that a prefix has on a server."""

from __future__ import annotations

import functools

from memplane_adapters.chroma.client import Client
from memplane_adapters.chroma.engine import Engine
from memplane_adapters.chroma.settings import ChromaSettings
from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.kit.collections import names_of_prefix


async def remove_all(settings: ChromaSettings) -> None:
    """Remove the collections of a prefix. Raises StoreError."""
    engine = Engine(settings)
    await engine.open()
    try:
        every = await engine.call(lambda client: client.collections())
        for name in names_of_prefix(settings.prefix, (one.name for one in every)):
            try:
                await engine.call(functools.partial(Client.drop, name=name))
            except StoreError as error:
                if error.reason is not StoreReason.COLLECTION_MISSING:
                    raise
    finally:
        await engine.close()
