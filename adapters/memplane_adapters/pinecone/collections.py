"""Indexes: one for each kind and embedding identity, which stands in its tags."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from memplane_adapters.contract import Collection, Kind, StoreError, StoreReason
from memplane_adapters.kit import collections as kit
from memplane_adapters.kit.errors import CollectionExistsError, failure
from memplane_adapters.pinecone import names
from memplane_adapters.pinecone.engine import Engine
from memplane_adapters.pinecone.settings import PineconeSettings

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Place(kit.Place):
    """Where the rows of a kind are."""

    host: str
    ready: bool = field(default=True, compare=False)


class Collections(kit.Collections[Place]):
    """The indexes of one prefix."""

    def __init__(self, engine: Engine, settings: PineconeSettings) -> None:
        super().__init__(settings.prefix)
        self._engine = engine
        self._patience = settings.create_timeout

    def known(self, kind: Kind) -> Place | None:
        """The index of a kind that was ensured."""
        return self._ensured.get(kind)

    async def _names(self) -> Iterable[str]:
        return await self._engine.call(lambda client: client.names())

    async def _named(self, name: str) -> Place:
        return _place(await self._engine.call(lambda client: client.describe(name)))

    async def _holds_rows(self, place: Place) -> bool:
        if not place.ready:
            return False
        stats = await self._engine.read(place.host, lambda index: index.describe_index_stats())
        return stats.total_vector_count > 0

    async def _create(self, name: str, collection: Collection) -> Place:
        dimension = collection.embedding.dimension
        tags = names.tags_of(kit.identity(collection))
        with contextlib.suppress(CollectionExistsError):
            await self._engine.call(lambda client: client.create(name, dimension, tags))
        return await self._named(name)

    async def _complete(self, place: Place) -> None:
        """Wait until an index that was just made takes requests."""
        end, pause = time.monotonic() + self._patience, _FIRST_PAUSE
        while not place.ready:
            if time.monotonic() > end:
                raise failure(
                    StoreReason.UNAVAILABLE,
                    f"the index {place.name} was not ready within {self._patience:g} s",
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            place = await self._named(place.name)


def _place(model: Any) -> Place:
    """What the client library says of an index."""
    name, tags = model.name, model.tags or {}
    layout = tags.get(names.LAYOUT_TAG)
    if layout != names.LAYOUT:
        raise StoreError(
            StoreReason.MISCONFIGURED,
            f"Pinecone's index {name} has the layout {layout}, not {names.LAYOUT}: it was not made "
            "by this version",
        )
    return Place(name, names.identity_of(tags), model.dimension, model.host, model.status.ready)
