"""What goes wrong with Pinecone, in the words of the contract; pure functions."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final

import httpx
from pinecone.errors.exceptions import (
    ApiError,
    PineconeError,
    PineconeTimeoutError,
    PineconeTypeError,
    PineconeValueError,
    RateLimitError,
    ResponseParsingError,
)

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.kit.errors import CollectionExistsError, failure
from memplane_adapters.kit.http import BY_STATUS, reason_of_transport

_SHOWN: Final = 500


class NoNamespaceError(StoreError):
    """Nothing was ever written for this tenant."""

    def __init__(self, message: str) -> None:
        super().__init__(StoreReason.MISCONFIGURED, message)


def unsupported(message: str) -> StoreError:
    """Asked for what is not declared."""
    return StoreError(StoreReason.UNSUPPORTED, message)


def malformed(message: str) -> StoreError:
    """Pinecone answered what cannot be right."""
    return StoreError(StoreReason.PROTOCOL, message)


def invisible(seconds: float) -> StoreError:
    """What was written is not to be seen yet; the read was not made."""
    return failure(
        StoreReason.TIMEOUT, f"what was written before was not visible within {seconds:g} s"
    )


def from_exception(error: Exception) -> StoreError:
    """The store's error for whatever the client library raises."""
    if isinstance(error, StoreError):
        return error
    message = f"{type(error).__name__}: {str(error)[:_SHOWN]}"
    if isinstance(error, ApiError):
        return _from_answer(error, message)
    cause = error.__cause__
    if isinstance(error, PineconeError) and isinstance(cause, httpx.HTTPError):
        return failure(reason_of_transport(cause), message)
    if isinstance(error, httpx.HTTPError):
        return failure(reason_of_transport(error), message)
    if isinstance(error, PineconeTimeoutError | TimeoutError):
        return failure(StoreReason.TIMEOUT, message)
    if isinstance(error, ResponseParsingError):
        return failure(StoreReason.PROTOCOL, message)
    if isinstance(error, PineconeValueError | PineconeTypeError):
        # Raised before anything is sent; of our settings only the key gets there unchecked.
        about_key = "api key" in str(error).lower()
        return failure(StoreReason.MISCONFIGURED if about_key else StoreReason.PROTOCOL, message)
    if isinstance(error, ssl.SSLError | FileNotFoundError | PermissionError):
        return failure(StoreReason.MISCONFIGURED, message)
    if isinstance(error, OSError):
        return failure(StoreReason.INTERRUPTED, message)
    return failure(StoreReason.PROTOCOL, message)


_BY_STATUS: Final[Mapping[int, StoreReason]] = {
    **BY_STATUS,
    402: StoreReason.EXHAUSTED,
    412: StoreReason.MISCONFIGURED,
}


def _from_answer(error: ApiError, message: str) -> StoreError:
    status = error.status_code or 0
    lowered = str(error).lower()
    if isinstance(error, RateLimitError):
        return StoreError(
            StoreReason.EXHAUSTED, message, retryable=True, retry_after=error.retry_after
        )
    if status == 409:
        return CollectionExistsError(message)
    if status == 404:
        if "namespace not found" in lowered:
            return NoNamespaceError(message)
        # Without Pinecone's own words it is another server, or another path of it.
        known = isinstance(error.body, dict)
        return failure(
            StoreReason.COLLECTION_MISSING if known else StoreReason.MISCONFIGURED, message
        )
    if status == 403 and ("quota" in lowered or "limit" in lowered):
        return failure(StoreReason.EXHAUSTED, message)
    if status == 400:
        return failure(_by_words(lowered), message)
    if status in _BY_STATUS:
        return failure(_BY_STATUS[status], message)
    return failure(StoreReason.INTERRUPTED if status >= 500 else StoreReason.PROTOCOL, message)


def may_be_too_much(error: StoreError) -> bool:
    """Whether a query may have asked for more than an answer holds; nobody knows the words for it."""
    return error.reason in (StoreReason.PROTOCOL, StoreReason.ITEM_TOO_LARGE)


def _by_words(lowered: str) -> StoreReason:
    """What Pinecone tells by words alone."""
    if "metadata size" in lowered:
        return StoreReason.ITEM_TOO_LARGE
    if "dimension" in lowered and "does not match" in lowered:
        return StoreReason.IDENTITY_MISMATCH
    return StoreReason.PROTOCOL
