"""Names of collections, and what they were made with.

A collection is named "<prefix>-<kind>-<digest of the identity>" and says beside its rows what made
its vectors and terms, so that nobody has to guess it from the digest.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from memplane_adapters.contract import Collection, Kind, StoreError, StoreReason, Vector
from memplane_adapters.kit.errors import missing

_DIGEST_LETTERS = 8


@dataclass(frozen=True, slots=True)
class Place:
    """A collection that is there."""

    name: str
    identity: str
    """What it says that it was made with."""
    dimension: int


P = TypeVar("P", bound=Place)


class Collections(ABC, Generic[P]):
    """The collections of one prefix. A vendor says how to look at one and how to make one."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._ensured: dict[Kind, P] = {}
        self._ensuring = asyncio.Lock()

    @abstractmethod
    async def _names(self) -> Iterable[str]:
        """The names of all collections of the server, others' too."""

    @abstractmethod
    async def _named(self, name: str) -> P:
        """Look at one. Raises COLLECTION_MISSING."""

    @abstractmethod
    async def _holds_rows(self, place: P) -> bool: ...

    @abstractmethod
    async def _create(self, name: str, collection: Collection) -> P:
        """Make one, or look at the one that another gateway has made meanwhile."""

    async def _complete(self, place: P) -> None:
        """Add what a collection lacks. Most lack nothing."""

    def ensured(self, kind: Kind) -> P:
        """The collection of a kind. Raises COLLECTION_MISSING."""
        found = self._ensured.get(kind)
        if found is None:
            raise StoreError(
                StoreReason.COLLECTION_MISSING, f"nothing was ensured for {kind} memories"
            )
        return found

    async def find(self, kind: Kind) -> P | None:
        """The collection to read a kind from; before it is ensured, the one that holds rows."""
        if kind in self._ensured:
            return self._ensured[kind]
        for name in await self._names_of(kind):
            place = await self._look_up(name)
            if place is not None and await self._holds_rows(place):
                return place
        return None

    async def check(self) -> None:
        """Asks the server. Raises COLLECTION_MISSING if one that was ensured has vanished."""
        if not self._ensured:
            await self._names()
        for place in list(self._ensured.values()):
            # By name: a list that is made while others make collections may lack one (Chroma).
            if await self._named(place.name) != place:
                raise missing(place.name)

    async def ensure(self, collection: Collection) -> None:
        """See VectorStore.ensure."""
        async with self._ensuring:
            kind, name = collection.kind, name_of(self._prefix, collection)
            place = await self._look_up(name)
            others = [other for other in await self._names_of(kind) if other != name]
            if place is None or not await self._holds_rows(place):
                for other in others:
                    found = await self._look_up(other)
                    if found is not None and await self._holds_rows(found):
                        raise mismatch(collection, found.identity)
            if place is None:
                known = self._ensured.get(kind)
                if (known is not None and known.name == name) or (collection.made and not others):
                    raise missing(name)
                place = await self._create(name, collection)
            if place.identity != identity(collection):
                raise mismatch(collection, place.identity)
            await self._complete(place)
            self._ensured[kind] = place

    async def _names_of(self, kind: Kind) -> list[str]:
        begins = beginning(self._prefix, kind)
        return sorted(name for name in await self._names() if belongs(name, begins))

    async def _look_up(self, name: str) -> P | None:
        try:
            return await self._named(name)
        except StoreError as error:
            if error.reason is StoreReason.COLLECTION_MISSING:
                return None
            raise


def beginning(prefix: str, kind: Kind) -> str:
    """What the names of a kind's collections begin with."""
    return f"{prefix}-{kind.value}-"


def name_of(prefix: str, collection: Collection) -> str:
    """The name of the collection of a kind and identity."""
    embedding = collection.embedding
    parts = [
        embedding.provider,
        embedding.model,
        embedding.dimension,
        embedding.metric,
        embedding.normalized,
        collection.analyzer,
    ]
    digest = hashlib.blake2b(json.dumps(parts).encode(), digest_size=_DIGEST_LETTERS // 2)
    return f"{beginning(prefix, collection.kind)}{digest.hexdigest()}"


def belongs(name: str, begins: str) -> bool:
    """Whether a name is a beginning and a digest.

    So "a-semantic-semantic-01234567" does not belong to the prefix "a".
    """
    rest = name.removeprefix(begins)
    is_digest = len(rest) == _DIGEST_LETTERS and set(rest) <= set("0123456789abcdef")
    return rest != name and is_digest


def names_of_prefix(prefix: str, names: Iterable[str]) -> list[str]:
    """Those of these collections that are a prefix's, of all kinds and identities."""
    begins = [beginning(prefix, kind) for kind in Kind]
    return sorted(name for name in names if any(belongs(name, each) for each in begins))


def identity(collection: Collection) -> str:
    """What made the vectors and terms of a collection, for people and to be compared."""
    embedding = collection.embedding
    shape = f"{embedding.metric}, {'' if embedding.normalized else 'not '}normalized"
    return f"{embedding} ({shape}), text analysis {collection.analyzer}"


def mismatch(collection: Collection, stored: object) -> StoreError:
    """Why what is stored cannot be used as it is configured."""
    return StoreError(
        StoreReason.IDENTITY_MISMATCH,
        f"the store holds {collection.kind} memories of another embedding or text analysis than is "
        "configured",
        metadata={"stored": str(stored), "configured": identity(collection)},
    )


def misfit(vector: Vector | None, dimension: int) -> StoreError | None:
    """Why a vector cannot stand among those of a collection."""
    if vector is None or (vector.shape == (dimension,) and vector.dtype == np.float32):
        return None
    given = f"{vector.dtype} of shape {vector.shape}"
    return StoreError(
        StoreReason.IDENTITY_MISMATCH,
        f"vectors are float32 of dimension {dimension}, not {given}",
        metadata={"stored": str(dimension), "configured": "x".join(map(str, vector.shape))},
    )
