"""The client library, with what it lacks: a pool of its own, deadlines, statuses and an end.

`AsyncFastAPI` keeps one httpx client an event loop for all of its instances, with the headers of the
first one and without any timeout, and turns an answer that it does not know into a plain Exception.
Only here is anything of the library named; what goes wrong is raised as it comes (see `errors`).
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import httpx
import orjson
from chromadb.api.async_fastapi import AsyncFastAPI
from chromadb.api.types import Where
from chromadb.config import Settings, System
from overrides import override

from memplane_adapters.chroma.errors import RefusalError
from memplane_adapters.chroma.settings import ChromaSettings
from memplane_adapters.contract import Vector

_CONNECTIONS: Final = 32
_API: Final = "/api/v2"

Reply = Mapping[str, Any]
"""The columns of an answer: "ids" and what was asked for, each None when it was not."""


class Client(AsyncFastAPI):
    """The operations that the store needs, on one server."""

    def __init__(self, system: System, settings: ChromaSettings) -> None:
        super().__init__(system)
        # Any: the library's signatures have other optional arguments in between.
        self._place: dict[str, Any] = {"tenant": settings.tenant, "database": settings.database}
        verify = ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else True
        self._http = httpx.AsyncClient(
            headers={**settings.headers, "Content-Type": "application/json"},
            timeout=httpx.Timeout(settings.timeout, connect=settings.connect_timeout),
            limits=httpx.Limits(max_connections=_CONNECTIONS, keepalive_expiry=30.0),
            verify=verify,
            event_hooks={"response": [_raise_refusal]},
        )

    @override
    def _get_client(self) -> httpx.AsyncClient:
        return self._http

    async def shut(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def collections(self) -> Sequence[Any]:
        """All collections, with `id`, `name` and `metadata`."""
        return await self.list_collections(**self._place)

    async def collection(self, name: str) -> Any:
        """One collection by its name."""
        return await self.get_collection(name, **self._place)

    async def make_collection(
        self, name: str, metadata: Mapping[str, Any], hnsw: Mapping[str, Any]
    ) -> Any:
        """A new collection; 409 if there is one of the name."""
        configuration: Any = {"hnsw": dict(hnsw)}
        return await self.create_collection(
            name, metadata=dict(metadata), configuration=configuration, **self._place
        )

    async def write(
        self,
        collection: UUID,
        *,
        ids: list[str],
        embeddings: list[Any],
        metadatas: list[Any],
        documents: list[str],
        uris: list[str],
    ) -> None:
        """Write rows; ids are distinct."""
        await self._upsert(collection, ids, embeddings, metadatas, documents, uris, **self._place)

    async def read(
        self,
        collection: UUID,
        include: list[Any],
        *,
        ids: list[str] | None = None,
        where: Where | None = None,
    ) -> Reply:
        """Rows by their ids, or those that match."""
        return await self._get(collection, ids=ids, where=where, include=include, **self._place)

    async def nearest(
        self,
        collection: UUID,
        include: list[Any],
        *,
        vector: Vector,
        number: int,
        where: Where | None,
    ) -> Reply:
        """The nearest rows that match; each column holds one list."""
        return await self._query(
            collection, [vector], n_results=number, where=where, include=include, **self._place
        )

    async def erase(
        self,
        collection: UUID,
        *,
        ids: list[str] | None = None,
        where: Where | None = None,
        limit: int | None = None,
    ) -> int:
        """Delete rows; the number is right only for `where`."""
        result = await self._delete(collection, ids=ids, where=where, limit=limit, **self._place)
        return result["deleted"]

    async def number(self, collection: UUID) -> int:
        """All rows of a collection."""
        return await self._count(collection, **self._place)


def make_client(settings: ChromaSettings) -> Client:
    """A client; nothing is sent yet."""
    system = System(
        Settings(
            _env_file=None,  # type: ignore[call-arg]
            anonymized_telemetry=False,
            chroma_api_impl="chromadb.api.async_fastapi.AsyncFastAPI",
            chroma_server_host=f"{settings.url.rstrip('/')}{_API}",
            chroma_server_http_port=0,  # it stands in the URL
            chroma_server_ssl_enabled=settings.url.startswith("https:"),
        )
    )
    return Client(system, settings)


async def _raise_refusal(response: httpx.Response) -> None:
    if response.status_code < 300:
        return
    await response.aread()
    name, message = _words(response.content)
    seconds = response.headers.get("Retry-After", "")
    retry_after = float(seconds) if seconds.isdecimal() else None
    raise RefusalError(response.status_code, name, message, retry_after)


def _words(content: bytes) -> tuple[str, str]:
    """Chroma's name for an error and its message; no name when it is not Chroma that answers."""
    try:
        body = orjson.loads(content)
    except ValueError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("error"), str):
        return body["error"], str(body.get("message", ""))
    return "", content.decode(errors="replace")
