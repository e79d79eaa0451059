"""The two ways into a gateway, which must not differ: its handlers, and a gRPC channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

import memplane
from memplane import AsyncClient
from memplane._channel import writes
from memplane._error_details import from_call
from memplane_gateway.errors import MemplaneError
from memplane_gateway.interceptors import Call, Wire
from memplane_gateway.server import Gateway
from memplane_gateway.wire.status import status_of

IN_PROCESS = "in-process"
GRPC = "grpc"
DOORS = (IN_PROCESS, GRPC)

MEMORY_SERVICE = "/memplane.v1.MemoryService/"

Response = TypeVar("Response", bound=Message)

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_DETAILS = "grpc-status-details-bin"


class Door(Protocol):
    """A way into a gateway: a client, and raw bytes for what a client would refuse to send."""

    name: str
    gateway: Gateway
    client: AsyncClient

    async def send(self, method: str, raw: bytes, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Calls a method (its path, or a name of the MemoryService). Raises memplane.MemplaneError."""
        ...

    async def close(self) -> None:
        """Ends the use of this door."""
        ...


async def call(door: Door, method: str, request: Message, response: type[Response]) -> Response:
    """Sends a message as it is, without what the client would make of it or refuse."""
    return response.FromString(await door.send(method, request.SerializeToString()))


async def converse(
    door: Door, method: str, requests: Iterable[Message], response: type[Response]
) -> list[Response]:
    """Sends messages over a stream, and returns all that come back until its end."""
    stream = door.client._connection.stream(_path(method), response, None)  # noqa: SLF001
    for request in requests:
        await stream.send(request)
    await stream.end()
    answers: list[Response] = []
    while (answer := await stream.receive()) is not None:
        answers.append(answer)
    return answers


class InProcess:
    """Calls the gateway's handlers; errors take the way that they take over the wire."""

    name = IN_PROCESS

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.client = AsyncClient("in-process:0", transport=self)

    async def unary(
        self,
        method: str,
        request: Message,
        response_type: type[Response],
        timeout: float | None,  # noqa: ASYNC109 (a deadline that travels with the call)
        metadata: Sequence[tuple[str, str]],
    ) -> Response:
        """What a client's transport does."""
        raw = request.SerializeToString()
        return response_type.FromString(await self._call(method, raw, timeout, metadata))

    def stream(
        self,
        method: str,
        response_type: type[Response],
        timeout: float | None,
        metadata: Sequence[tuple[str, str]],
    ) -> InProcessStream[Response]:
        """What a client's transport does."""
        return InProcessStream(self.gateway, method, response_type, timeout, _headers(metadata))

    async def send(self, method: str, raw: bytes, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        return await self._call(_path(method), raw, timeout, ())

    async def _call(
        self,
        path: str,
        raw: bytes,
        seconds: float | None,
        metadata: Sequence[tuple[str, str]],
    ) -> bytes:
        replies: asyncio.Queue[bytes] = asyncio.Queue()
        try:
            wire = Wire(_once(raw), replies.put) if path in self.gateway.streaming else None
            call = Call(raw, seconds, _headers(metadata), wire=wire)
            # A task has a context of its own, as over the wire: deadlines stay within the call.
            reply = await asyncio.ensure_future(self.gateway.handlers[path](call))
            return replies.get_nowait() if replies.qsize() else reply
        except MemplaneError as error:
            raise _raised(error, path) from error

    async def close(self) -> None:
        await self.client.close()


class InProcessStream(Generic[Response]):
    """A streaming call of a handler."""

    def __init__(
        self,
        gateway: Gateway,
        path: str,
        response_type: type[Response],
        seconds: float | None,
        headers: Mapping[str, str],
    ) -> None:
        self._path = path
        self._response_type = response_type
        self._requests: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._replies: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        wire = Wire(self._sent(), self._replies.put)
        handling = gateway.handlers[path](Call(b"", seconds, headers, wire=wire))
        self._handling = asyncio.ensure_future(handling)

    async def send(self, message: Message) -> None:
        self._requests.put_nowait(message.SerializeToString())

    async def end(self) -> None:
        self._requests.put_nowait(None)

    async def receive(self) -> Response | None:
        reading = asyncio.ensure_future(self._replies.get())
        await asyncio.wait({reading, self._handling}, return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            return self._response_type.FromString(reading.result() or b"")
        reading.cancel()
        try:
            await self._handling
        except MemplaneError as error:
            raise _raised(error, self._path) from error
        return None

    def cancel(self) -> None:
        self._handling.cancel()

    async def _sent(self) -> AsyncIterator[bytes]:
        while (raw := await self._requests.get()) is not None:
            yield raw


async def _once(raw: bytes) -> AsyncIterator[bytes]:
    yield raw


def _headers(metadata: Sequence[tuple[str, str]]) -> dict[str, str]:
    return {"user-agent": "memplane-conformance", **dict(metadata)}


def _raised(error: MemplaneError, path: str) -> memplane.MemplaneError:
    """The error as it comes out of a channel."""
    trailers = grpc.aio.Metadata((_DETAILS, status_of(error).SerializeToString()))
    raised = grpc.aio.AioRpcError(
        _CODES[int(error.code)], grpc.aio.Metadata(), trailers, error.message
    )
    return from_call(raised, IN_PROCESS, writes=writes(path))


class OverGrpc:
    """Calls a gateway that listens, through a channel."""

    name = GRPC

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.client = AsyncClient(gateway.address)
        # Without the client's retries: a test wants to see what is answered.
        self._channel = grpc.aio.insecure_channel(
            gateway.address,
            options=[("grpc.enable_retries", 0), ("grpc.max_receive_message_length", -1)],
        )

    async def send(self, method: str, raw: bytes, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        path = _path(method)
        call: Any = self._channel.unary_unary(path)  # no serializers: bytes as they are
        try:
            answer: bytes = await call(raw, timeout=timeout)
        except grpc.RpcError as error:
            raise from_call(error, self.gateway.address, writes=writes(path)) from error
        return answer

    async def close(self) -> None:
        await self.client.close()
        await self._channel.close()


async def open_door(name: str, gateway: Gateway) -> Door:
    """The door of that name to a gateway that is started."""
    if name == IN_PROCESS:
        return InProcess(gateway)
    await gateway.listen()
    return OverGrpc(gateway)


def _path(method: str) -> str:
    return method if method.startswith("/") else MEMORY_SERVICE + method
