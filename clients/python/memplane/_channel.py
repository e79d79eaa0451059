"""gRPC channels: where to, with which options, and one a process or one an event loop.

The four classes at the end are the only place where the async and the sync client differ by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

import grpc
import grpc.aio
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message

from memplane import _values
from memplane._errors import InvalidArgument
from memplane._version import __version__
from memplane.v1 import admin_service_pb2, lifecycle_service_pb2, memory_service_pb2

Option = tuple[str, Any]
Response = TypeVar("Response", bound=Message)

_LOOPBACK: Final = re.compile(r"(localhost|127\.[\d.]+|\[::1\])(:|$)")
_PORT: Final = re.compile(r":([0-9]+)(?=,|$)")
_MAX_PORT: Final = 65_535
_WITHOUT_IP: Final = frozenset({"unix", "unix-abstract", "vsock"})
_WITHOUT_PORT: Final = re.compile(r"[^:\[\]/]+|\[[^\]]*\]")
_MEMPLANE_FILES: Final = (
    memory_service_pb2.DESCRIPTOR,
    lifecycle_service_pb2.DESCRIPTOR,
    admin_service_pb2.DESCRIPTOR,
)


def _levels() -> dict[str, int]:
    """The idempotency level of every method of the contract, by its path."""
    return {
        f"/{service.full_name}/{method.name}": method.GetOptions().idempotency_level
        for file in _MEMPLANE_FILES
        for service in file.services_by_name.values()
        for method in service.methods
    }


_LEVELS: Final = _levels()


def writes(method: str) -> bool:
    """Whether a call of a method (by its path) may change something."""
    level = _LEVELS.get(method, MethodOptions.NO_SIDE_EFFECTS)
    return level != MethodOptions.NO_SIDE_EFFECTS


def service_config() -> str:
    """The retry policy: UNAVAILABLE only, and only methods that the contract calls idempotent.

    Four tries, 0.1 to 2 seconds apart, doubling, with jitter. A retry sends the same bytes, so a
    write comes with the same request id. When failures prevail, retries stop (throttling).
    """
    idempotent = (MethodOptions.NO_SIDE_EFFECTS, MethodOptions.IDEMPOTENT)
    names = []
    for path, level in _LEVELS.items():
        if level in idempotent:
            _, service, method = path.split("/")
            names.append({"service": service, "method": method})
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config = {
        "methodConfig": [{"name": names, "retryPolicy": policy}],
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }
    return json.dumps(config)


def channel_options(target: str) -> list[Option]:
    """The options of every channel.

    `grpc.min_reconnect_backoff_ms` is left alone: it is the time that a connection attempt gets.
    """
    options: list[Option] = [
        ("grpc.service_config", service_config()),
        ("grpc.enable_retries", 1),
        ("grpc.max_receive_message_length", 64 * 1024 * 1024),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 500),
        # A restarted gateway would stay refused: subchannels in backoff are shared otherwise.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.primary_user_agent", f"memplane-python/{__version__}"),
    ]
    if _LOOPBACK.match(target):
        options.append(("grpc.enable_http_proxy", 0))
    return options


def check_target(target: str) -> str:
    """A target that gRPC understands as it was meant.

    Raises:
        InvalidArgument: It is a URL, or has no port, or one that does not exist.
    """
    _values.text(target, "target")
    scheme = target.partition(":")[0].lower()
    if scheme in {"http", "https", "grpc", "grpcs", "tcp"} and "//" in target:
        raise InvalidArgument.at(
            "target",
            f"{target!r} is a URL; give host:port or unix:/path, and tls=True for an encrypted one",
        )
    if not target or _WITHOUT_PORT.fullmatch(target):
        raise InvalidArgument.at("target", f"{target!r} has no port; give host:port or unix:/path")
    if scheme not in _WITHOUT_IP:
        for port in _PORT.findall(target):
            digits = port.lstrip("0")
            if len(digits) > len(str(_MAX_PORT)) or int(digits or "0") > _MAX_PORT:
                raise InvalidArgument.at(
                    "target", f"{target!r} has port {port}; ports are 0 to {_MAX_PORT}"
                )
    return target


_OF_STREAMS: Final[tuple[Option, ...]] = (
    # Streams are resumed by this library. With gRPC's own retries one that loses its connection before
    # the first answer waits for ever (seen with grpcio 1.78).
    ("grpc.service_config", "{}"),
    ("grpc.enable_retries", 0),
    # They have no deadline: a peer that vanished is noticed by pings while a call goes on.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a channel is made from."""

    target: str
    credentials: grpc.ChannelCredentials | None
    options: Sequence[Option]

    @classmethod
    def make(
        cls,
        target: str,
        tls: bool | bytes | grpc.ChannelCredentials,  # noqa: FBT001 (also other things)
        options: Sequence[Option],
    ) -> Settings:
        """Settings from what a caller gives to a client; later options win."""
        check_target(target)
        credentials: grpc.ChannelCredentials | None
        if isinstance(tls, bytes):
            credentials = grpc.ssl_channel_credentials(root_certificates=tls)
        elif isinstance(tls, bool):
            credentials = grpc.ssl_channel_credentials() if tls else None
        elif isinstance(tls, grpc.ChannelCredentials):
            credentials = tls
        else:
            raise InvalidArgument.at(
                "tls", "must be a bool, root certificates (PEM bytes) or grpc.ChannelCredentials"
            )
        merged = {**dict(channel_options(target)), **dict(options)}
        return cls(target, credentials, tuple(merged.items()))

    def of_streams(self) -> Settings:
        """Those of the channel that streams go over."""
        return replace(self, options=tuple({**dict(self.options), **dict(_OF_STREAMS)}.items()))


class ThreadChannels:
    """The channel of a `Client`: made at the first call, shared by all threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._streams: grpc.Channel | None = None
        self._calls: dict[str, Callable[..., Any]] = {}

    def method(self, path: str, response_type: type[Response]) -> Callable[..., Response]:
        """What calls a method."""
        call = self._calls.get(path)
        if call is None:
            with self._lock:
                channel = self._channel = self._channel or self._make(self._settings)
                call = channel.unary_unary(
                    path,
                    request_serializer=_serialize,
                    response_deserializer=response_type.FromString,
                )
                self._calls[path] = call
        return call

    def stream(
        self,
        path: str,
        response_type: type[Response],
        timeout: float | None,
        metadata: Sequence[tuple[str, str]],
    ) -> ThreadStream[Response]:
        """Begins a call that streams."""
        with self._lock:
            channel = self._streams = self._streams or self._make(self._settings.of_streams())
        call = channel.stream_stream(
            path, request_serializer=_serialize, response_deserializer=response_type.FromString
        )
        return ThreadStream(call, timeout, metadata)

    @staticmethod
    def _make(settings: Settings) -> grpc.Channel:
        if settings.credentials is None:
            return grpc.insecure_channel(settings.target, settings.options)
        return grpc.secure_channel(settings.target, settings.credentials, settings.options)

    def close(self) -> None:
        """Closes the channel; a later call would make another."""
        with self._lock:
            channels = self._channel, self._streams
            self._channel = self._streams = None
            self._calls = {}
        for channel in channels:
            if channel is not None:
                channel.close()


class ThreadStream(Generic[Response]):
    """A streaming call of a `Client`. What it raises are gRPC's errors."""

    def __init__(
        self, begin: Any, timeout: float | None, metadata: Sequence[tuple[str, str]]
    ) -> None:
        self._requests: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        # gRPC takes requests in a thread of its own, which ends with the sentinel.
        requests = iter(self._requests.get, None)
        self._call: Any = begin(requests, timeout=timeout, metadata=metadata)

    def send(self, message: Message) -> None:
        """Sends a message."""
        self._requests.put(message)

    def end(self) -> None:
        """Says that no more messages come."""
        self._requests.put(None)

    def receive(self) -> Response | None:
        """The next message; None at the end."""
        response: Response | None = next(self._call, None)
        return response

    def cancel(self) -> None:
        """Ends the call."""
        self._requests.put(None)
        self._call.cancel()


class LoopStream(Generic[Response]):
    """A streaming call of an `AsyncClient`. What it raises are gRPC's errors."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._broke = False

    async def send(self, message: Message) -> None:
        """Sends a message; when the call has ended, receiving says why."""
        try:
            await self._call.write(message)
        except (grpc.RpcError, asyncio.InvalidStateError):
            self._broke = True

    async def end(self) -> None:
        """Says that no more messages come."""
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
            await self._call.done_writing()

    async def receive(self) -> Response | None:
        """The next message; None at the end."""
        try:
            response: Any = await self._call.read()
        except grpc.aio.AioRpcError as error:
            if not self._broke or error.code() is not grpc.StatusCode.INTERNAL:
                raise
            # A write that fails before the status is there leaves gRPC's own INTERNAL in its place.
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.UNAVAILABLE,
                error.initial_metadata(),
                error.trailing_metadata(),
                "the stream broke off while a message was sent",
            ) from error
        ended = not isinstance(response, Message)  # gRPC's EOF, which its stubs do not know
        return None if ended else response

    def cancel(self) -> None:
        """Ends the call."""
        self._call.cancel()


class LoopChannels:
    """The channels of an `AsyncClient`: one an event loop, for a channel cannot leave its loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._channels: dict[asyncio.AbstractEventLoop, grpc.aio.Channel] = {}
        self._streams: dict[asyncio.AbstractEventLoop, grpc.aio.Channel] = {}
        self._calls: dict[tuple[asyncio.AbstractEventLoop, str], Callable[..., Any]] = {}

    def method(self, path: str, response_type: type[Response]) -> Callable[..., Any]:
        """What calls a method from the running event loop."""
        loop = asyncio.get_running_loop()
        call = self._calls.get((loop, path))
        if call is None:
            with self._lock:
                channel = self._channels.get(loop) or self._make(loop, self._channels)
                call = channel.unary_unary(
                    path,
                    request_serializer=_serialize,
                    response_deserializer=response_type.FromString,
                )
                self._calls[loop, path] = call
        return call

    def stream(
        self,
        path: str,
        response_type: type[Response],
        timeout: float | None,
        metadata: Sequence[tuple[str, str]],
    ) -> LoopStream[Response]:
        """Begins a call that streams, from the running event loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            channel = self._streams.get(loop) or self._make(loop, self._streams)
        call: Any = channel.stream_stream(
            path, request_serializer=_serialize, response_deserializer=response_type.FromString
        )
        return LoopStream(call(timeout=timeout, metadata=metadata))

    def _make(
        self,
        loop: asyncio.AbstractEventLoop,
        channels: dict[asyncio.AbstractEventLoop, grpc.aio.Channel],
    ) -> grpc.aio.Channel:
        for ended in [each for each in (*self._channels, *self._streams) if each.is_closed()]:
            self._forget(ended)
        settings = self._settings
        if channels is self._streams:
            settings = settings.of_streams()
        if settings.credentials is None:
            channel = grpc.aio.insecure_channel(settings.target, settings.options)
        else:
            channel = grpc.aio.secure_channel(
                settings.target, settings.credentials, settings.options
            )
        channels[loop] = channel
        return channel

    def _forget(self, loop: asyncio.AbstractEventLoop) -> list[grpc.aio.Channel]:
        for key in [key for key in self._calls if key[0] is loop]:
            del self._calls[key]
        popped = (self._channels.pop(loop, None), self._streams.pop(loop, None))
        return [channel for channel in popped if channel is not None]

    async def close(self) -> None:
        """Closes the channels of the running loop; those of other loops close when collected."""
        with self._lock:
            own = self._forget(asyncio.get_running_loop())
            for other in [*self._channels, *self._streams]:
                self._forget(other)
        for channel in own:
            await channel.close()


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
