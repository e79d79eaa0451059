"""Errors as google.rpc.Status, the form in which every gRPC client finds the details."""

from __future__ import annotations

import math

from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2

from memplane_gateway.errors import MemplaneError

DOMAIN = "memplane.dev"

# gRPC clients refuse trailers of more than 8 KiB. What is listed here is base64 there (4/3), and the
# message is written out once more (non-ASCII characters as three each).
_LISTED_BYTES = 3_000
_FIELD_CHARACTERS = 200
_DESCRIPTION_CHARACTERS = 300
_MESSAGE_BYTES = 600


def status_of(error: MemplaneError) -> status_pb2.Status:
    """The error with ErrorInfo, BadRequest when rules are broken, RetryInfo when worth retrying.

    Violations are listed as far as they fit into trailers; the metadata has their number.
    """
    status = status_pb2.Status(code=int(error.code), message=short_message(error.message))
    info = error_details_pb2.ErrorInfo(
        reason=error.reason.value, domain=DOMAIN, metadata=error.metadata
    )
    _pack(status.details.add(), info)
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for violation in error.violations:
            bad.field_violations.add(
                field=violation.field[:_FIELD_CHARACTERS],
                description=violation.description[:_DESCRIPTION_CHARACTERS],
            )
            if bad.ByteSize() > _LISTED_BYTES:
                del bad.field_violations[-1]
                break
        _pack(status.details.add(), bad)
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        fraction, seconds = math.modf(error.retry_after)
        retry.retry_delay.seconds = int(seconds)
        retry.retry_delay.nanos = int(fraction * 1e9)
        _pack(status.details.add(), retry)
    return status


def short_message(message: str) -> str:
    """The message, cut so that it fits into a trailer."""
    encoded = message.encode()
    if len(encoded) <= _MESSAGE_BYTES:
        return message
    return encoded[:_MESSAGE_BYTES].decode(errors="ignore") + "..."


def _pack(
    slot: Any,
    detail: error_details_pb2.ErrorInfo
    | error_details_pb2.BadRequest
    | error_details_pb2.RetryInfo,
) -> None:
    slot.Pack(detail)
