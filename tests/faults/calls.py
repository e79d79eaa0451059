"""Calls as bytes, and what an honest failure looks like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import grpc
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2

from memplane.v1 import (
    admin_service_pb2,
    error_reason_pb2,
    lifecycle_service_pb2,
    memory_service_pb2,
)

DOMAIN = "memplane.dev"
_REASONS = frozenset(error_reason_pb2.ErrorReason.keys())
OUR_BUGS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


_FILES = (
    memory_service_pb2.DESCRIPTOR,
    lifecycle_service_pb2.DESCRIPTOR,
    admin_service_pb2.DESCRIPTOR,
)


@dataclass(frozen=True, slots=True)
class Method:
    """An rpc: its path and the messages that go in and come out."""

    path: str
    request: type[Message]
    response: type[Message]
    input: Descriptor
    streams: bool = False
    """Whether it may answer with more than one message."""

    @property
    def name(self) -> str:
        """Without the service."""
        return self.path.rpartition("/")[2]


def methods() -> list[Method]:
    """All rpcs of the contract, as its descriptors have them."""
    return [
        Method(
            f"/{service.full_name}/{method.name}",
            GetMessageClass(method.input_type),
            GetMessageClass(method.output_type),
            method.input_type,
            method.server_streaming,
        )
        for file in _FILES
        for service in file.services_by_name.values()
        for method in service.methods
    ]


class Pending(Protocol):
    """A call under way."""

    def done(self) -> bool:
        """Whether it is over."""
        ...

    def result(self) -> bytes:
        """The reply; raises RpcError when there is none."""
        ...

    def code(self) -> grpc.StatusCode:
        """How it ended."""
        ...

    def details(self) -> str | None:
        """The message that came with the code."""
        ...

    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """What came behind."""
        ...


METHODS = {method.name: method for method in methods()}


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended: the bytes of the reply, or why not."""

    code: grpc.StatusCode
    message: str = ""
    raw: bytes = b""
    details: bytes | None = None

    @property
    def info(self) -> error_details_pb2.ErrorInfo | None:
        """What our code says went wrong; None when grpc itself has answered."""
        for any_ in self._status().details:
            info = error_details_pb2.ErrorInfo()
            if any_.Unpack(info):
                return info
        return None

    @property
    def reason(self) -> str:
        """The stable reason, empty when grpc itself has answered."""
        info = self.info
        return info.reason if info is not None else ""

    @property
    def fields(self) -> list[str]:
        """The fields whose rules are broken."""
        return [violation.field for violation in self._violations()]

    @property
    def descriptions(self) -> list[str]:
        """What is said of them."""
        return [violation.description for violation in self._violations()]

    @property
    def metadata(self) -> dict[str, str]:
        """Further facts."""
        info = self.info
        return dict(info.metadata) if info is not None else {}

    @property
    def sent_code(self) -> int:
        """The code in the details: what the gateway has said, whatever grpc has made of it."""
        return self._status().code

    def _violations(self) -> Sequence[error_details_pb2.BadRequest.FieldViolation]:
        bad = error_details_pb2.BadRequest()
        for any_ in self._status().details:
            if any_.Unpack(bad):
                return bad.field_violations
        return []

    def _status(self) -> status_pb2.Status:
        return status_pb2.Status.FromString(self.details or b"")


def call(
    channel: grpc.Channel,
    method: Method | str,
    request: Message | bytes,
    *,
    timeout: float = 20.0,
    metadata: Sequence[tuple[str, str]] = (),
    compression: grpc.Compression | None = None,
    wait_for_ready: bool = True,
) -> Answer:
    """One call with any bytes."""
    (answer,) = call_all(
        channel,
        method,
        [request],
        timeout=timeout,
        metadata=metadata,
        compression=compression,
        wait_for_ready=wait_for_ready,
    )
    return answer


def call_all(
    channel: grpc.Channel,
    method: Method | str,
    requests: Iterable[Message | bytes],
    *,
    timeout: float = 20.0,
    metadata: Sequence[tuple[str, str]] = (),
    compression: grpc.Compression | None = None,
    at_once: int = 32,
    wait_for_ready: bool = True,
) -> list[Answer]:
    """Many calls with any bytes, some at once; the answers come in order."""
    path = method if isinstance(method, str) else method.path
    streams = any(each.streams for each in METHODS.values() if each.path == path)
    send: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    stream: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(path)
    answers: list[Answer] = []
    pending: list[Pending] = []
    for request in requests:
        raw = request if isinstance(request, bytes) else request.SerializeToString()
        begin: Any = stream if streams else send.future
        begun = begin(
            raw,
            timeout=timeout,
            metadata=tuple(metadata),
            wait_for_ready=wait_for_ready,
            compression=compression,
        )
        pending.append(cast("Pending", Streamed(begun) if streams else begun))
        if len(pending) == at_once:
            answers += map(_ended, pending)
            pending = []
    return answers + [_ended(one) for one in pending]


class Streamed:
    """A call with many answers, of which the first is looked at; the others are taken, too."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def result(self) -> bytes:
        """The first answer."""
        answers = list(self._call)
        return answers[0] if answers else b""


def _ended(pending: Pending) -> Answer:
    try:
        return Answer(grpc.StatusCode.OK, raw=pending.result())
    except grpc.RpcError:
        details = None
        for key, value in pending.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                details = value
        assert details is None or isinstance(details, bytes)
        return Answer(pending.code(), pending.details() or "", details=details)


def check_honest(answer: Answer, what: object = "") -> None:
    """OK, or a failure that is no bug of ours and says what a caller needs."""
    shown = f"{answer.code.name} {answer.reason!r} {answer.message[:300]!r} for {str(what)[:600]}"
    assert answer.code not in OUR_BUGS, shown
    if answer.code is grpc.StatusCode.OK:
        return
    info = answer.info
    assert info is not None, f"no ErrorInfo: {shown}"
    assert answer.sent_code == answer.code.value[0], f"sent with code {answer.sent_code}: {shown}"
    assert info.domain == DOMAIN, shown
    assert f"ERROR_REASON_{info.reason}" in _REASONS, shown
    assert info.reason != "GATEWAY_BUG", shown
    assert answer.message, shown
    if answer.code is grpc.StatusCode.INVALID_ARGUMENT and info.reason == "INVALID_REQUEST":
        assert answer.fields, f"no BadRequest: {shown}"
        assert all(answer.fields), f"a violation without a field: {shown}"


def watch_health(channel: grpc.Channel, service: str) -> Iterator[int]:
    """What grpc.health.v1 says of a service, again with each change."""
    send: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(
        "/grpc.health.v1.Health/Watch"
    )
    request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    for raw in send(request, timeout=30, wait_for_ready=True):
        yield health_pb2.HealthCheckResponse.FromString(raw).status


def check_health(channel: grpc.Channel, service: str) -> int:
    """What grpc.health.v1 says of a service now."""
    request = health_pb2.HealthCheckRequest(service=service)
    answer = call(channel, "/grpc.health.v1.Health/Check", request)
    return health_pb2.HealthCheckResponse.FromString(answer.raw).status
