"""Collections that others made in Qdrant: LangChain, LlamaIndex, mem0, scripts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from qdrant_client import models

from memplane_adapters.contract import (
    FOREIGN_PAGE_ROWS,
    ForeignFacts,
    ForeignPage,
    ForeignRow,
    StoreError,
    StoreReason,
    Vector,
)
from memplane_adapters.kit.errors import closed
from memplane_adapters.qdrant.collections import IDENTITY_KEY
from memplane_adapters.qdrant.engine import ANY_VERSION, Engine, InProcess, Server
from memplane_adapters.qdrant.settings import QdrantSettings

_METRICS: Final[Mapping[models.Distance, str]] = {
    models.Distance.COSINE: "cosine",
    models.Distance.DOT: "dot",
    models.Distance.EUCLID: "euclid",
    models.Distance.MANHATTAN: "manhattan",
}


class ForeignQdrant:
    """One collection. Its rows come by their ids."""

    def __init__(self, settings: QdrantSettings, data_dir: Path, name: str, vector: str) -> None:
        self._settings = settings
        self._directory = Path(settings.location(data_dir))
        self._name = name
        self._vector = vector
        self._engine: Engine | None = None

    async def open(self) -> None:
        engine: Engine
        if self._settings.in_process:
            self._check_directory()
            engine = InProcess(str(self._directory))
        else:
            # Conditional writes are not needed.
            engine = Server(self._settings, least_version=ANY_VERSION)
        await engine.open()
        self._engine = engine
        info = await self._info()
        if IDENTITY_KEY in (info.config.metadata or {}):
            raise StoreError(
                StoreReason.MISCONFIGURED,
                f"{self._name} is a collection that Memplane made: serve it by a route",
            )

    async def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.close()

    async def facts(self) -> ForeignFacts:
        vector = self._chosen(await self._info())
        count = await self._call("count", exact=True)
        if vector is None:
            return ForeignFacts(count.count)
        metric = _METRICS.get(vector.distance, str(vector.distance))
        return ForeignFacts(count.count, vector.size, metric)

    async def page(self, after: str = "", *, vectors: bool = False) -> ForeignPage:
        records, following = await self._call(
            "scroll",
            limit=FOREIGN_PAGE_ROWS,
            offset=int(after) if after.isdecimal() else after or None,
            with_payload=True,
            with_vectors=([self._vector] if self._vector else True) if vectors else False,
        )
        rows = [
            ForeignRow(
                str(record.id), payload=record.payload or {}, vector=self._read(record.vector)
            )
            for record in records
        ]
        return ForeignPage(rows, "" if following is None else str(following))

    def _check_directory(self) -> None:
        """The client library would make it, or an empty one beside what was meant."""
        if self._settings.in_memory or not (self._directory / "meta.json").is_file():
            raise StoreError(
                StoreReason.MISCONFIGURED, f"{self._directory} holds no collections of Qdrant's"
            )

    def _chosen(self, info: models.CollectionInfo) -> models.VectorParams | None:
        """What the vectors are like that would be kept. Raises MISCONFIGURED for a name amiss."""
        vectors: Any = info.config.params.vectors
        named: dict[str, models.VectorParams] = (
            vectors if isinstance(vectors, dict) else {"": vectors} if vectors is not None else {}
        )
        found = named.get(self._vector)
        if found is None and self._vector:
            names = ", ".join(sorted(filter(None, named))) or "none has a name"
            raise StoreError(
                StoreReason.MISCONFIGURED,
                f'{self._name} has no vector "{self._vector}" (there are: {names})',
            )
        return None if found is None or found.multivector_config is not None else found

    def _read(self, given: Any) -> Vector | None:
        chosen = given.get(self._vector) if isinstance(given, dict) else given
        if not isinstance(chosen, list) or (chosen and isinstance(chosen[0], list)):
            return None  # none, a sparse one or several
        return np.array(chosen, np.float32)

    async def _info(self) -> models.CollectionInfo:
        try:
            info: models.CollectionInfo = await self._call("get_collection")
        except StoreError as error:
            if error.reason is not StoreReason.COLLECTION_MISSING:
                raise
            assert self._engine is not None, "it answered"
            answer = await self._engine.call("get_collections")
            names = ", ".join(sorted(one.name for one in answer.collections))
            raise StoreError(
                error.reason,
                f'Qdrant has no collection "{self._name}"',
                metadata={"collections": names},
            ) from error
        return info

    async def _call(self, operation: str, **arguments: Any) -> Any:
        if self._engine is None:
            raise closed()
        return await self._engine.call(operation, collection_name=self._name, **arguments)
