"""Collections: one for each kind and embedding identity, which stands in its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qdrant_client import models

from memplane_adapters.contract import Collection, Kind, StoreError, StoreReason
from memplane_adapters.kit.collections import beginning, belongs, identity, mismatch, name_of
from memplane_adapters.kit.errors import CollectionExistsError, missing
from memplane_adapters.qdrant import filters, rows
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
                raise missing(name)

    async def ensure(self, collection: Collection) -> None:
        """See VectorStore.ensure."""
        kind = collection.kind
        mine = name_of(self._prefix, collection)
        names = await self._names(kind)
        for name in names:
            if name != mine and await self._holds_rows(name):
                raise mismatch(collection, await self._identity(name))
        if mine not in names:
            made = collection.made and not names and not self._forgetful
            if made or self._ensured.get(kind, ("", None))[0] == mine:
                raise missing(mine)
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
                metadata={_IDENTITY: identity(collection)},
            )
        except CollectionExistsError:  # made by another gateway meanwhile, and checked next
            return

    async def _check(self, name: str, collection: Collection) -> None:
        """Whether it was made with this identity; makes the indexes that it lacks."""
        info: models.CollectionInfo = await self._engine.call(
            "get_collection", collection_name=name
        )
        stored = (info.config.metadata or {}).get(_IDENTITY)
        if stored != identity(collection):
            raise mismatch(collection, stored)
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
        begins = beginning(self._prefix, kind)
        return sorted(name for name in await self._all_names() if belongs(name, begins))

    async def _all_names(self) -> set[str]:
        answer: models.CollectionsResponse = await self._engine.call("get_collections")
        return {collection.name for collection in answer.collections}
