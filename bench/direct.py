"""The same rows through a vendor's own library, as somebody would write it who needs no gateway.

One collection, one row a memory: the id, the vector, the text, and the namespace as plain metadata
to filter by. No records, no revisions, no other answers than the library's.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from bench.stores import Place

Vector: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Row:
    """What is written of a memory."""

    name: str
    """Unique among all."""
    namespace: str
    text: str
    vector: Vector
    metadata: Mapping[str, str]

    @property
    def id(self) -> str:
        """A UUID, which every vendor takes."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, self.name))


class Direct(Protocol):
    """A collection of its own, by the vendor's library."""

    async def open(self, dimension: int, /) -> None:
        """Connect, and make the collection."""
        ...

    async def upsert(self, rows: Sequence[Row]) -> None:
        """Write a batch; it is there when this returns."""
        ...

    async def get(self, id: str) -> int:
        """Read a row with its text and metadata. Returns how many there are: 1."""
        ...

    async def search(self, vector: Vector, namespace: str, limit: int) -> list[str]:
        """The ids of the nearest rows of a namespace; their texts and metadata come along."""
        ...

    async def close(self) -> None:
        """Remove the collection, and whatever else a gateway made beside it; disconnect."""
        ...


class ChromaDirect:
    """chromadb.AsyncHttpClient."""

    def __init__(self, place: Place) -> None:
        from memplane_adapters.chroma import ChromaSettings

        self._settings = ChromaSettings(**place.keys)  # type: ignore[arg-type]
        self._prefix = place.prefix
        self._client: Any = None
        self._collection: Any = None

    async def open(self, _dimension: int, /) -> None:
        import chromadb
        from chromadb.config import Settings

        settings = self._settings
        address = urlsplit(settings.url)
        secure = address.scheme == "https"
        self._client = await chromadb.AsyncHttpClient(
            host=address.hostname or "",
            port=address.port or (443 if secure else 80),
            ssl=secure,
            headers=settings.headers,
            tenant=settings.tenant,
            database=settings.database,
            settings=Settings(anonymized_telemetry=False),
        )
        self._collection = await self._client.create_collection(
            f"{self._prefix}-direct",
            embedding_function=None,
            configuration={"hnsw": {"space": "cosine"}},
        )

    async def upsert(self, rows: Sequence[Row]) -> None:
        await self._collection.upsert(
            ids=[row.id for row in rows],
            embeddings=[row.vector for row in rows],
            metadatas=[{**row.metadata, "namespace": row.namespace} for row in rows],
            documents=[row.text for row in rows],
        )

    async def get(self, id: str) -> int:
        return len((await self._collection.get(ids=[id]))["ids"])

    async def search(self, vector: Vector, namespace: str, limit: int) -> list[str]:
        found = await self._collection.query(
            query_embeddings=[vector], n_results=limit, where={"namespace": namespace}
        )
        return list(found["ids"][0])

    async def close(self) -> None:
        if self._client is None:
            return
        for collection in await self._client.list_collections():
            if collection.name.startswith(self._prefix):
                await self._client.delete_collection(collection.name)
        # The library has no other way to close its connections.
        await self._client._server._cleanup()  # noqa: SLF001


class QdrantDirect:
    """AsyncQdrantClient: on the server, over gRPC, or with an engine of its own in this process."""

    def __init__(self, place: Place) -> None:
        from memplane_adapters.qdrant import QdrantSettings

        settings = QdrantSettings(**place.keys)  # type: ignore[arg-type]
        self._options: dict[str, Any] = {"path": str(place.directory / "direct")}
        if not settings.in_process:
            self._options = {
                "url": settings.url,
                "grpc_port": settings.grpc_port,
                "prefer_grpc": True,
                "headers": {"api-key": settings.api_key} if settings.api_key else {},
            }
        self._name = f"{place.prefix or 'bench'}-direct"
        self._prefix = place.prefix
        self._client: Any = None

    async def open(self, dimension: int, /) -> None:
        from qdrant_client import AsyncQdrantClient, models

        self._client = AsyncQdrantClient(**self._options)
        await self._client.create_collection(
            self._name,
            vectors_config=models.VectorParams(size=dimension, distance=models.Distance.COSINE),
        )
        if self._prefix:  # the local engine has no indexes
            await self._client.create_payload_index(
                self._name,
                "namespace",
                models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
            )

    async def upsert(self, rows: Sequence[Row]) -> None:
        from qdrant_client import models

        points = [
            models.PointStruct(
                id=row.id,
                vector=row.vector.tolist(),
                payload={**row.metadata, "namespace": row.namespace, "text": row.text},
            )
            for row in rows
        ]
        await self._client.upsert(self._name, points, wait=True)

    async def get(self, id: str) -> int:
        return len(await self._client.retrieve(self._name, [id], with_payload=True))

    async def search(self, vector: Vector, namespace: str, limit: int) -> list[str]:
        from qdrant_client import models

        where = models.FieldCondition(key="namespace", match=models.MatchValue(value=namespace))
        found = await self._client.query_points(
            self._name,
            query=vector.tolist(),
            query_filter=models.Filter(must=[where]),
            limit=limit,
            with_payload=True,
        )
        return [str(point.id) for point in found.points]

    async def close(self) -> None:
        if self._client is None:
            return
        for each in (await self._client.get_collections()).collections:
            if self._prefix and each.name.startswith(self._prefix):
                await self._client.delete_collection(each.name)
        await self._client.close()


DIRECT: Final[Mapping[str, Callable[[Place], Direct]]] = {
    "chroma": ChromaDirect,
    "qdrant": QdrantDirect,
}
"""By adapter. What has none is measured without."""
