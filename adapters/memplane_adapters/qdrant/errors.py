"""What goes wrong with Qdrant, in the words of the contract; pure functions."""

from __future__ import annotations

import sqlite3

import grpc
import httpx
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.kit.errors import CollectionExistsError, closed, failure
from memplane_adapters.kit.http import BY_STATUS, reason_of_transport
from memplane_adapters.kit.rpc import BY_CODE, reason_of_unavailable


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
        return failure(reason_of_transport(error), f"{type(error).__name__}: {error}")
    return _from_engine(error)


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
        return failure(
            StoreReason.COLLECTION_MISSING if ours else StoreReason.MISCONFIGURED, message
        )
    if status in BY_STATUS:
        return failure(BY_STATUS[status], message, retry_after=_retry_after(error))
    if status >= 500:
        return failure(_by_words(text) or StoreReason.INTERRUPTED, message)
    if 300 <= status < 400:
        return failure(StoreReason.MISCONFIGURED, message)
    return failure(_by_words(text) or StoreReason.PROTOCOL, message)


def _retry_after(error: UnexpectedResponse) -> float | None:
    seconds: str = error.headers.get("retry-after", "") if error.headers else ""
    return float(seconds) if seconds.isdecimal() else None


def _from_rpc(error: grpc.RpcError) -> StoreError:
    code: grpc.StatusCode = error.code()
    details: str = error.details() or ""
    message = f"{code.name}: {details[:500]}"
    if code is grpc.StatusCode.ALREADY_EXISTS:
        return CollectionExistsError(message)
    if code is grpc.StatusCode.NOT_FOUND:
        ours = _says_missing(details)
        return failure(StoreReason.COLLECTION_MISSING if ours else StoreReason.PROTOCOL, message)
    if code is grpc.StatusCode.UNAVAILABLE:
        return failure(reason_of_unavailable(details), message)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        reason = _by_words(details) or StoreReason.EXHAUSTED
        return StoreError(reason, message, retryable=reason is StoreReason.EXHAUSTED)
    return failure(BY_CODE.get(code) or _by_words(details) or StoreReason.PROTOCOL, message)


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
        return failure(StoreReason.MISCONFIGURED, str(error))
    if isinstance(error, RuntimeError) and "closed" in str(error):
        return closed()
    if isinstance(error, ValueError) and type(error) is ValueError:
        if "already exists" in str(error):
            return CollectionExistsError(message)
        if _says_missing(str(error)):
            return failure(StoreReason.COLLECTION_MISSING, message)
        return failure(_by_words(str(error)) or StoreReason.PROTOCOL, message)
    if isinstance(error, sqlite3.Error):
        full = "full" in str(error)
        return failure(StoreReason.EXHAUSTED if full else StoreReason.DAMAGED, message)
    if isinstance(error, TimeoutError):
        return failure(StoreReason.TIMEOUT, message)
    if isinstance(error, ConnectionError):
        return failure(StoreReason.INTERRUPTED, message)
    if isinstance(error, OSError):
        return failure(StoreReason.MISCONFIGURED, message)
    return failure(StoreReason.PROTOCOL, message)
