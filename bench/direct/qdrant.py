"""AsyncQdrantClient: on the server, over gRPC, or with an engine of its own in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.direct import NAMESPACE, TEXT, Fields, Found, Row, Vector
from bench.stores import Place


class QdrantDirect:
    """A collection with an index of namespaces."""

    library = "qdrant-client"

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

    async def open(self, example: Row, /) -> None:
        from qdrant_client import AsyncQdrantClient, models

        self._client = AsyncQdrantClient(**self._options)
        await self._client.create_collection(
            self._name,
            vectors_config=models.VectorParams(
                size=len(example.vector), distance=models.Distance.COSINE
            ),
        )
        if self._prefix:  # the local engine has no indexes
            await self._client.create_payload_index(
                self._name,
                NAMESPACE,
                models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
            )

    async def put(self, rows: Sequence[Row]) -> None:
        from qdrant_client import models

        points = [
            models.PointStruct(
                id=row.id, vector=row.vector.tolist(), payload={**row.fields, TEXT: row.text}
            )
            for row in rows
        ]
        await self._client.upsert(self._name, points, wait=True)

    async def get(self, id: str, _namespace: str, /) -> Found | None:
        read = await self._client.retrieve(self._name, [id], with_payload=True)
        return _found(id, read[0].payload) if read else None

    async def search(
        self, vector: Vector, namespace: str, limit: int, where: Fields | None = None
    ) -> list[Found]:
        from qdrant_client import models

        conditions: list[Any] = [
            models.FieldCondition(key=name, match=models.MatchValue(value=one))
            for name, one in {NAMESPACE: namespace, **(where or {})}.items()
        ]
        found = await self._client.query_points(
            self._name,
            query=vector.tolist(),
            query_filter=models.Filter(must=conditions),
            limit=limit,
            with_payload=True,
        )
        return [_found(str(point.id), point.payload, point.score) for point in found.points]

    async def close(self) -> None:
        if self._client is None:
            return
        for each in (await self._client.get_collections()).collections:
            if self._prefix and each.name.startswith(self._prefix):
                await self._client.delete_collection(each.name)
        await self._client.close()


def _found(id: str, payload: Mapping[str, Any], score: float | None = None) -> Found:
    fields = dict(payload)
    return Found(id, fields.pop(TEXT), fields, score)


DIRECT = QdrantDirect
