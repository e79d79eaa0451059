"""What a client and all its scopes share: the way to the gateway."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import Message

from memplane import _values
from memplane._async.transport import AsyncStream, AsyncTransport, Response
from memplane._errors import Cancelled, InvalidArgument

if TYPE_CHECKING:
    import grpc

    from memplane._async.grpc_transport import AsyncGrpcTransport

MEMORY_SERVICE: Final = "/memplane.v1.MemoryService/"
LIFECYCLE_SERVICE: Final = "/memplane.v1.LifecycleService/"
ADMIN_SERVICE: Final = "/memplane.v1.AdminService/"


class AsyncConnection:
    """Makes calls with the client's defaults, until it is closed."""

    def __init__(
        self,
        target: str,
        *,
        tls: bool | bytes | grpc.ChannelCredentials,
        timeout: float,
        metadata: Mapping[str, str] | None,
        options: Sequence[tuple[str, Any]],
        transport: AsyncTransport | None,
    ) -> None:
        self.target = target
        self._timeout = _seconds(timeout)
        self._metadata = tuple((metadata or {}).items())
        self._closed = False
        self._own: AsyncGrpcTransport | None = None
        if transport is None:
            from memplane._async.grpc_transport import AsyncGrpcTransport
            from memplane._channel import Settings

            transport = self._own = AsyncGrpcTransport(Settings.make(target, tls, options))
        self._transport: AsyncTransport = transport

    async def call(
        self,
        method: str,
        request: Message,
        response_type: type[Response],
        timeout: float | None,  # noqa: ASYNC109 (a deadline that travels with the call)
    ) -> Response:
        """Makes one call.

        Args:
            method: The path of the method.
            request: The request.
            response_type: The class of the response.
            timeout: Seconds; None means the client's, infinity means no limit.

        Raises:
            MemplaneError: The call failed.
        """
        self._check_open()
        limit = self._timeout if timeout is None else _seconds(timeout)
        return await self._transport.unary(method, request, response_type, limit, self._metadata)

    def stream(
        self,
        method: str,
        response_type: type[Response],
        timeout: float | None,
    ) -> AsyncStream[Response]:
        """Begins a call that streams.

        Args:
            method: The path of the method.
            response_type: The class of the responses.
            timeout: Seconds for the whole stream; None means no limit.

        Raises:
            InvalidArgument: The timeout is none.
            Cancelled: The client is closed.
        """
        self._check_open()
        limit = None if timeout is None else _seconds(timeout)
        return self._transport.stream(method, response_type, limit, self._metadata)

    def _check_open(self) -> None:
        if self._closed:
            raise Cancelled("the client is closed", reason="CLIENT_CLOSED")

    def open(self) -> None:
        """Makes a closed connection usable again."""
        self._closed = False

    async def close(self) -> None:
        """Ends the use of this connection. A second time it does nothing."""
        self._closed = True
        if self._own is not None:
            await self._own.close()


def _seconds(timeout: float) -> float | None:
    """A timeout as gRPC takes it."""
    if timeout == math.inf:
        return None
    if not _values.number(timeout, "timeout") > 0:
        raise InvalidArgument.at("timeout", f"must be more than 0 seconds, not {timeout!r}")
    return timeout


class AsyncBase:
    """Something that makes calls about one namespace."""

    def __init__(self, connection: AsyncConnection, namespace: tuple[str, ...]) -> None:
        self._connection = connection
        self._namespace = namespace

    @property
    def namespace(self) -> tuple[str, ...]:
        """The labels that are bound here."""
        return self._namespace
