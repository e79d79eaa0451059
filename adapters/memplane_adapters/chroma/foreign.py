"""Collections that others made in Chroma: LangChain, LlamaIndex, mem0, scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from memplane_adapters.chroma import errors
from memplane_adapters.chroma.collections import LAYOUT_KEY
from memplane_adapters.chroma.engine import Engine
from memplane_adapters.chroma.rows import columns
from memplane_adapters.chroma.settings import ChromaSettings
from memplane_adapters.contract import (
    FOREIGN_PAGE_ROWS,
    ForeignFacts,
    ForeignPage,
    ForeignRow,
    StoreError,
    StoreReason,
    Vector,
)

_METRICS: Final[Mapping[str, str]] = {"cosine": "cosine", "ip": "dot", "l2": "euclid"}
_BY_DEFAULT: Final = "l2"


class ForeignChroma:
    """One collection. Its rows come in the order in which they were added."""

    def __init__(self, settings: ChromaSettings, name: str, vector: str) -> None:
        self._engine = Engine(settings)
        self._name = name
        self._vector = vector
        self._found: Any = None

    async def open(self) -> None:
        if self._vector:
            raise StoreError(
                StoreReason.MISCONFIGURED,
                f'a row of Chroma has one vector, which has no name: not "{self._vector}"',
            )
        await self._engine.open()
        found = await self._named()
        if LAYOUT_KEY in (found.metadata or {}):
            raise StoreError(
                StoreReason.MISCONFIGURED,
                f"{self._name} is a collection that Memplane made: serve it by a route",
            )
        self._found = found

    async def close(self) -> None:
        await self._engine.close()

    async def facts(self) -> ForeignFacts:
        found = await self._named()
        rows = await self._engine.call(lambda client: client.number(found.id))
        return ForeignFacts(rows, found.dimension, _metric(found))

    async def page(self, after: str = "", *, vectors: bool = False) -> ForeignPage:
        """Chroma knows places by their number alone: a row that is deleted meanwhile moves others."""
        offset = int(after or 0)
        names = ["metadatas", "documents", *(["embeddings"] if vectors else [])]
        reply = await self._engine.call(
            lambda client: client.some(self._found.id, names, FOREIGN_PAGE_ROWS, offset)
        )
        rows = [_row(*row) for row in columns(reply, *names)]
        full = len(rows) == FOREIGN_PAGE_ROWS
        return ForeignPage(rows, str(offset + len(rows)) if full else "")

    async def _named(self) -> Any:
        try:
            return await self._engine.call(lambda client: client.collection(self._name))
        except StoreError as error:
            if error.reason is not StoreReason.COLLECTION_MISSING:
                raise
            every = await self._engine.call(lambda client: client.collections())
            names = ", ".join(sorted(one.name for one in every))
            raise StoreError(
                error.reason,
                f'Chroma has no collection "{self._name}"',
                metadata={"collections": names},
            ) from error


def _metric(collection: Any) -> str:
    """The space of the index, which older collections have in their metadata."""
    configuration = collection.configuration_json or {}
    for index in ("hnsw", "spann"):
        space = (configuration.get(index) or {}).get("space")
        if space is not None:
            return _METRICS.get(space, str(space))
    space = (collection.metadata or {}).get("hnsw:space", _BY_DEFAULT)
    return _METRICS.get(space, str(space))


def _row(id: object, metadata: object, document: object, embedding: object = None) -> ForeignRow:
    """Raises PROTOCOL."""
    if not (
        isinstance(id, str)
        and isinstance(metadata, Mapping | None)
        and isinstance(document, str | None)
    ):
        raise errors.malformed("Chroma's answer holds a row that is none")
    return ForeignRow(id, document, dict(metadata or {}), _vector(embedding))


def _vector(embedding: object) -> Vector | None:
    if embedding is None:
        return None
    try:
        return np.array(embedding, np.float32).reshape(-1)
    except (TypeError, ValueError) as error:
        raise errors.malformed("Chroma's answer holds a vector that is none") from error
