"""What Pinecone, its client library and the way there raise, in the words of the contract."""

from __future__ import annotations

import ssl
from typing import Any

import httpx
import pytest
from pinecone.errors import exceptions as theirs

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.kit.errors import CollectionExistsError
from memplane_adapters.pinecone.errors import NoNamespaceError, from_exception

R = StoreReason
_CLASSES: dict[int, Any] = {
    401: theirs.UnauthorizedError,
    402: theirs.PaymentRequiredError,
    403: theirs.ForbiddenError,
    404: theirs.NotFoundError,
    409: theirs.ConflictError,
    412: theirs.FailedPreconditionError,
    413: theirs.PayloadTooLargeError,
    429: theirs.RateLimitError,
}


def status(code: int, message: str = "no", *, own: bool = True, **more: Any) -> Exception:
    """An answer as the library raises it; `own` is whether it is in Pinecone's own form."""
    kind = _CLASSES.get(code, theirs.ServiceError if code >= 500 else theirs.ApiError)
    made: Exception = kind(
        message=message, status_code=code, body={"error": {}} if own else None, **more
    )
    return made


def caused(kind: type[theirs.PineconeError], cause: Exception) -> Exception:
    """What the library makes of a failure on the way."""
    made = kind("Connection failed")
    made.__cause__ = cause
    return made


DIMENSION = "Vector dimension 3 does not match the dimension of the index 8"
SIZE = "Metadata size is 41010 bytes, which exceeds the limit of 40960 bytes per vector"

TABLE: list[tuple[Exception, StoreReason, bool]] = [
    (status(400, DIMENSION), R.IDENTITY_MISMATCH, False),
    (status(400, SIZE), R.ITEM_TOO_LARGE, False),
    (status(400, "$foo is not a valid operator"), R.PROTOCOL, False),
    (status(401), R.MISCONFIGURED, False),
    (status(402), R.EXHAUSTED, False),
    (status(403, "not permitted"), R.MISCONFIGURED, False),
    (status(403, "Reached max namespaces: quota"), R.EXHAUSTED, False),
    (status(404), R.COLLECTION_MISSING, False),
    (status(404, "<html>", own=False), R.MISCONFIGURED, False),
    (status(405), R.MISCONFIGURED, False),
    (status(408), R.TIMEOUT, True),
    (status(409), R.PROTOCOL, False),
    (status(412), R.MISCONFIGURED, False),
    (status(413), R.ITEM_TOO_LARGE, False),
    (status(418), R.PROTOCOL, False),
    (status(429), R.EXHAUSTED, True),
    (status(500), R.INTERRUPTED, True),
    (status(502), R.INTERRUPTED, True),
    (status(503), R.UNAVAILABLE, True),
    (status(504), R.TIMEOUT, True),
    # The way there and back: what was never sent was never written.
    (caused(theirs.PineconeConnectionError, httpx.ConnectError("refused")), R.UNAVAILABLE, True),
    (caused(theirs.PineconeTimeoutError, httpx.ConnectTimeout("")), R.UNAVAILABLE, True),
    (caused(theirs.PineconeTimeoutError, httpx.PoolTimeout("")), R.UNAVAILABLE, True),
    (caused(theirs.PineconeTimeoutError, httpx.ReadTimeout("")), R.TIMEOUT, True),
    (caused(theirs.PineconeConnectionError, httpx.ReadError("reset")), R.INTERRUPTED, True),
    (
        caused(theirs.PineconeConnectionError, httpx.RemoteProtocolError("closed")),
        R.INTERRUPTED,
        True,
    ),
    (httpx.ReadError("reset"), R.INTERRUPTED, True),
    (theirs.PineconeTimeoutError("no answer"), R.TIMEOUT, True),
    (theirs.ResponseParsingError("no JSON"), R.PROTOCOL, False),
    # Raised before anything is sent.
    (theirs.PineconeValueError("No API key provided."), R.MISCONFIGURED, False),
    (theirs.PineconeTypeError("metadata must be a dict"), R.PROTOCOL, False),
    (ssl.SSLError("no certificate"), R.MISCONFIGURED, False),
    (FileNotFoundError("ca.pem"), R.MISCONFIGURED, False),
    (TimeoutError(), R.TIMEOUT, True),
    (ConnectionResetError(), R.INTERRUPTED, True),
    (KeyError("matches"), R.PROTOCOL, False),
]


@pytest.mark.parametrize(("error", "reason", "retryable"), TABLE, ids=lambda one: repr(one)[:60])
def test_every_error_has_one_meaning(
    error: Exception, reason: StoreReason, retryable: bool
) -> None:
    made = from_exception(error)
    assert (made.reason, made.retryable) == (reason, retryable)


def test_when_to_come_back_is_handed_on() -> None:
    assert from_exception(status(429, retry_after=3.0)).retry_after == 3.0
    assert from_exception(status(429)).retry_after is None


def test_an_index_that_another_gateway_made_is_told_apart() -> None:
    assert isinstance(from_exception(status(409)), CollectionExistsError)


def test_a_namespace_that_was_never_written_is_no_index_that_is_missing() -> None:
    missing = status(404, "Namespace not found")
    assert isinstance(from_exception(missing), NoNamespaceError)
    other = from_exception(status(404, "Resource namespace-semantic-01234567 not found"))
    assert not isinstance(other, NoNamespaceError)
    assert from_exception(missing).reason is R.MISCONFIGURED


def test_our_own_errors_stay_as_they_are() -> None:
    ours = StoreError(R.DAMAGED, "as it was")
    assert from_exception(ours) is ours


def test_a_long_answer_is_cut() -> None:
    assert len(str(from_exception(status(500, "x" * 100_000)))) < 1_000
