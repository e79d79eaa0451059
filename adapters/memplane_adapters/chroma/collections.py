"""Collections: one for each kind and embedding identity, which stands in its metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from memplane_adapters.chroma import errors
from memplane_adapters.chroma.engine import Engine
from memplane_adapters.contract import Collection, StoreError, StoreReason
from memplane_adapters.kit import collections as kit
from memplane_adapters.kit.errors import CollectionExistsError

LAYOUT_KEY: Final = "memplane_layout"
"""What tells our collections from those of others."""
_LAYOUT: Final = 1
_IDENTITY: Final = "memplane_identity"
_DIMENSION: Final = "memplane_dimension"
_HNSW: Final[Mapping[str, Any]] = {"space": "cosine", "ef_search": 400}
"""A denser graph halved the rate of writes and found no more; a longer search costs next to nothing."""


@dataclass(frozen=True, slots=True)
class Place(kit.Place):
    """Where the rows of a kind are."""

    id: UUID


class Collections(kit.Collections[Place]):
    """The collections of one prefix."""

    def __init__(self, engine: Engine, prefix: str) -> None:
        super().__init__(prefix)
        self._engine = engine

    async def _names(self) -> Iterable[str]:
        every = await self._engine.call(lambda client: client.collections())
        return [one.name for one in every]

    async def _named(self, name: str) -> Place:
        return _place(await self._engine.call(lambda client: client.collection(name)))

    async def _holds_rows(self, place: Place) -> bool:
        return await self._engine.call(lambda client: client.number(place.id)) > 0

    async def _create(self, name: str, collection: Collection) -> Place:
        metadata = {
            LAYOUT_KEY: _LAYOUT,
            _IDENTITY: kit.identity(collection),
            _DIMENSION: collection.embedding.dimension,
        }
        try:
            return _place(
                await self._engine.call(
                    lambda client: client.make_collection(name, metadata, _HNSW)
                )
            )
        except CollectionExistsError:
            return await self._named(name)


def _place(collection: Any) -> Place:
    """What the client library says of a collection."""
    name, metadata = collection.name, collection.metadata or {}
    layout, dimension = metadata.get(LAYOUT_KEY), metadata.get(_DIMENSION)
    if layout != _LAYOUT:
        raise StoreError(
            StoreReason.MISCONFIGURED,
            f"Chroma's collection {name} has the layout {layout}, not {_LAYOUT}: it was not "
            "made by this version",
        )
    if not isinstance(dimension, int):
        raise errors.malformed(f"the dimension of {name} is {dimension!r}")
    return Place(name, str(metadata.get(_IDENTITY)), dimension, collection.id)
