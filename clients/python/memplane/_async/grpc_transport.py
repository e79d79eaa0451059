"""The transport that calls are carried by outside of tests: a gRPC channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic

import grpc
from google.protobuf.message import Message

from memplane._async.transport import Response
from memplane._channel import LoopChannels, LoopStream, Settings, writes


class AsyncGrpcTransport:
    """Makes calls through gRPC, with the retries of the channel's service config."""

    def __init__(self, settings: Settings) -> None:
        self._target = settings.target
        self._channels = LoopChannels(settings)

    async def unary(
        self,
        method: str,
        request: Message,
        response_type: type[Response],
        timeout: float | None,  # noqa: ASYNC109 (a deadline that travels with the call)
        metadata: Sequence[tuple[str, str]],
    ) -> Response:
        """As `AsyncTransport.unary` says."""
        call = self._channels.method(method, response_type)
        try:
            response: Response = await call(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            from memplane._error_details import from_call

            raise from_call(error, self._target, writes=writes(method)) from error
        return response

    def stream(
        self,
        method: str,
        response_type: type[Response],
        timeout: float | None,
        metadata: Sequence[tuple[str, str]],
    ) -> AsyncGrpcStream[Response]:
        """As `AsyncTransport.stream` says."""
        raw = self._channels.stream(method, response_type, timeout, metadata)
        return AsyncGrpcStream(raw, self._target, method)

    async def close(self) -> None:
        """Closes the channel."""
        await self._channels.close()


class AsyncGrpcStream(Generic[Response]):
    """An `AsyncStream` through gRPC."""

    def __init__(self, raw: LoopStream[Response], target: str, method: str) -> None:
        self._raw = raw
        self._target = target
        self._method = method

    async def send(self, message: Message) -> None:
        """As `AsyncStream.send` says."""
        await self._raw.send(message)

    async def end(self) -> None:
        """As `AsyncStream.end` says."""
        await self._raw.end()

    async def receive(self) -> Response | None:
        """As `AsyncStream.receive` says."""
        try:
            return await self._raw.receive()
        except grpc.RpcError as error:
            from memplane._error_details import from_call

            raise from_call(error, self._target, writes=writes(self._method)) from error

    def cancel(self) -> None:
        """As `AsyncStream.cancel` says."""
        self._raw.cancel()
