"""Collections: one for each kind and embedding identity, which stands in its metadata."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from qdrant_client import models

from memplane_adapters.contract import Collection, Kind, StoreError, StoreReason
from memplane_adapters.kit import collections as kit
from memplane_adapters.kit.errors import CollectionExistsError
from memplane_adapters.qdrant import filters, rows
from memplane_adapters.qdrant.engine import Engine, check_completed

IDENTITY_KEY: Final = "memplane_identity"
"""What tells our collections from those of others."""

_WORDLESS: Final = (
    "its collection was made by an earlier version, which kept no words. To search by words, write the "
    "memories anew into a store with another `prefix`; until then give the route `search: vector`"
)

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


@dataclass(frozen=True, slots=True)
class Place(kit.Place):
    """A collection that is there."""

    words: bool
    """Whether its rows keep their words. Those of an earlier version do not, and never will: with a
    sparse vector added, a search would find only what was written since, and nobody could tell."""

    def check_words(self) -> None:
        """Raises UNSUPPORTED where there are none to search."""
        if not self.words:
            raise StoreError(
                StoreReason.UNSUPPORTED,
                f"Qdrant's collection {self.name} has no sparse vector {rows.WORDS}: it was made by "
                "an earlier version",
                metadata={"capability": "keyword", "collection": self.name, "why": _WORDLESS},
            )


class Collections(kit.Collections[Place]):
    """The collections of one prefix."""

    def __init__(self, engine: Engine, prefix: str) -> None:
        super().__init__(prefix)
        self._engine = engine

    @property
    def wordless(self) -> frozenset[Kind]:
        """The kinds whose rows keep no words."""
        return frozenset(kind for kind, place in self._ensured.items() if not place.words)

    async def _names(self) -> Iterable[str]:
        answer: models.CollectionsResponse = await self._engine.call("get_collections")
        return [collection.name for collection in answer.collections]

    async def _named(self, name: str) -> Place:
        info = await self._info(name)
        vectors = info.config.params.vectors
        if not isinstance(vectors, dict) or rows.VECTOR not in vectors:
            raise StoreError(
                StoreReason.MISCONFIGURED,
                f"Qdrant's collection {name} has no vector {rows.VECTOR}: it was not made by "
                "this version",
            )
        stored = (info.config.metadata or {}).get(IDENTITY_KEY)
        worded = info.config.params.sparse_vectors or {}
        return Place(name, str(stored), vectors[rows.VECTOR].size, rows.WORDS in worded)

    async def _holds_rows(self, place: Place) -> bool:
        found, _ = await self._engine.call(
            "scroll",
            collection_name=place.name,
            scroll_filter=filters.ROWS,
            limit=1,
            with_payload=False,
        )
        return bool(found)

    async def _create(self, name: str, collection: Collection) -> Place:
        # Vectors have length 1, so the dot product is the cosine. Asked for the cosine, Qdrant makes
        # them that long once more, and they come back with other last bits than they were written.
        vector = models.VectorParams(
            size=collection.embedding.dimension, distance=models.Distance.DOT
        )
        with contextlib.suppress(CollectionExistsError):
            await self._engine.call(
                "create_collection",
                collection_name=name,
                vectors_config={rows.VECTOR: vector},
                sparse_vectors_config={
                    rows.WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)
                },
                metadata={IDENTITY_KEY: kit.identity(collection)},
            )
        return await self._named(name)

    async def _complete(self, place: Place) -> None:
        """Makes the indexes that are not there."""
        if self._engine.local:  # has no indexes
            return
        there = (await self._info(place.name)).payload_schema
        for field, schema in INDEXES.items():
            if field not in there:
                check_completed(
                    await self._engine.call(
                        "create_payload_index",
                        collection_name=place.name,
                        field_name=field,
                        field_schema=schema,
                        wait=True,
                    )
                )

    async def _info(self, name: str) -> models.CollectionInfo:
        info: models.CollectionInfo = await self._engine.call(
            "get_collection", collection_name=name
        )
        return info
