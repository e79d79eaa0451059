"""What goes wrong with Chroma, in the words of the contract; pure functions."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.kit.errors import CollectionExistsError, failure
from memplane_adapters.kit.http import BY_STATUS

_SHOWN: Final = 500


class RefusalError(Exception):
    """An answer with a status of 400 or above; the client library would forget status and headers.

    `name` and `message` are Chroma's own words, empty when the answer is not from Chroma.
    """

    def __init__(
        self, status: int, name: str, message: str, retry_after: float | None = None
    ) -> None:
        super().__init__(f"status {status} {name}: {message[:_SHOWN]}")
        self.status = status
        self.name = name
        self.message = message
        self.retry_after = retry_after


def unsupported(message: str) -> StoreError:
    """Asked for what is not declared."""
    return StoreError(StoreReason.UNSUPPORTED, message)


def malformed(message: str) -> StoreError:
    """Chroma answered what cannot be right."""
    return StoreError(StoreReason.PROTOCOL, message)


def from_exception(error: Exception) -> StoreError:
    """The store's error for whatever the client library raises."""
    if isinstance(error, StoreError):
        return error
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, RefusalError):
        return _from_refusal(error)
    if isinstance(error, aiohttp.ClientError):
        return failure(_reason_of_transport(error), message)
    if type(error).__module__ == "chromadb.errors":  # raised by the client before it sends anything
        return failure(_BY_CLIENT.get(type(error).__name__, StoreReason.PROTOCOL), message)
    if isinstance(error, ssl.SSLError | FileNotFoundError | PermissionError):
        return failure(StoreReason.MISCONFIGURED, message)
    if isinstance(error, TimeoutError):
        return failure(StoreReason.TIMEOUT, message)
    if isinstance(error, OSError):
        return failure(StoreReason.INTERRUPTED, message)
    return failure(StoreReason.PROTOCOL, message)


_BY_CLIENT: Final[Mapping[str, StoreReason]] = {
    "BatchSizeExceededError": StoreReason.ITEM_TOO_LARGE,
    "InvalidDimensionException": StoreReason.IDENTITY_MISMATCH,
    "ChromaAuthError": StoreReason.MISCONFIGURED,
    "AuthorizationError": StoreReason.MISCONFIGURED,
    "VersionMismatchError": StoreReason.MISCONFIGURED,
    "InvalidHTTPVersion": StoreReason.MISCONFIGURED,
    "NotFoundError": StoreReason.COLLECTION_MISSING,
    "RateLimitError": StoreReason.EXHAUSTED,
    "QuotaError": StoreReason.EXHAUSTED,
}


def _reason_of_transport(error: aiohttp.ClientError) -> StoreReason:
    """Why there is no answer; UNAVAILABLE only where nothing was sent."""
    for kind, reason in _BY_KIND:
        if isinstance(error, kind):
            return reason
    return StoreReason.PROTOCOL


_BY_KIND: Final[tuple[tuple[type[Exception], StoreReason], ...]] = (
    (aiohttp.ClientConnectorCertificateError, StoreReason.MISCONFIGURED),
    (aiohttp.ClientProxyConnectionError, StoreReason.MISCONFIGURED),
    (aiohttp.ClientHttpProxyError, StoreReason.MISCONFIGURED),
    (aiohttp.InvalidURL, StoreReason.MISCONFIGURED),
    (aiohttp.NonHttpUrlClientError, StoreReason.MISCONFIGURED),
    (aiohttp.ConnectionTimeoutError, StoreReason.UNAVAILABLE),  # a place in the pool, too
    (aiohttp.ClientConnectorError, StoreReason.UNAVAILABLE),
    (aiohttp.ServerTimeoutError, StoreReason.TIMEOUT),
    (aiohttp.ClientConnectionError, StoreReason.INTERRUPTED),
    (aiohttp.ClientPayloadError, StoreReason.INTERRUPTED),
)
"""The first that fits: aiohttp's errors are kinds of one another."""

_BY_STATUS: Final[Mapping[int, StoreReason]] = {**BY_STATUS, 422: StoreReason.MISCONFIGURED}


def _from_refusal(error: RefusalError) -> StoreError:
    message = str(error)
    if error.status == 409 and error.name:
        return CollectionExistsError(message)
    if error.status == 429:
        spent = error.name == "QuotaError"
        return StoreError(
            StoreReason.EXHAUSTED, message, retryable=not spent, retry_after=error.retry_after
        )
    if error.status == 404:
        # Without Chroma's own words it is another server, or another path of it.
        ours = error.name == "NotFoundError" and error.message.startswith("Collection")
        return failure(
            StoreReason.COLLECTION_MISSING if ours else StoreReason.MISCONFIGURED, message
        )
    if error.status in _BY_STATUS:
        return failure(_BY_STATUS[error.status], message, retry_after=error.retry_after)
    if error.status >= 500:
        return failure(_by_words(error.message) or StoreReason.INTERRUPTED, message)
    if error.status < 400:
        return failure(StoreReason.MISCONFIGURED, message)
    return failure(_by_words(error.message) or StoreReason.PROTOCOL, message)


def _by_words(text: str) -> StoreReason | None:
    """What Chroma tells by words alone."""
    lowered = text.lower()
    if "expecting embedding with dimension" in lowered:
        return StoreReason.IDENTITY_MISMATCH
    if "too many sql variables" in lowered or "expression tree is too large" in lowered:
        return StoreReason.UNSUPPORTED
    if "disk is full" in lowered or "no space left" in lowered:
        return StoreReason.EXHAUSTED
    if "malformed" in lowered or "file is not a database" in lowered:
        return StoreReason.DAMAGED
    if "readonly database" in lowered or "quota" in lowered:
        return StoreReason.EXHAUSTED if "quota" in lowered else StoreReason.MISCONFIGURED
    return None
