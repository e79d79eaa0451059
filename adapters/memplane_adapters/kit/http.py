"""What goes wrong over HTTP, as far as that is the same whoever answers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import httpx

from memplane_adapters.contract import StoreReason
from memplane_adapters.kit.errors import causes
from memplane_adapters.kit.tls import is_distrust

BY_STATUS: Mapping[int, StoreReason] = MappingProxyType(
    {
        401: StoreReason.MISCONFIGURED,
        403: StoreReason.MISCONFIGURED,
        405: StoreReason.MISCONFIGURED,
        407: StoreReason.MISCONFIGURED,
        408: StoreReason.TIMEOUT,
        413: StoreReason.ITEM_TOO_LARGE,
        501: StoreReason.MISCONFIGURED,
        503: StoreReason.UNAVAILABLE,
        504: StoreReason.TIMEOUT,
        507: StoreReason.EXHAUSTED,
    }
)
"""500 and 502 say nothing about whether something was written: INTERRUPTED."""


def reason_of_transport(error: httpx.HTTPError) -> StoreReason:
    """Why there is no answer; UNAVAILABLE only where nothing was sent."""
    if isinstance(error, httpx.ConnectError) and any(map(is_distrust, causes(error))):
        return StoreReason.MISCONFIGURED
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return StoreReason.UNAVAILABLE
    if isinstance(error, httpx.TimeoutException):
        return StoreReason.TIMEOUT
    if isinstance(error, httpx.UnsupportedProtocol | httpx.ProxyError):
        return StoreReason.MISCONFIGURED
    if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
        return StoreReason.INTERRUPTED
    return StoreReason.PROTOCOL
