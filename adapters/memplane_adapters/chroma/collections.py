"""Collections: one for each kind and embedding identity, and what it was made with.

A collection is named "<prefix>-<kind>-<digest of the identity>" and says in its metadata what made
its vectors, so that nobody has to guess it from the digest.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from memplane_adapters.chroma import errors
from memplane_adapters.chroma.engine import Engine
from memplane_adapters.contract import Collection, Kind, StoreError, StoreReason

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
        there = {place.id for place in await self._places()}
        for place in self._ensured.values():
            if place.id not in there:
                raise errors.missing(place.name)

    async def ensure(self, collection: Collection) -> None:
        """See VectorStore.ensure."""
        async with self._ensuring:
            kind, name = collection.kind, self._name(collection)
            places = {place.name: place for place in await self._places(kind)}
            mine = places.pop(name, None)
            if mine is None or not await self._holds_rows(mine):
                for other in places.values():
                    if await self._holds_rows(other):
                        raise _mismatch(collection, await self._identity(other.name))
            if mine is None:
                if kind in self._ensured or (collection.made and not places):
                    raise errors.missing(name)
                mine = await self._create(name, collection)
            stored = await self._identity(name)
            if stored != _identity(collection):
                raise _mismatch(collection, stored)
            self._ensured[kind] = mine

    async def _create(self, name: str, collection: Collection) -> Place:
        metadata = {
            _LAYOUT_KEY: _LAYOUT,
            _IDENTITY: _identity(collection),
            _DIMENSION: collection.embedding.dimension,
        }
        try:
            return _place(
                await self._engine.call(
                    lambda client: client.make_collection(name, metadata, _HNSW)
                )
            )
        except errors.CollectionExistsError:  # made by another gateway meanwhile, and checked next
            return _place(await self._engine.call(lambda client: client.collection(name)))

    async def _identity(self, name: str) -> str:
        found = await self._engine.call(lambda client: client.collection(name))
        layout = _metadata(found).get(_LAYOUT_KEY)
        if layout != _LAYOUT:
            raise StoreError(
                StoreReason.MISCONFIGURED,
                f"Chroma's collection {name} has the layout {layout}, not {_LAYOUT}: it was not "
                "made by this version",
            )
        return str(_metadata(found).get(_IDENTITY))

    async def _holds_rows(self, place: Place) -> bool:
        return await self._engine.call(lambda client: client.number(place.id)) > 0

    async def _places(self, kind: Kind | None = None) -> list[Place]:
        """All of this prefix, or those of a kind, by name."""
        beginnings = [f"{self._prefix}-{one.value}-" for one in ([kind] if kind else Kind)]
        every = await self._engine.call(lambda client: client.collections())
        return sorted(
            (
                _place(one)
                for one in every
                if any(_belongs(one.name, beginning) for beginning in beginnings)
            ),
            key=lambda place: place.name,
        )

    def _name(self, collection: Collection) -> str:
        return f"{self._prefix}-{collection.kind.value}-{_digest(collection)}"


def _place(collection: Any) -> Place:
    """What the client library says of a collection."""
    dimension = _metadata(collection).get(_DIMENSION, 0)
    if not isinstance(dimension, int):
        raise errors.malformed(f"the dimension of {collection.name} is {dimension!r}")
    return Place(collection.id, collection.name, dimension)


def _metadata(collection: Any) -> Mapping[str, Any]:
    return collection.metadata or {}


def _belongs(name: str, beginning: str) -> bool:
    """Not so for "a-semantic-b" of prefix "a": another prefix may begin with this one."""
    rest = name.removeprefix(beginning)
    return rest != name and len(rest) == 8 and all(letter in "0123456789abcdef" for letter in rest)


def _identity(collection: Collection) -> str:
    embedding = collection.embedding
    shape = f"{embedding.metric}, {'' if embedding.normalized else 'not '}normalized"
    return f"{embedding} ({shape}), text analysis {collection.analyzer}"


def _digest(collection: Collection) -> str:
    embedding = collection.embedding
    parts = [
        embedding.provider,
        embedding.model,
        embedding.dimension,
        embedding.metric,
        embedding.normalized,
        collection.analyzer,
    ]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=4).hexdigest()


def _mismatch(collection: Collection, stored: str) -> StoreError:
    return StoreError(
        StoreReason.IDENTITY_MISMATCH,
        f"Chroma holds {collection.kind} memories of another embedding or text analysis than is "
        "configured",
        metadata={"stored": stored, "configured": _identity(collection)},
    )
