"""What Chroma, its client library and the way there raise, in the words of the contract."""

from __future__ import annotations

import json
import ssl

import aiohttp
import chromadb.errors
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from memplane_adapters.chroma.errors import RefusalError, from_exception
from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.kit.errors import CollectionExistsError, after_write

R = StoreReason


def status(code: int, name: str = "", message: str = "", seconds: float | None = None) -> Exception:
    return RefusalError(code, name, message, seconds)


KEY = aiohttp.client_reqrep.ConnectionKey("h", 1, False, True, None, None, None)
INFO = aiohttp.RequestInfo(URL("http://h"), "GET", CIMultiDictProxy(CIMultiDict()), URL("http://h"))
GONE = "Collection [memplane-semantic-00000000] does not exist"
DIMENSION = "Collection expecting embedding with dimension of 8, got 3"
VARIABLES = "error returned from database: (code: 1) too many SQL variables"
DEEP = "Error executing plan: Expression tree is too large (maximum depth 1000)"

TABLE: list[tuple[Exception, StoreReason, bool]] = [
    # The status decides, and Chroma's own name for an error beside it.
    (status(400, "InvalidArgumentError", DIMENSION), R.IDENTITY_MISMATCH, False),
    (status(400, "InvalidArgumentError", "Invalid where clause"), R.PROTOCOL, False),
    (status(401, "AuthError", "Unauthorized"), R.MISCONFIGURED, False),
    (status(403, "AuthError", "Forbidden"), R.MISCONFIGURED, False),
    (status(403), R.MISCONFIGURED, False),
    (status(404, "NotFoundError", GONE), R.COLLECTION_MISSING, False),
    (status(404, "NotFoundError", "Database [memories] not found"), R.MISCONFIGURED, False),
    (status(404, "", "<html>no such page"), R.MISCONFIGURED, False),
    (status(405), R.MISCONFIGURED, False),
    (status(407), R.MISCONFIGURED, False),
    (status(408), R.TIMEOUT, True),
    (status(409, "ChromaError", "Collection [a] already exists"), R.PROTOCOL, False),
    (status(413, "ChromaError", "length limit exceeded"), R.ITEM_TOO_LARGE, False),
    (status(422, "", "missing field `ids`"), R.MISCONFIGURED, False),
    (status(429, "RateLimitError", "slow down"), R.EXHAUSTED, True),
    (status(429, "QuotaError", "Number of records exceeded"), R.EXHAUSTED, False),
    (status(302), R.MISCONFIGURED, False),
    (status(500, "InternalError", "task panicked"), R.INTERRUPTED, True),
    (status(500, "InternalError", VARIABLES), R.UNSUPPORTED, False),
    (status(500, "InternalError", DEEP), R.UNSUPPORTED, False),
    (status(500, "InternalError", "database or disk is full"), R.EXHAUSTED, False),
    (status(500, "InternalError", "database disk image is malformed"), R.DAMAGED, False),
    (status(500, "InternalError", "attempt to write a readonly database"), R.MISCONFIGURED, False),
    (status(501), R.MISCONFIGURED, False),
    (status(502), R.INTERRUPTED, True),
    (status(503), R.UNAVAILABLE, True),
    (status(504), R.TIMEOUT, True),
    (status(507), R.EXHAUSTED, False),
    (status(599), R.INTERRUPTED, True),
    # The client library's own, before it sends anything, or on an answer that it cannot read.
    (chromadb.errors.NotFoundError(GONE), R.COLLECTION_MISSING, False),
    (chromadb.errors.BatchSizeExceededError("5,462 records"), R.ITEM_TOO_LARGE, False),
    (chromadb.errors.InvalidDimensionException("8, not 3"), R.IDENTITY_MISMATCH, False),
    (chromadb.errors.AuthorizationError("no"), R.MISCONFIGURED, False),
    (chromadb.errors.RateLimitError("slow down"), R.EXHAUSTED, False),
    (chromadb.errors.DuplicateIDError("a"), R.PROTOCOL, False),
    (json.JSONDecodeError("Expecting value", "<", 0), R.PROTOCOL, False),
    (KeyError("ids"), R.PROTOCOL, False),
    (TypeError("str is not valid UTF-8: surrogates not allowed"), R.PROTOCOL, False),
    # The way there and back: what was never sent was never written.
    (aiohttp.ClientConnectorError(KEY, OSError(111, "refused")), R.UNAVAILABLE, True),
    (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "no such name")), R.UNAVAILABLE, True),
    (aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLError()), R.MISCONFIGURED, False),
    (aiohttp.ConnectionTimeoutError("no answer, or no place in the pool"), R.UNAVAILABLE, True),
    (aiohttp.SocketTimeoutError("no answer"), R.TIMEOUT, True),
    (aiohttp.ServerDisconnectedError(), R.INTERRUPTED, True),
    (aiohttp.ClientConnectionResetError("reset"), R.INTERRUPTED, True),
    (aiohttp.ClientOSError(32, "broken pipe"), R.INTERRUPTED, True),
    (aiohttp.ClientPayloadError("closed in the middle"), R.INTERRUPTED, True),
    (aiohttp.NonHttpUrlClientError("ftp://h"), R.MISCONFIGURED, False),
    (aiohttp.InvalidURL("http://"), R.MISCONFIGURED, False),
    (aiohttp.ClientProxyConnectionError(KEY, OSError(111, "refused")), R.MISCONFIGURED, False),
    (aiohttp.ClientResponseError(INFO, (), message="bad chunk"), R.PROTOCOL, False),
    (ssl.SSLError("no certificate"), R.MISCONFIGURED, False),
    (FileNotFoundError("ca.pem"), R.MISCONFIGURED, False),
    (TimeoutError(), R.TIMEOUT, True),
    (ConnectionResetError(), R.INTERRUPTED, True),
]


@pytest.mark.parametrize(("error", "reason", "retryable"), TABLE, ids=lambda one: repr(one)[:60])
def test_every_error_has_one_meaning(
    error: Exception, reason: StoreReason, retryable: bool
) -> None:
    made = from_exception(error)
    assert (made.reason, made.retryable) == (reason, retryable)


def test_when_to_come_back_is_handed_on() -> None:
    assert from_exception(status(429, "RateLimitError", seconds=3.0)).retry_after == 3.0
    assert from_exception(status(503, seconds=2.0)).retry_after == 2.0
    assert from_exception(status(503)).retry_after is None


def test_a_collection_that_another_gateway_made_is_told_apart() -> None:
    exists = status(409, "ChromaError", "Collection [a] already exists")
    assert isinstance(from_exception(exists), CollectionExistsError)
    assert not isinstance(from_exception(status(409)), CollectionExistsError)


def test_our_own_errors_stay_as_they_are() -> None:
    ours = StoreError(R.DAMAGED, "as it was")
    assert from_exception(ours) is ours


@pytest.mark.parametrize("reason", [R.UNAVAILABLE, R.EXHAUSTED])
def test_nothing_was_written_is_not_said_after_a_write(reason: StoreReason) -> None:
    made = after_write(StoreError(reason, "gone"))
    assert (made.reason, made.retryable) == (R.INTERRUPTED, True)


def test_other_errors_mean_the_same_after_a_write() -> None:
    error = StoreError(R.TIMEOUT, "no answer", retryable=True)
    assert after_write(error) is error


def test_a_long_answer_is_cut() -> None:
    assert len(str(from_exception(status(500, "", "x" * 100_000)))) < 1_000
