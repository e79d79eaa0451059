"""The two ways to a server: gRPC for rows, REST for collections and what the server is.

Opened and closed once; knows which calls are under way, and bounds each by the settings' timeout.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import grpc
import httpx

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.kit.engine import Engine
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
    """What a client holds while it is open.

    It is made in a thread, for it reads files; what gRPC needs is made by the first call, in the
    event loop.
    """

    def __init__(self, settings: WeaviateSettings) -> None:
        self._settings = settings
        trust = trusted(settings.ca_file)
        self._authority = Path(settings.ca_file).read_bytes() if settings.ca_file else None
        self.http = httpx.AsyncClient(
            base_url=settings.url.rstrip("/") + "/v1",
            headers=settings.headers,
            timeout=settings.timeout,
            verify=trust,
        )
        self.is_known = False
        """Whether the server is one that can be used."""

    @functools.cached_property
    def channel(self) -> grpc.aio.Channel:
        target = self._settings.grpc_target
        if not self._settings.secure:
            return grpc.aio.insecure_channel(target, options=_OPTIONS)
        credentials = grpc.ssl_channel_credentials(self._authority)
        return grpc.aio.secure_channel(target, credentials, options=_OPTIONS)

    @functools.cached_property
    def stub(self) -> Any:
        """Any: the stub is made for both sorts of channel and says neither."""
        return weaviate_pb2_grpc.WeaviateStub(self.channel)  # type: ignore[no-untyped-call]

    @functools.cached_property
    def healthy(self) -> Any:
        """The call that asks whether the server is well."""
        return self.channel.unary_unary(
            _HEALTH,
            request_serializer=health_weaviate_pb2.WeaviateHealthCheckRequest.SerializeToString,
            response_deserializer=health_weaviate_pb2.WeaviateHealthCheckResponse.FromString,
        )

    async def shut(self) -> None:
        """Close the connections."""
        if "channel" in vars(self):
            await self.channel.close()
        await self.http.aclose()


class Client(Engine[_Lines]):
    """The operations that the store needs, on one server.

    All raise StoreError, and nothing else but CancelledError.
    """

    def __init__(self, settings: WeaviateSettings) -> None:
        super().__init__(functools.partial(_Lines, settings), errors.from_exception)
        self._settings = settings
        self._metadata = tuple(settings.headers.items())

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
        answer: health_weaviate_pb2.WeaviateHealthCheckResponse | None = await self._bounded(
            lambda lines: lines.healthy(
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
        return await self._bounded(lambda lines: _rest(lines, method, path, body))

    async def _call(self, name: str, request: object) -> object:
        await self._meet()
        answer: object = await self._bounded(
            lambda lines: getattr(lines.stub, name)(
                request, timeout=self._settings.timeout, metadata=self._metadata
            )
        )
        if answer is None:  # what could not be read comes as this
            raise errors.malformed(f"the answer to {name} is no message")
        return answer

    async def version(self) -> str:
        """What the server says of itself."""
        meta = await self._bounded(lambda lines: _rest(lines, "GET", "/meta"))
        return str(meta.get("version", "")) if isinstance(meta, dict) else ""

    async def _meet(self) -> None:
        """Once, before anything else is asked: look whether the server is one that can be used."""
        if self._client is None or not self._client.is_known:
            await self._bounded(_look)

    async def _bounded(self, send: Callable[[_Lines], Awaitable[T]]) -> T:
        async def sent(lines: _Lines) -> T:
            async with asyncio.timeout(self._settings.timeout + 1):
                return await send(lines)

        return await self.call(sent)


async def _rest(lines: _Lines, method: str, path: str, body: object = None) -> Any:
    answer = await lines.http.request(method, path, json=body)
    if not answer.is_success:
        seconds = answer.headers.get("retry-after", "")
        wait = float(seconds) if seconds.isdecimal() else None
        raise RefusalError(answer.status_code, answer.text, wait)
    return answer.json() if answer.content else None


async def _look(lines: _Lines) -> None:
    _check_version(await _rest(lines, "GET", "/meta"))
    lines.is_known = True


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
