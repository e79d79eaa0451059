"""The two messages of grpc.health.v1, without a dependency on grpcio-health-checking.

They live in a pool of their own, so that they never meet those of that package.
"""

from __future__ import annotations

import functools
from typing import Any, Final

from google.protobuf.message import Message

from memplane._enums import Health

METHOD: Final = "/grpc.health.v1.Health/Check"
_STATES: Final = {1: Health.SERVING, 2: Health.NOT_SERVING}


@functools.cache
def messages() -> tuple[type[Message], type[Message]]:
    """HealthCheckRequest {service = 1} and HealthCheckResponse {status = 1}."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(
        name="memplane/client/health.proto", package="grpc.health.v1", syntax="proto3"
    )
    fields = descriptor_pb2.FieldDescriptorProto
    for message, field, kind in (
        ("HealthCheckRequest", "service", fields.TYPE_STRING),
        ("HealthCheckResponse", "status", fields.TYPE_INT32),  # an enum is the same on the wire
    ):
        file.message_type.add(name=message).field.add(
            name=field, number=1, type=kind, label=fields.LABEL_OPTIONAL
        )
    pool: Any = descriptor_pool.DescriptorPool()  # its types lack annotations
    pool.Add(file)
    request, response = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"grpc.health.v1.{name}"))
        for name in ("HealthCheckRequest", "HealthCheckResponse")
    )
    return request, response


def request(service: str) -> Message:
    """The question about a service; empty means the gateway as a whole."""
    make: Any = messages()[0]
    message: Message = make(service=service)
    return message


def health(response: Any) -> Health:
    """The answer."""
    return _STATES.get(response.status, Health.UNKNOWN)
