"""weaviate-client's asyncio client: one collection, the metadata as properties with their own types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from bench.direct import NAMESPACE, TEXT, Fields, Found, Row, Vector
from bench.stores import Place


class WeaviateDirect:
    """A collection whose index is of the kind that the gateway's has."""

    library = "weaviate-client"

    def __init__(self, place: Place) -> None:
        from memplane_adapters.weaviate import WeaviateSettings

        self._settings = WeaviateSettings(**place.keys)  # type: ignore[arg-type]
        # Collections have names of letters, digits and "_" that begin with a capital.
        self._prefix = place.prefix.replace("-", "_").capitalize()
        self._client: Any = None
        self._collection: Any = None

    async def open(self, example: Row, /) -> None:
        self._client = await self._connected()
        from weaviate.classes.config import (
            Configure,
            DataType,
            Property,
            Tokenization,
            VectorDistances,
        )

        properties = [
            Property(name=name, data_type=DataType.INT)
            if isinstance(value, int)
            else Property(name=name, data_type=DataType.TEXT, tokenization=Tokenization.FIELD)
            for name, value in {**example.fields, TEXT: example.text}.items()
        ]
        self._collection = await self._client.collections.create(
            f"{self._prefix}_direct",
            properties=properties,
            vector_config=Configure.Vectors.self_provided(
                vector_index_config=Configure.VectorIndex.hnsw(
                    distance_metric=VectorDistances.COSINE, ef=self._settings.ef
                )
                if self._settings.index == "hnsw"
                else Configure.VectorIndex.flat(distance_metric=VectorDistances.COSINE)
            ),
        )

    async def _connected(self) -> Any:
        import weaviate
        from weaviate.auth import Auth
        from weaviate.classes.init import AdditionalConfig, Timeout

        settings = self._settings
        address = urlsplit(settings.url)
        host, seconds = address.hostname or "", int(settings.timeout)
        client = weaviate.use_async_with_custom(
            http_host=host,
            http_port=address.port or (443 if settings.secure else 80),
            http_secure=settings.secure,
            grpc_host=settings.grpc_host or host,
            grpc_port=settings.grpc_port,
            grpc_secure=settings.secure,
            auth_credentials=Auth.api_key(settings.api_key) if settings.api_key else None,
            additional_config=AdditionalConfig(
                timeout=Timeout(init=seconds, query=seconds, insert=seconds)
            ),
            skip_init_checks=True,  # they ask the package index for the newest release
        )
        await client.connect()
        return client

    async def put(self, rows: Sequence[Row]) -> None:
        from weaviate.classes.data import DataObject

        written = await self._collection.data.insert_many(
            [
                DataObject(
                    uuid=row.id,
                    properties={**row.fields, TEXT: row.text},
                    vector=row.vector.tolist(),
                )
                for row in rows
            ]
        )
        assert not written.has_errors, written.errors

    async def get(self, id: str, _namespace: str, /) -> Found | None:
        read = await self._collection.query.fetch_object_by_id(id)
        return None if read is None else _found(read)

    async def search(
        self, vector: Vector, namespace: str, limit: int, where: Fields | None = None
    ) -> list[Found]:
        from weaviate.classes.query import Filter, MetadataQuery

        conditions = [
            Filter.by_property(name).equal(value)
            for name, value in {NAMESPACE: namespace, **(where or {})}.items()
        ]
        found = await self._collection.query.near_vector(
            vector.tolist(),
            limit=limit,
            filters=Filter.all_of(conditions),
            return_metadata=MetadataQuery(distance=True),
        )
        return [_found(one, 1.0 - one.metadata.distance) for one in found.objects]

    async def close(self) -> None:
        if self._client is None:
            return
        for name in await self._client.collections.list_all():
            if name.startswith(self._prefix):
                await self._client.collections.delete(name)
        await self._client.close()


def _found(read: Any, score: float | None = None) -> Found:
    fields = dict(read.properties)
    return Found(str(read.uuid), fields.pop(TEXT), fields, score)


DIRECT = WeaviateDirect
