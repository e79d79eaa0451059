"""The two ways to a server: gRPC for rows, REST for collections and what the server is.

Opened and closed once; knows which calls are under way, and bounds each by the settings' timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import grpc
import httpx

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.kit.errors import closed
from memplane_adapters.kit.tls import trusted
from memplane_adapters.weaviate import errors
from memplane_adapters.weaviate.errors import RefusalError
from memplane_adapters.weaviate.settings import WeaviateSettings
from memplane_adapters.weaviate.stubs import (
    aggregate_pb2,
    batch_delete_pb2,
    batch_pb2,
    health_weaviate_pb2,
    search_get_pb2,
    tenants_pb2,
    weaviate_pb2_grpc,
)

T = TypeVar("T")

LEAST_VERSION: Final = (1, 33)
"""The first server whose filters can say NOT."""

_OPTIONS: Final = (
    # A server that was away is back within half a second. Without a pool of their own, channels
    # share a connection, and its waiting time, with every other channel to the address.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    # A server has a limit of its own, of 100 MB.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_retries", 0),
)
_HEALTH: Final = "/grpc.health.v1.Health/Check"
_SERVING: Final = health_weaviate_pb2.WeaviateHealthCheckResponse.SERVING


class _Lines:
    """What a client holds while it is open."""

    def __init__(self, settings: WeaviateSettings) -> None:
        trust = trusted(settings.ca_file)
        authority = Path(settings.ca_file).read_bytes() if settings.ca_file else None
        if settings.secure:
            self.channel = grpc.aio.secure_channel(
                settings.grpc_target, grpc.ssl_channel_credentials(authority), options=_OPTIONS
            )
        else:
            self.channel = grpc.aio.insecure_channel(settings.grpc_target, options=_OPTIONS)
        # Any: the stub is made for both sorts of channel and says neither.
        self.stub: Any = weaviate_pb2_grpc.WeaviateStub(self.channel)  # type: ignore[no-untyped-call]
        self.http = httpx.AsyncClient(
            base_url=settings.url.rstrip("/") + "/v1",
            headers=settings.headers,
            timeout=settings.timeout,
            verify=trust,
        )
        self.healthy = self.channel.unary_unary(
            _HEALTH,
            request_serializer=health_weaviate_pb2.WeaviateHealthCheckRequest.SerializeToString,
            response_deserializer=health_weaviate_pb2.WeaviateHealthCheckResponse.FromString,
        )


class Client:
    """The operations that the store needs, on one server.

    All raise StoreError, and nothing else but CancelledError.
    """

    def __init__(self, settings: WeaviateSettings) -> None:
        self._settings = settings
        self._metadata = tuple(settings.headers.items())
        self._lines: _Lines | None = None
        self._known = False
        self._opening: Final = asyncio.Lock()
        self._under_way = 0
        self._idle: Final = asyncio.Event()
        self._idle.set()

    async def open(self) -> None:
        """Read certificates; nothing is sent."""
        async with self._opening:
            if self._lines is None:
                try:
                    self._lines = _Lines(self._settings)
                except Exception as error:
                    raise errors.from_exception(error) from error
                self._known = False

    async def close(self) -> None:
        """Wait for the calls under way, and close the connections."""
        lines, self._lines = self._lines, None
        if lines is not None:
            await self._idle.wait()
            await lines.channel.close()
            await lines.http.aclose()

    @property
    def is_open(self) -> bool:
        return self._lines is not None

    async def search(self, request: search_get_pb2.SearchRequest) -> search_get_pb2.SearchReply:
        """Rows of one tenant."""
        answer = await self._call("Search", request)
        return cast("search_get_pb2.SearchReply", answer)

    async def write(self, request: batch_pb2.BatchObjectsRequest) -> batch_pb2.BatchObjectsReply:
        """Write rows; the answer names those that were refused."""
        answer = await self._call("BatchObjects", request)
        return cast("batch_pb2.BatchObjectsReply", answer)

    async def erase(
        self, request: batch_delete_pb2.BatchDeleteRequest
    ) -> batch_delete_pb2.BatchDeleteReply:
        """Delete the rows of one tenant that match, 10,000 at most."""
        answer = await self._call("BatchDelete", request)
        return cast("batch_delete_pb2.BatchDeleteReply", answer)

    async def aggregate(
        self, request: aggregate_pb2.AggregateRequest
    ) -> aggregate_pb2.AggregateReply:
        """Figures about the rows of one tenant."""
        answer = await self._call("Aggregate", request)
        return cast("aggregate_pb2.AggregateReply", answer)

    async def tenants(self, collection: str, *names: str) -> list[str]:
        """The names of the tenants of a collection; with names those of them that are there."""
        asked = tenants_pb2.TenantNames(values=names) if names else None
        request = tenants_pb2.TenantsGetRequest(collection=collection, names=asked)
        answer = await self._call("TenantsGet", request)
        return [tenant.name for tenant in cast("tenants_pb2.TenantsGetReply", answer).tenants]

    async def check(self) -> None:
        """Ask over gRPC whether the server is well."""
        request = health_weaviate_pb2.WeaviateHealthCheckRequest(service="Weaviate")
        answer: health_weaviate_pb2.WeaviateHealthCheckResponse | None = await self._watched(
            self._open_lines().healthy(
                request, timeout=self._settings.timeout, metadata=self._metadata
            )
        )
        if answer is None or answer.status != _SERVING:
            raise StoreError(
                StoreReason.UNAVAILABLE, f"Weaviate says of itself: {answer}", retryable=True
            )

    async def rest(self, method: str, path: str, body: object = None) -> Any:
        """One request over REST, with its answer as what JSON says."""
        await self._meet()
        return await self._watched(self._rest(method, path, body))

    async def _rest(self, method: str, path: str, body: object = None) -> Any:
        answer = await self._open_lines().http.request(method, path, json=body)
        if not answer.is_success:
            seconds = answer.headers.get("retry-after", "")
            wait = float(seconds) if seconds.isdecimal() else None
            raise RefusalError(answer.status_code, answer.text, wait)
        return answer.json() if answer.content else None

    async def _call(self, name: str, request: object) -> object:
        lines = self._open_lines()
        await self._meet()
        send = getattr(lines.stub, name)
        answer: object = await self._watched(
            send(request, timeout=self._settings.timeout, metadata=self._metadata)
        )
        if answer is None:  # what could not be read comes as this
            raise errors.malformed(f"the answer to {name} is no message")
        return answer

    async def version(self) -> str:
        """What the server says of itself."""
        meta = await self._watched(self._rest("GET", "/meta"))
        return str(meta.get("version", "")) if isinstance(meta, dict) else ""

    async def _meet(self) -> None:
        """Once, before anything else is asked: look whether the server is one that can be used."""
        if not self._known:
            _check_version(await self._watched(self._rest("GET", "/meta")))
            self._known = True

    def _open_lines(self) -> _Lines:
        if self._lines is None:
            raise closed()
        return self._lines

    async def _watched(self, call: Awaitable[T]) -> T:
        self._under_way += 1
        self._idle.clear()
        try:
            async with asyncio.timeout(self._settings.timeout + 1):
                return await call
        except Exception as error:
            raise errors.from_exception(error) from error
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()


def _check_version(meta: Any) -> None:
    """Raises MISCONFIGURED for a server that cannot be used."""
    said = str(meta.get("version", "")) if isinstance(meta, dict) else ""
    numbers = said.split("-")[0].split(".")
    if len(numbers) < 2 or not all(number.isdecimal() for number in numbers[:2]):
        raise errors.malformed(f"a Weaviate of version {said!r}")
    if (int(numbers[0]), int(numbers[1])) < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        raise StoreError(
            StoreReason.MISCONFIGURED,
            f"Weaviate {said} has no filters that say NOT; {least} or newer is needed",
        )
