"""The client library: its two planes, and what it does not tell.

`AsyncPinecone` is the control plane; each index has a client and a pool of connections of its own,
which are closed by themselves. The library retries by itself (three times, on 429, 5xx and broken
connections) and then shows the last answer alone, and it does not show the answer to a delete at
all. So what each attempt came to is seen below its retries, in the transport: only here is anything
of the library touched that is not public.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import httpx
import orjson
from pinecone import AsyncIndex, AsyncPinecone

from memplane_adapters.contract import Vector
from memplane_adapters.pinecone.settings import PineconeSettings

_COMMITTED: Final = ("x-pinecone-request-lsn", "x-pinecone-lsn-committed")
_UNSENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_UNTOUCHED: Final = frozenset({429, 503})
"""These say that nothing was done."""


@dataclass(slots=True)
class Attempts:
    """What the requests of one call came to."""

    unsure: bool = False
    """Whether one went out and nobody knows what became of it."""
    lsn: int | None = None
    """Where the last write stands in the log of its namespace."""


WATCHED: Final[ContextVar[Attempts | None]] = ContextVar("pinecone_attempts", default=None)


class _Watching(httpx.AsyncBaseTransport):
    """Notes what attempts come to."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        attempts = WATCHED.get() or Attempts()
        try:
            response = await self._transport.handle_async_request(request)
        except _UNSENT:
            raise
        except httpx.TransportError:
            attempts.unsure = True
            raise
        status = response.status_code
        attempts.unsure |= (status >= 500 or status == 408) and status not in _UNTOUCHED
        for name in _COMMITTED:
            if response.headers.get(name, "").isdecimal():
                attempts.lsn = int(response.headers[name])
                break
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


class Client:
    """Both planes of one project."""

    def __init__(self, settings: PineconeSettings) -> None:
        self._options: dict[str, Any] = {
            "timeout": settings.timeout,
            "ssl_ca_certs": settings.ca_file or None,
        }
        self._deployment = {
            "deployment_type": "managed",
            "cloud": settings.cloud,
            "region": settings.region,
        }
        key = settings.api_key or None
        self._control = AsyncPinecone(api_key=key, host=settings.url, **self._options)
        self._indexes: dict[str, AsyncIndex] = {}

    async def shut(self) -> None:
        """Close the connections, those of each index by themselves."""
        for index in self._indexes.values():
            await index.close()
        await self._control.close()

    # --- the control plane ------------------------------------------------------------------

    async def names(self) -> list[str]:
        """The names of all indexes of the project."""
        return [model.name async for model in self._control.indexes.list()]

    async def describe(self, name: str) -> Any:
        """An index, with `host`, `tags`, `status` and `dimension`."""
        return await self._control.indexes.describe(name)

    async def create(self, name: str, dimension: int, tags: Mapping[str, str]) -> Any:
        """A new index, which may not be ready yet; 409 if there is one of the name."""
        values = {"type": "dense_vector", "dimension": dimension, "metric": "cosine"}
        return await self._control.indexes.create(
            name=name,
            schema={"fields": {"_values": values}},
            deployment=self._deployment,
            tags=dict(tags),
            timeout=-1,  # the store waits itself
        )

    async def remove(self, name: str) -> None:
        """Delete an index for good."""
        await self._control.indexes.delete(name, timeout=-1)

    # --- the data plane ---------------------------------------------------------------------

    async def index(self, host: str) -> AsyncIndex:
        """The client of an index."""
        found = self._indexes.get(host)
        if found is None:
            found = await self._control.index(host=host)
            retrying: Any = found._http._ensure_client()._transport  # noqa: SLF001 (see above)
            retrying._transport = _Watching(retrying._transport)  # noqa: SLF001
            found = self._indexes.setdefault(host, found)
        return found


def shortest(vector: Vector) -> list[float]:
    """Numbers that are written as the shortest text that is the same float32: a third fewer bytes."""
    numbers: list[float] = orjson.loads(orjson.dumps(vector, option=orjson.OPT_SERIALIZE_NUMPY))
    return numbers


def json_bytes(value: Mapping[str, Any] | Sequence[Any]) -> int:
    """How many bytes it is on the wire."""
    return len(orjson.dumps(value))
