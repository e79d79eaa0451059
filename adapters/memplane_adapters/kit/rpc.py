"""What goes wrong over gRPC, as far as that is the same whoever answers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import grpc

from memplane_adapters.contract import StoreReason

BY_CODE: Mapping[grpc.StatusCode, StoreReason] = MappingProxyType(
    {
        grpc.StatusCode.DEADLINE_EXCEEDED: StoreReason.TIMEOUT,
        grpc.StatusCode.UNAUTHENTICATED: StoreReason.MISCONFIGURED,
        grpc.StatusCode.PERMISSION_DENIED: StoreReason.MISCONFIGURED,
        grpc.StatusCode.UNIMPLEMENTED: StoreReason.MISCONFIGURED,
        grpc.StatusCode.FAILED_PRECONDITION: StoreReason.MISCONFIGURED,
        grpc.StatusCode.CANCELLED: StoreReason.INTERRUPTED,
        grpc.StatusCode.ABORTED: StoreReason.INTERRUPTED,
        grpc.StatusCode.INTERNAL: StoreReason.INTERRUPTED,
        grpc.StatusCode.DATA_LOSS: StoreReason.DAMAGED,
    }
)
"""UNAVAILABLE is told by its words, see below; others are a vendor's own."""

_NOT_TRUSTED: Final = ("ssl_error_ssl", "certificate")
_NOT_SENT: Final = ("failed to connect", "connection refused", "resolution failed", "resolver")


def reason_of_unavailable(details: str) -> StoreReason:
    """Why a server cannot be had; UNAVAILABLE only where nothing was sent."""
    lowered = details.lower()
    if any(words in lowered for words in _NOT_TRUSTED):
        return StoreReason.MISCONFIGURED
    # Where no connection came about nothing was sent; one that broke may have carried it.
    unsent = any(words in lowered for words in _NOT_SENT)
    return StoreReason.UNAVAILABLE if unsent else StoreReason.INTERRUPTED
