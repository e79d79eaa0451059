"""Transports that lose answers: what a write looks like that the library sends again by itself."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import Message

from memplane._async.grpc_transport import AsyncGrpcTransport
from memplane._async.transport import AsyncStream
from memplane._channel import Settings
from memplane._sync.grpc_transport import GrpcTransport
from memplane._sync.transport import Response, Stream

WRITES = ("PutMemories", "UpdateMemories")


class Resending:
    """Sends every write twice, and answers with the second reply, as after a lost connection."""

    def __init__(self, target: str) -> None:
        self._inner = GrpcTransport(Settings.make(target, False, ()))
        self.methods: list[str] = []

    def unary(
        self,
        method: str,
        request: Message,
        response_type: type[Response],
        timeout: float | None,
        metadata: Sequence[tuple[str, str]],
    ) -> Response:
        name = method.rpartition("/")[2]
        self.methods.append(name)
        if name in WRITES:
            self._inner.unary(method, request, response_type, timeout, metadata)
        return self._inner.unary(method, request, response_type, timeout, metadata)

    def stream(
        self,
        method: str,
        response_type: type[Response],
        timeout: float | None,
        metadata: Sequence[tuple[str, str]],
    ) -> Stream[Response]:
        return self._inner.stream(method, response_type, timeout, metadata)

    def close(self) -> None:
        self._inner.close()


class AsyncResending:
    """The same for the async client."""

    def __init__(self, target: str) -> None:
        self._inner = AsyncGrpcTransport(Settings.make(target, False, ()))

    async def unary(
        self,
        method: str,
        request: Message,
        response_type: type[Response],
        timeout: float | None,  # noqa: ASYNC109 (a deadline that travels with the call)
        metadata: Sequence[tuple[str, str]],
    ) -> Response:
        if method.endswith(WRITES):
            await self._inner.unary(method, request, response_type, timeout, metadata)
        return await self._inner.unary(method, request, response_type, timeout, metadata)

    def stream(
        self,
        method: str,
        response_type: type[Response],
        timeout: float | None,
        metadata: Sequence[tuple[str, str]],
    ) -> AsyncStream[Response]:
        return self._inner.stream(method, response_type, timeout, metadata)

    async def close(self) -> None:
        await self._inner.close()
