"""What goes wrong with Weaviate, in the words of the contract; pure functions."""

from __future__ import annotations

import ssl
from typing import Final

import grpc
import httpx

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.kit.errors import CollectionExistsError, failure
from memplane_adapters.kit.http import BY_STATUS, reason_of_transport
from memplane_adapters.kit.rpc import BY_CODE, reason_of_unavailable

_SHOWN: Final = 500


class RefusalError(Exception):
    """An answer over REST with another status than success."""

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"status {status}: {message[:_SHOWN]}")
        self.status = status
        self.message = message
        self.retry_after = retry_after


class NoTenantError(StoreError):
    """Nothing was ever written for this tenant."""

    def __init__(self, message: str) -> None:
        super().__init__(StoreReason.PROTOCOL, message)


class AnswerTooLargeError(StoreError):
    """What was asked for does not go into one answer."""

    def __init__(self, message: str) -> None:
        super().__init__(StoreReason.ITEM_TOO_LARGE, message)


def unsupported(message: str) -> StoreError:
    """Asked for what is not declared."""
    return StoreError(StoreReason.UNSUPPORTED, message)


def malformed(message: str) -> StoreError:
    """Weaviate answered what cannot be right."""
    return StoreError(StoreReason.PROTOCOL, message)


def from_exception(error: Exception) -> StoreError:
    """The store's error for whatever a request raises."""
    if isinstance(error, StoreError):
        return error
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, RefusalError):
        return _from_refusal(error)
    if isinstance(error, grpc.RpcError):
        return _from_rpc(error)
    if isinstance(error, httpx.HTTPError):
        return failure(reason_of_transport(error), message)
    if isinstance(error, ssl.SSLError | FileNotFoundError | PermissionError):
        return failure(StoreReason.MISCONFIGURED, message)
    if isinstance(error, TimeoutError):
        return failure(StoreReason.TIMEOUT, message)
    if isinstance(error, OSError):
        return failure(StoreReason.INTERRUPTED, message)
    return failure(StoreReason.PROTOCOL, message)


def from_words(message: str) -> StoreError:
    """The error of one item of a batch, of which there are only words."""
    text = message[:_SHOWN]
    return _special(message) or failure(_by_words(message) or StoreReason.PROTOCOL, text)


def _from_refusal(error: RefusalError) -> StoreError:
    message, status = str(error), error.status
    if status == 404:
        # Weaviate says nothing more where a collection is not there; others have a page for it.
        ours = not error.message
        return failure(
            StoreReason.COLLECTION_MISSING if ours else StoreReason.MISCONFIGURED, message
        )
    if status == 429:
        return StoreError(
            StoreReason.EXHAUSTED, message, retryable=True, retry_after=error.retry_after
        )
    if status == 422 and "already exists" in error.message:
        return CollectionExistsError(message)
    if status in BY_STATUS:
        return failure(BY_STATUS[status], message, retry_after=error.retry_after)
    if status >= 500:
        return failure(_by_words(error.message) or StoreReason.INTERRUPTED, message)
    if status < 400:
        return failure(StoreReason.MISCONFIGURED, message)
    return failure(_by_words(error.message) or StoreReason.PROTOCOL, message)


def _from_rpc(error: grpc.RpcError) -> StoreError:
    code: grpc.StatusCode = error.code()
    details: str = error.details() or ""
    message = f"{code.name}: {details[:_SHOWN]}"
    if code is grpc.StatusCode.UNAVAILABLE:
        if "maintenance mode" in details.lower():  # refused before it is looked at
            return failure(StoreReason.UNAVAILABLE, message)
        return failure(reason_of_unavailable(details), message)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        if "trying to send message larger" in details:
            return AnswerTooLargeError(message)
        reason = _by_words(details) or StoreReason.EXHAUSTED
        return StoreError(reason, message, retryable=reason is StoreReason.EXHAUSTED)
    if code in BY_CODE:
        return failure(BY_CODE[code], message)
    return _special(details) or failure(_by_words(details) or StoreReason.PROTOCOL, message)


def _special(text: str) -> StoreError | None:
    return NoTenantError(text[:_SHOWN]) if "tenant not found" in text else None


_BY_WORDS: Final[tuple[tuple[str, StoreReason], ...]] = (
    ("could not find class", StoreReason.COLLECTION_MISSING),
    ("class not found", StoreReason.COLLECTION_MISSING),
    ("vector lengths don't match", StoreReason.IDENTITY_MISMATCH),
    ("new node has a vector with length", StoreReason.IDENTITY_MISMATCH),
    ("message larger than max", StoreReason.ITEM_TOO_LARGE),
    ("no space left", StoreReason.EXHAUSTED),
    ("disk usage too high", StoreReason.EXHAUSTED),
    ("read-only", StoreReason.EXHAUSTED),
    ("memory pressure", StoreReason.EXHAUSTED),
    ("not enough memory", StoreReason.EXHAUSTED),
    ("deadline exceeded", StoreReason.TIMEOUT),
    ("leader not found", StoreReason.INTERRUPTED),
    ("cannot reach enough replicas", StoreReason.INTERRUPTED),  # some of them may have it
    ("shutdown", StoreReason.INTERRUPTED),
    ("shutting down", StoreReason.INTERRUPTED),
    ("connection refused", StoreReason.INTERRUPTED),  # between the nodes of a cluster
    ("context canceled", StoreReason.INTERRUPTED),
)


def _by_words(text: str) -> StoreReason | None:
    """What Weaviate tells by words alone, which is most: its code for it is UNKNOWN."""
    lowered = text.lower()
    return next((reason for words, reason in _BY_WORDS if words in lowered), None)
