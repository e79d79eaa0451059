"""Collections: one for each kind and embedding identity, and what it was made with.

A collection is named "<prefix>-<kind>-<digest of the identity>" and says in its metadata what made
its vectors, so that nobody has to guess it from the digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from qdrant_client import models

from memplane_adapters.contract import Collection, Kind, StoreError, StoreReason
from memplane_adapters.qdrant import errors, filters, rows
from memplane_adapters.qdrant.engine import Engine, check_completed

_IDENTITY: Final = "memplane_identity"

_KEYWORD: Final = models.KeywordIndexType.KEYWORD
_INTEGER: Final = models.IntegerIndexParams(
    type=models.IntegerIndexType.INTEGER, lookup=False, range=True
)
_FLOAT: Final = models.FloatIndexParams(type=models.FloatIndexType.FLOAT)
INDEXES: Final[Mapping[str, models.PayloadSchemaParams]] = {
    rows.TENANT: models.KeywordIndexParams(type=_KEYWORD, is_tenant=True),
    rows.SCOPES: models.KeywordIndexParams(type=_KEYWORD),
    rows.TOKENS: models.KeywordIndexParams(type=_KEYWORD),
    # Each name stands in one point only; deletes look them up, and nothing else does.
    rows.WRITE: models.KeywordIndexParams(type=_KEYWORD, on_disk=True),
    f"{rows.NUMBERS}[].path": models.KeywordIndexParams(type=_KEYWORD),
    f"{rows.NUMBERS}[].value": _FLOAT,
    f"{rows.INSTANTS}[].path": models.KeywordIndexParams(type=_KEYWORD),
    f"{rows.INSTANTS}[].value": _FLOAT,
    "time": _INTEGER,
    "update_time": _INTEGER,
    rows.EXPIRE_TIME: _INTEGER,
}
"""Every field that a filter or an order may name."""


class Collections:
    """The collections of one prefix."""

    def __init__(self, engine: Engine, prefix: str, *, forgetful: bool) -> None:
        self._engine = engine
        self._prefix = prefix
        self._forgetful = forgetful
        self._ensured: dict[Kind, tuple[str, Collection]] = {}

    def ensured(self, kind: Kind) -> tuple[str, Collection]:
        """The collection of a kind, with what it was ensured for. Raises COLLECTION_MISSING."""
        found = self._ensured.get(kind)
        if found is None:
            raise StoreError(
                StoreReason.COLLECTION_MISSING, f"nothing was ensured for {kind} memories"
            )
        return found

    async def find(self, kind: Kind) -> str | None:
        """The collection to read a kind from; before it is ensured, the one that holds rows."""
        if kind in self._ensured:
            return self._ensured[kind][0]
        for name in await self._names(kind):
            if await self._holds_rows(name):
                return name
        return None

    async def check(self) -> None:
        """Asks the server. Raises COLLECTION_MISSING if one that was ensured has vanished."""
        there = await self._all_names()
        for name, _ in self._ensured.values():
            if name not in there:
                raise errors.missing(name)

    async def ensure(self, collection: Collection) -> None:
        """See VectorStore.ensure."""
        kind = collection.kind
        mine = f"{self._beginning(kind)}{_digest(collection)}"
        names = await self._names(kind)
        for name in names:
            if name != mine and await self._holds_rows(name):
                raise _mismatch(collection, await self._identity(name))
        if mine not in names:
            made = collection.made and not names and not self._forgetful
            if made or self._ensured.get(kind, ("", None))[0] == mine:
                raise errors.missing(mine)
            await self._create(mine, collection)
        await self._check(mine, collection)
        self._ensured[kind] = mine, collection

    async def _create(self, name: str, collection: Collection) -> None:
        # Vectors have length 1, so the dot product is the cosine. Asked for the cosine, Qdrant makes
        # them that long once more, and they come back with other last bits than they were written.
        vector = models.VectorParams(
            size=collection.embedding.dimension, distance=models.Distance.DOT
        )
        try:
            await self._engine.call(
                "create_collection",
                collection_name=name,
                vectors_config={rows.VECTOR: vector},
                metadata={_IDENTITY: _identity(collection)},
            )
        except errors.CollectionExistsError:  # made by another gateway meanwhile, and checked next
            return

    async def _check(self, name: str, collection: Collection) -> None:
        """Whether it was made with this identity; makes the indexes that it lacks."""
        info: models.CollectionInfo = await self._engine.call(
            "get_collection", collection_name=name
        )
        stored = (info.config.metadata or {}).get(_IDENTITY)
        if stored != _identity(collection):
            raise _mismatch(collection, stored)
        if self._engine.local:  # has no indexes
            return
        for field, schema in INDEXES.items():
            if field not in info.payload_schema:
                check_completed(
                    await self._engine.call(
                        "create_payload_index",
                        collection_name=name,
                        field_name=field,
                        field_schema=schema,
                        wait=True,
                    )
                )

    async def _identity(self, name: str) -> object:
        info: models.CollectionInfo = await self._engine.call(
            "get_collection", collection_name=name
        )
        return (info.config.metadata or {}).get(_IDENTITY)

    async def _holds_rows(self, name: str) -> bool:
        found, _ = await self._engine.call(
            "scroll",
            collection_name=name,
            scroll_filter=filters.ROWS,
            limit=1,
            with_payload=False,
        )
        return bool(found)

    async def _names(self, kind: Kind) -> list[str]:
        beginning = self._beginning(kind)
        return sorted(name for name in await self._all_names() if _belongs(name, beginning))

    async def _all_names(self) -> set[str]:
        answer: models.CollectionsResponse = await self._engine.call("get_collections")
        return {collection.name for collection in answer.collections}

    def _beginning(self, kind: Kind) -> str:
        return f"{self._prefix}-{kind.value}-"


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


def _mismatch(collection: Collection, stored: object) -> StoreError:
    return StoreError(
        StoreReason.IDENTITY_MISMATCH,
        f"Qdrant holds {collection.kind} memories of another embedding or text analysis than is "
        "configured",
        metadata={"stored": str(stored), "configured": _identity(collection)},
    )
