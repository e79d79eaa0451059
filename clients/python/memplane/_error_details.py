"""From what gRPC and the gateway say about a failure to an exception. Loaded at the first failure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from memplane._errors import UNSPECIFIED, Code, Details, MemplaneError, Violation, error_class
from memplane.v1 import error_reason_pb2

if TYPE_CHECKING:
    from memplane.v1.memory_service_pb2 import ItemError

_DOMAIN: Final = "memplane.dev"
_DETAILS_KEY: Final = "grpc-status-details-bin"

# After these a write may have taken effect, unless the gateway itself says more.
_UNCERTAIN: Final = frozenset(
    {Code.CANCELLED, Code.UNKNOWN, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.UNAVAILABLE}
)
_OWN_REASONS: Final = {
    Code.DEADLINE_EXCEEDED: "DEADLINE_PASSED",
    Code.CANCELLED: "CANCELLED",
}


def from_call(error: grpc.RpcError, target: str, *, writes: bool) -> MemplaneError:
    """The exception of a failed call.

    Args:
        error: What gRPC raised.
        target: The gateway's address, for the message.
        writes: Whether the call may have changed something.
    """
    kind = error_class(error.code().name)
    message = error.details() or ""
    trailers: Any = error.trailing_metadata()  # None where the connection broke
    found = _from_metadata(trailers)
    if found is not None:
        return kind(found[0] or message, **found[1])
    if kind.code is Code.UNAVAILABLE:
        message = f"no answer from the gateway at {target}: {message}"
    elif kind.code is Code.DEADLINE_EXCEEDED:
        message = f"the gateway at {target} did not answer in time"
    return kind(
        message or f"the call failed with {kind.code}",
        reason=_OWN_REASONS.get(kind.code, UNSPECIFIED),
        ambiguous=writes and kind.code in _UNCERTAIN,
    )


def _from_metadata(
    metadata: Iterable[tuple[str, str | bytes]] | None,
) -> tuple[str, Details] | None:
    """Message and details of the rich status, or None where the gateway sent none."""
    for key, value in metadata or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return _from_status(status_pb2.Status.FromString(value))
            except DecodeError:
                return None
    return None


def _from_status(status: status_pb2.Status) -> tuple[str, Details] | None:
    details = Details()
    for packed in status.details:
        if packed.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            packed.Unpack(info)
            if info.domain == _DOMAIN:
                details["reason"] = info.reason
                details["metadata"] = dict(info.metadata)
                details["ambiguous"] = info.metadata.get("ambiguous") == "true"
        elif packed.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            packed.Unpack(bad)
            details["violations"] = tuple(
                Violation(each.field, each.description) for each in bad.field_violations
            )
        elif packed.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            packed.Unpack(retry)
            details["retry_after"] = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    return (status.message, details) if details else None


def from_item(error: ItemError) -> MemplaneError:
    """The exception of one refused item of a batch."""
    metadata = dict(error.metadata)
    reasons = error_reason_pb2.ErrorReason
    known = error.reason in reasons.values()
    return error_class(error.code)(
        error.message,
        reason=reasons.Name(error.reason).removeprefix("ERROR_REASON_") if known else UNSPECIFIED,
        metadata=metadata,
        ambiguous=metadata.get("ambiguous") == "true",
    )
