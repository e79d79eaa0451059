"""What goes wrong with Qdrant, in the words of the contract; pure functions."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

import grpc
import httpx
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.kit.errors import CollectionExistsError, closed

_RETRYABLE: Final = frozenset(
    {
        StoreReason.UNAVAILABLE,
        StoreReason.INTERRUPTED,
        StoreReason.TIMEOUT,
    }
)


def from_exception(error: Exception) -> StoreError:
    """The store's error for whatever the client library raises."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, ResponseHandlingException):
        return from_exception(error.source)
    if isinstance(error, ResourceExhaustedResponse):
        return StoreError(
            StoreReason.EXHAUSTED,
            str(error),
            retryable=True,
            retry_after=float(error.retry_after_s),
        )
    if isinstance(error, QdrantException):  # a Retry-After that is no number
        return StoreError(StoreReason.EXHAUSTED, str(error), retryable=True)
    if isinstance(error, UnexpectedResponse):
        return _from_status(error)
    if isinstance(error, grpc.RpcError):
        return _from_rpc(error)
    if isinstance(error, httpx.HTTPError):
        return _made(_reason_of_transport(error), f"{type(error).__name__}: {error}")
    return _from_engine(error)


def _made(reason: StoreReason, message: str, *, retry_after: float | None = None) -> StoreError:
    return StoreError(reason, message, retryable=reason in _RETRYABLE, retry_after=retry_after)


def _reason_of_transport(error: httpx.HTTPError) -> StoreReason:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return StoreReason.UNAVAILABLE
    if isinstance(error, httpx.TimeoutException):
        return StoreReason.TIMEOUT
    if isinstance(error, httpx.UnsupportedProtocol | httpx.ProxyError):
        return StoreReason.MISCONFIGURED
    if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
        return StoreReason.INTERRUPTED
    return StoreReason.PROTOCOL


_BY_STATUS: Final[Mapping[int, StoreReason]] = {
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
"""500 and 502 say nothing about whether something was written: INTERRUPTED."""


def _from_status(error: UnexpectedResponse) -> StoreError:
    status = error.status_code or 0
    text = error.content.decode(errors="replace")
    message = f"status {status}: {text[:500]}"
    if status == 409:
        return CollectionExistsError(message)
    if status == 429:
        return StoreError(StoreReason.EXHAUSTED, message, retryable=True)
    if status == 404:
        # Without Qdrant's own words it is another server, or another path of it.
        ours = _says_missing(text)
        return _made(StoreReason.COLLECTION_MISSING if ours else StoreReason.MISCONFIGURED, message)
    if status in _BY_STATUS:
        return _made(_BY_STATUS[status], message, retry_after=_retry_after(error))
    if status >= 500:
        return _made(_by_words(text) or StoreReason.INTERRUPTED, message)
    if 300 <= status < 400:
        return _made(StoreReason.MISCONFIGURED, message)
    return _made(_by_words(text) or StoreReason.PROTOCOL, message)


def _retry_after(error: UnexpectedResponse) -> float | None:
    seconds: str = error.headers.get("retry-after", "") if error.headers else ""
    return float(seconds) if seconds.isdecimal() else None


_BY_CODE: Final[Mapping[grpc.StatusCode, StoreReason]] = {
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
_NOT_SENT: Final = ("failed to connect", "connection refused", "resolution failed", "resolver")


def _from_rpc(error: grpc.RpcError) -> StoreError:
    code: grpc.StatusCode = error.code()
    details: str = error.details() or ""
    message = f"{code.name}: {details[:500]}"
    if code is grpc.StatusCode.ALREADY_EXISTS:
        return CollectionExistsError(message)
    if code is grpc.StatusCode.NOT_FOUND:
        ours = _says_missing(details)
        return _made(StoreReason.COLLECTION_MISSING if ours else StoreReason.PROTOCOL, message)
    if code is grpc.StatusCode.UNAVAILABLE:
        # Where no connection came about nothing was sent; one that broke may have carried it.
        unsent = any(words in details.lower() for words in _NOT_SENT)
        return _made(StoreReason.UNAVAILABLE if unsent else StoreReason.INTERRUPTED, message)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        reason = _by_words(details) or StoreReason.EXHAUSTED
        return StoreError(reason, message, retryable=reason is StoreReason.EXHAUSTED)
    return _made(_BY_CODE.get(code) or _by_words(details) or StoreReason.PROTOCOL, message)


def _says_missing(text: str) -> bool:
    lowered = text.lower()
    return "collection" in lowered and ("doesn't exist" in lowered or "not found" in lowered)


def _by_words(text: str) -> StoreReason | None:
    """What Qdrant tells by words alone."""
    lowered = text.lower()
    if "vector dimension error" in lowered or "not existing vector name" in lowered:
        return StoreReason.IDENTITY_MISMATCH
    if "larger than allowed" in lowered or ("message" in lowered and "too large" in lowered):
        return StoreReason.ITEM_TOO_LARGE
    if "message larger than max" in lowered:
        return StoreReason.ITEM_TOO_LARGE
    if "disk space" in lowered or "no space left" in lowered:
        return StoreReason.EXHAUSTED
    if "index required" in lowered or "strict mode" in lowered:
        return StoreReason.MISCONFIGURED
    return None


def _from_engine(error: Exception) -> StoreError:
    """The engine in the process raises what its Python and SQLite raise."""
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, RuntimeError) and "already accessed" in str(error):
        return _made(StoreReason.MISCONFIGURED, str(error))
    if isinstance(error, RuntimeError) and "closed" in str(error):
        return closed()
    if isinstance(error, ValueError) and type(error) is ValueError:
        if "already exists" in str(error):
            return CollectionExistsError(message)
        if _says_missing(str(error)):
            return _made(StoreReason.COLLECTION_MISSING, message)
        return _made(_by_words(str(error)) or StoreReason.PROTOCOL, message)
    if isinstance(error, sqlite3.Error):
        full = "full" in str(error)
        return _made(StoreReason.EXHAUSTED if full else StoreReason.DAMAGED, message)
    if isinstance(error, TimeoutError):
        return _made(StoreReason.TIMEOUT, message)
    if isinstance(error, ConnectionError):
        return _made(StoreReason.INTERRUPTED, message)
    if isinstance(error, OSError):
        return _made(StoreReason.MISCONFIGURED, message)
    return _made(StoreReason.PROTOCOL, message)
