"""AsyncPinecone: an index, and in it a namespace of the vendor's for each of ours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bench.direct import NAMESPACE, TEXT, Fields, Found, Row, Vector
from bench.stores import Place

_AT_ONCE: Final = 100
"""Of 384 numbers each: a request may have 2 MB."""


class PineconeDirect:
    """An index; what is written is seen by and by."""

    library = "pinecone"

    def __init__(self, place: Place) -> None:
        from memplane_adapters.pinecone import PineconeSettings

        self._settings = PineconeSettings(**place.keys)  # type: ignore[arg-type]
        self._prefix = place.prefix
        self._client: Any = None
        self._index: Any = None

    async def open(self, example: Row, /) -> None:
        from pinecone import AsyncPinecone

        settings = self._settings
        self._client = AsyncPinecone(
            api_key=settings.api_key or None,
            host=settings.url,
            timeout=settings.timeout,
            ssl_ca_certs=settings.ca_file or None,
        )
        values = {"type": "dense_vector", "dimension": len(example.vector), "metric": "cosine"}
        made = await self._client.indexes.create(
            name=f"{self._prefix}-direct",
            schema={"fields": {"_values": values}},
            deployment={
                "deployment_type": "managed",
                "cloud": settings.cloud,
                "region": settings.region,
            },
            timeout=settings.create_timeout,
        )
        self._index = await self._client.index(host=made.host)

    async def put(self, rows: Sequence[Row]) -> None:
        spaces: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            spaces[row.namespace].append(row)
        for namespace, those in spaces.items():
            for start in range(0, len(those), _AT_ONCE):
                vectors = [
                    {
                        "id": row.id,
                        "values": row.vector.tolist(),
                        "metadata": {**row.metadata, TEXT: row.text},
                    }
                    for row in those[start : start + _AT_ONCE]
                ]
                await self._index.upsert(vectors=vectors, namespace=namespace)

    async def get(self, id: str, namespace: str, /) -> Found | None:
        read = (await self._index.fetch(ids=[id], namespace=namespace)).vectors
        return _found(id, namespace, read[id].metadata) if id in read else None

    async def search(
        self, vector: Vector, namespace: str, limit: int, where: Fields | None = None
    ) -> list[Found]:
        found = await self._index.query(
            top_k=limit,
            vector=vector.tolist(),
            namespace=namespace,
            filter={name: {"$eq": value} for name, value in where.items()} if where else None,
            include_metadata=True,
        )
        return [_found(one.id, namespace, one.metadata, one.score) for one in found.matches]

    async def close(self) -> None:
        if self._index is not None:
            await self._index.close()
        if self._client is None:
            return
        for name in [model.name async for model in self._client.indexes.list()]:
            if name.startswith(self._prefix):
                await self._client.indexes.delete(name, timeout=-1)
        await self._client.close()


def _found(
    id: str, namespace: str, metadata: Mapping[str, Any], score: float | None = None
) -> Found:
    fields = {**metadata, NAMESPACE: namespace}
    return Found(id, fields.pop(TEXT), fields, score)


DIRECT = PineconeDirect
