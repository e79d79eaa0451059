"""The client library, with what it lacks: a pool of its own, deadlines, statuses and an end.

`AsyncFastAPI` keeps one httpx client an event loop for all of its instances, with the headers of the
first one and without any timeout, and turns an answer that it does not know into a plain Exception.
Its requests go out through aiohttp instead, which takes a third of the processor time of httpx for
one caller and a fifth for sixteen. Only here is anything of the library named; what goes wrong is
raised as it comes (see `errors`).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import aiohttp
import orjson
from chromadb.api.async_fastapi import AsyncFastAPI
from chromadb.api.types import Where
from chromadb.config import Settings, System
from overrides import override
from yarl import URL

from memplane_adapters.chroma.errors import RefusalError
from memplane_adapters.chroma.settings import ChromaSettings
from memplane_adapters.contract import Vector
from memplane_adapters.kit.tls import trusted

_CONNECTIONS: Final = 32
_KEPT_SECONDS: Final = 30.0
_SENT_AT_ONCE: Final = 512 * 1024
"""Longer bodies are sent in pieces, so that others come between."""
_API: Final = "/api/v2"

Reply = Mapping[str, Any]
"""The columns of an answer: "ids" and what was asked for, each None when it was not."""


class Client(AsyncFastAPI):
    """The operations that the store needs, on one server."""

    def __init__(self, system: System, settings: ChromaSettings) -> None:
        super().__init__(system)
        # Any: the library's signatures have other optional arguments in between.
        self._place: dict[str, Any] = {"tenant": settings.tenant, "database": settings.database}
        self._headers = settings.headers
        self._timeout = aiohttp.ClientTimeout(
            connect=settings.timeout,  # a place in the pool included
            sock_connect=settings.connect_timeout,
            sock_read=settings.timeout,
        )
        self._trusted = trusted(settings.ca_file)
        self._http: aiohttp.ClientSession | None = None

    @override
    async def _make_request(self, method: str, path: str, **arguments: Any) -> Any:
        """Raises RefusalError for any status but success, and what aiohttp raises."""
        url = URL(self._api_url + quote(path, safe="/"), encoded=True)
        body: bytes | io.BytesIO | None = None
        if "json" in arguments:
            body = orjson.dumps(arguments["json"], option=orjson.OPT_SERIALIZE_NUMPY)
            if len(body) > _SENT_AT_ONCE:
                body = io.BytesIO(body)
        sent = self._session().request(
            method, url, params=arguments.get("params"), data=body, allow_redirects=False
        )
        async with sent as response:
            content = await response.read()
        if response.status >= 300:
            raise _refusal(response.status, content, response.headers.get("Retry-After", ""))
        return orjson.loads(content)

    def _session(self) -> aiohttp.ClientSession:
        """Made in the event loop, by the first request."""
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=_CONNECTIONS, keepalive_timeout=_KEPT_SECONDS, ssl=self._trusted
                ),
                headers={**self._headers, "Content-Type": "application/json"},
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=True,
            )
        return self._http

    async def shut(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.close()

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

    async def drop(self, name: str) -> None:
        """Remove a collection; 404 if there is none of the name."""
        await self.delete_collection(name, **self._place)

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

    async def some(self, collection: UUID, include: list[Any], limit: int, offset: int) -> Reply:
        """Rows in the order in which they were added, from a place on."""
        return await self._get(
            collection, limit=limit, offset=offset, include=include, **self._place
        )

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


def _refusal(status: int, content: bytes, seconds: str) -> RefusalError:
    name, message = _words(content)
    retry_after = float(seconds) if seconds.isdecimal() else None
    return RefusalError(status, name, message, retry_after)


def _words(content: bytes) -> tuple[str, str]:
    """Chroma's name for an error and its message; no name when it is not Chroma that answers."""
    try:
        body = orjson.loads(content)
    except ValueError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("error"), str):
        return body["error"], str(body.get("message", ""))
    return "", content.decode(errors="replace")
