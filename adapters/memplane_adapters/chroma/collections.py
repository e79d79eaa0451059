"""Collections: one for each kind and embedding identity, which stands in its metadata."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from memplane_adapters.chroma import errors
from memplane_adapters.chroma.engine import Engine
from memplane_adapters.contract import Collection, Kind, StoreError, StoreReason
from memplane_adapters.kit.collections import beginning, belongs, identity, mismatch, name_of
from memplane_adapters.kit.errors import CollectionExistsError, missing

_LAYOUT_KEY: Final = "memplane_layout"
_LAYOUT: Final = 1
_IDENTITY: Final = "memplane_identity"
_DIMENSION: Final = "memplane_dimension"
_HNSW: Final[Mapping[str, Any]] = {"space": "cosine", "ef_search": 400}
"""A denser graph halved the rate of writes and found no more; a longer search costs next to nothing."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the rows of a kind are."""

    id: UUID
    name: str
    dimension: int


class Collections:
    """The collections of one prefix."""

    def __init__(self, engine: Engine, prefix: str) -> None:
        self._engine = engine
        self._prefix = prefix
        self._ensured: dict[Kind, Place] = {}
        self._ensuring = asyncio.Lock()

    def ensured(self, kind: Kind) -> Place:
        """The collection of a kind. Raises COLLECTION_MISSING."""
        found = self._ensured.get(kind)
        if found is None:
            raise StoreError(
                StoreReason.COLLECTION_MISSING, f"nothing was ensured for {kind} memories"
            )
        return found

    async def find(self, kind: Kind) -> Place | None:
        """The collection to read a kind from; before it is ensured, the one that holds rows."""
        if kind in self._ensured:
            return self._ensured[kind]
        for place in await self._places(kind):
            if await self._holds_rows(place):
                return place
        return None

    async def check(self) -> None:
        """Asks the server. Raises COLLECTION_MISSING if one that was ensured has vanished."""
        if not self._ensured:
            await self._places()
        for place in list(self._ensured.values()):
            # By name: a list that is made while others make collections was seen to lack one.
            if (await self._named(place.name)).id != place.id:
                raise missing(place.name)

    async def ensure(self, collection: Collection) -> None:
        """See VectorStore.ensure."""
        async with self._ensuring:
            kind, name = collection.kind, name_of(self._prefix, collection)
            places = {place.name: place for place in await self._places(kind)}
            mine = places.pop(name, None)
            if mine is None or not await self._holds_rows(mine):
                for other in places.values():
                    if await self._holds_rows(other):
                        raise mismatch(collection, await self._identity(other.name))
            if mine is None:
                if kind in self._ensured or (collection.made and not places):
                    raise missing(name)
                mine = await self._create(name, collection)
            stored = await self._identity(name)
            if stored != identity(collection):
                raise mismatch(collection, stored)
            self._ensured[kind] = mine

    async def _create(self, name: str, collection: Collection) -> Place:
        metadata = {
            _LAYOUT_KEY: _LAYOUT,
            _IDENTITY: identity(collection),
            _DIMENSION: collection.embedding.dimension,
        }
        try:
            return _place(
                await self._engine.call(
                    lambda client: client.make_collection(name, metadata, _HNSW)
                )
            )
        except CollectionExistsError:  # made by another gateway meanwhile, and checked next
            return _place(await self._named(name))

    async def _identity(self, name: str) -> str:
        found = await self._named(name)
        layout = _metadata(found).get(_LAYOUT_KEY)
        if layout != _LAYOUT:
            raise StoreError(
                StoreReason.MISCONFIGURED,
                f"Chroma's collection {name} has the layout {layout}, not {_LAYOUT}: it was not "
                "made by this version",
            )
        return str(_metadata(found).get(_IDENTITY))

    async def _named(self, name: str) -> Any:
        """What the client library says of a collection. Raises COLLECTION_MISSING."""
        return await self._engine.call(lambda client: client.collection(name))

    async def _holds_rows(self, place: Place) -> bool:
        return await self._engine.call(lambda client: client.number(place.id)) > 0

    async def _places(self, kind: Kind | None = None) -> list[Place]:
        """All of this prefix, or those of a kind, by name."""
        beginnings = [beginning(self._prefix, one) for one in ([kind] if kind else Kind)]
        every = await self._engine.call(lambda client: client.collections())
        return sorted(
            (
                _place(one)
                for one in every
                if any(belongs(one.name, begins) for begins in beginnings)
            ),
            key=lambda place: place.name,
        )


def _place(collection: Any) -> Place:
    """What the client library says of a collection."""
    dimension = _metadata(collection).get(_DIMENSION, 0)
    if not isinstance(dimension, int):
        raise errors.malformed(f"the dimension of {collection.name} is {dimension!r}")
    return Place(collection.id, collection.name, dimension)


def _metadata(collection: Any) -> Mapping[str, Any]:
    return collection.metadata or {}
