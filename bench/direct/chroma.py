"""chromadb.AsyncHttpClient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from bench.direct import NAMESPACE, Fields, Found, Row, Vector
from bench.stores import Place


class ChromaDirect:
    """A collection of a server."""

    library = "chromadb"

    def __init__(self, place: Place) -> None:
        from memplane_adapters.chroma import ChromaSettings

        self._settings = ChromaSettings(**place.keys)  # type: ignore[arg-type]
        self._prefix = place.prefix
        self._client: Any = None
        self._collection: Any = None

    async def open(self, _example: Row, /) -> None:
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

    async def put(self, rows: Sequence[Row]) -> None:
        await self._collection.upsert(
            ids=[row.id for row in rows],
            embeddings=[row.vector for row in rows],
            metadatas=[row.fields for row in rows],
            documents=[row.text for row in rows],
        )

    async def get(self, id: str, _namespace: str, /) -> Found | None:
        read = await self._collection.get(ids=[id], include=["documents", "metadatas"])
        if not read["ids"]:
            return None
        return Found(id, read["documents"][0], read["metadatas"][0])

    async def search(
        self, vector: Vector, namespace: str, limit: int, where: Fields | None = None
    ) -> list[Found]:
        conditions = [{name: one} for name, one in {NAMESPACE: namespace, **(where or {})}.items()]
        found = await self._collection.query(
            query_embeddings=[vector],
            n_results=limit,
            where={"$and": conditions} if len(conditions) > 1 else conditions[0],
            include=["documents", "metadatas", "distances"],
        )
        columns = (found[name][0] for name in ("ids", "documents", "metadatas", "distances"))
        return [
            Found(one, text, fields, 1.0 - distance)
            for one, text, fields, distance in zip(*columns, strict=True)
        ]

    async def close(self) -> None:
        if self._client is None:
            return
        for collection in await self._client.list_collections():
            if collection.name.startswith(self._prefix):
                await self._client.delete_collection(collection.name)
        # The library has no other way to close its connections.
        await self._client._server._cleanup()  # noqa: SLF001


DIRECT = ChromaDirect
