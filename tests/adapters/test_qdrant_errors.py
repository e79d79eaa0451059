"""What Qdrant, its client library and its engine raise, in the words of the contract."""

from __future__ import annotations

import json
import sqlite3

import grpc
import httpx
import pytest
from grpc.aio import AioRpcError, Metadata
from pydantic import TypeAdapter, ValidationError
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.kit.errors import CollectionExistsError, after_write
from memplane_adapters.qdrant.errors import from_exception

R = StoreReason


def status(code: int, text: str = "", **headers: str) -> UnexpectedResponse:
    body = json.dumps({"status": {"error": text}, "time": 0.0}).encode()
    sent = httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return UnexpectedResponse(code, "", body, sent)


def rpc(code: grpc.StatusCode, details: str = "") -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), details=details)


def not_parsed() -> ValidationError:
    with pytest.raises(ValidationError) as failure:
        TypeAdapter(int).validate_python("not a number")
    return failure.value


GONE = "Not found: Collection `memplane-semantic-00000000` doesn't exist!"

TABLE: list[tuple[Exception, StoreReason, bool]] = [
    # REST: the status decides.
    (status(400, "Bad request: Vector dimension error: expected dim: 8, got 7"), R.IDENTITY_MISMATCH, False),
    (status(400, "Wrong input: Not existing vector name error: memory"), R.IDENTITY_MISMATCH, False),
    (status(400, 'Bad request: Index required but not found for "tokens"'), R.MISCONFIGURED, False),
    (status(400, "JSON payload (49000000 bytes) is larger than allowed (limit: 33554432 bytes)"), R.ITEM_TOO_LARGE, False),
    (status(400, "Format error in JSON body"), R.PROTOCOL, False),
    (status(401, "Must provide an API key"), R.MISCONFIGURED, False),
    (status(403, "Forbidden"), R.MISCONFIGURED, False),
    (status(404, GONE), R.COLLECTION_MISSING, False),
    (status(404, "<html>no such page"), R.MISCONFIGURED, False),
    (status(405), R.MISCONFIGURED, False),
    (status(408, "Timeout error: 10 s"), R.TIMEOUT, True),
    (status(409, "Wrong input: Collection `a` already exists!"), R.PROTOCOL, False),
    (status(413), R.ITEM_TOO_LARGE, False),
    (status(422, "validation"), R.PROTOCOL, False),
    (status(429, "too many requests"), R.EXHAUSTED, True),
    (status(302), R.MISCONFIGURED, False),
    (status(500, "Service internal error: task panicked"), R.INTERRUPTED, True),
    (status(500, "Service internal error: WAL buffer size exceeds available disk space"), R.EXHAUSTED, False),
    (status(502), R.INTERRUPTED, True),
    (status(503), R.UNAVAILABLE, True),
    (status(504), R.TIMEOUT, True),
    (status(507), R.EXHAUSTED, False),
    (status(599), R.INTERRUPTED, True),
    # The client library's own.
    (ResourceExhaustedResponse("slow down", 3), R.EXHAUSTED, True),
    (QdrantException("Retry-After header value is not a valid integer"), R.EXHAUSTED, True),
    (ResponseHandlingException(httpx.ConnectError("refused")), R.UNAVAILABLE, True),
    (ResponseHandlingException(not_parsed()), R.PROTOCOL, False),
    (json.JSONDecodeError("Expecting value", "{", 0), R.PROTOCOL, False),
    (AssertionError("Upsert returned None result"), R.PROTOCOL, False),
    # The way there and back: what was never sent was never written.
    (httpx.ConnectError("refused"), R.UNAVAILABLE, True),
    (httpx.ConnectTimeout("no answer"), R.UNAVAILABLE, True),
    (httpx.PoolTimeout("no connection left"), R.UNAVAILABLE, True),
    (httpx.ReadTimeout("frozen"), R.TIMEOUT, True),
    (httpx.WriteTimeout("frozen"), R.TIMEOUT, True),
    (httpx.ReadError("reset"), R.INTERRUPTED, True),
    (httpx.WriteError("reset"), R.INTERRUPTED, True),
    (httpx.RemoteProtocolError("Server disconnected without sending a response."), R.INTERRUPTED, True),
    (httpx.UnsupportedProtocol("ftp"), R.MISCONFIGURED, False),
    (httpx.DecodingError("not gzip"), R.PROTOCOL, False),
    # gRPC: the code decides, and for UNAVAILABLE whether there was a connection.
    (rpc(grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses; last error: UNKNOWN: Connection refused"), R.UNAVAILABLE, True),
    (rpc(grpc.StatusCode.UNAVAILABLE, "DNS resolution failed for qdrant:6334"), R.UNAVAILABLE, True),
    (rpc(grpc.StatusCode.UNAVAILABLE, "Socket closed"), R.INTERRUPTED, True),
    (rpc(grpc.StatusCode.UNAVAILABLE, "recvmsg:Connection reset by peer"), R.INTERRUPTED, True),
    (rpc(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"), R.TIMEOUT, True),
    (rpc(grpc.StatusCode.UNAUTHENTICATED), R.MISCONFIGURED, False),
    (rpc(grpc.StatusCode.PERMISSION_DENIED), R.MISCONFIGURED, False),
    (rpc(grpc.StatusCode.UNIMPLEMENTED), R.MISCONFIGURED, False),
    (rpc(grpc.StatusCode.FAILED_PRECONDITION), R.MISCONFIGURED, False),
    (rpc(grpc.StatusCode.NOT_FOUND, GONE), R.COLLECTION_MISSING, False),
    (rpc(grpc.StatusCode.NOT_FOUND, "No point with id"), R.PROTOCOL, False),
    (rpc(grpc.StatusCode.ALREADY_EXISTS, "Collection `a` already exists!"), R.PROTOCOL, False),
    (rpc(grpc.StatusCode.INVALID_ARGUMENT, "Vector dimension error: expected dim: 8, got 7"), R.IDENTITY_MISMATCH, False),
    (rpc(grpc.StatusCode.INVALID_ARGUMENT, "Index required but not found"), R.MISCONFIGURED, False),
    (rpc(grpc.StatusCode.INVALID_ARGUMENT, "something else"), R.PROTOCOL, False),
    (rpc(grpc.StatusCode.OUT_OF_RANGE, "Error, message length too large: found 40000000 bytes"), R.ITEM_TOO_LARGE, False),
    (rpc(grpc.StatusCode.RESOURCE_EXHAUSTED, "Rate limiting exceeded"), R.EXHAUSTED, True),
    (rpc(grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (5 vs. 4)"), R.ITEM_TOO_LARGE, False),
    (rpc(grpc.StatusCode.INTERNAL, "panic"), R.INTERRUPTED, True),
    (rpc(grpc.StatusCode.CANCELLED), R.INTERRUPTED, True),
    (rpc(grpc.StatusCode.ABORTED), R.INTERRUPTED, True),
    (rpc(grpc.StatusCode.DATA_LOSS), R.DAMAGED, False),
    (rpc(grpc.StatusCode.UNKNOWN), R.PROTOCOL, False),
    # The engine in the process.
    (ValueError("Collection memplane-semantic-00000000 not found"), R.COLLECTION_MISSING, False),
    (ValueError("Collection a already exists"), R.PROTOCOL, False),
    (ValueError("Wrong input: Vector dimension error: expected dim: 8, got 7"), R.IDENTITY_MISMATCH, False),
    (ValueError("Empty update request"), R.PROTOCOL, False),
    (KeyError("memory"), R.PROTOCOL, False),
    (RuntimeError("Storage folder /x is already accessed by another instance of Qdrant client."), R.MISCONFIGURED, False),
    (RuntimeError("QdrantLocal instance is closed. Please create a new instance."), R.CLOSED, False),
    (sqlite3.OperationalError("database or disk is full"), R.EXHAUSTED, False),
    (sqlite3.DatabaseError("file is not a database"), R.DAMAGED, False),
    (PermissionError(13, "Permission denied", "/x"), R.MISCONFIGURED, False),
    (ConnectionResetError("reset"), R.INTERRUPTED, True),
    (TimeoutError(), R.TIMEOUT, True),
    (ZeroDivisionError("a bug of the library"), R.PROTOCOL, False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    TABLE,
    ids=[f"{type(error).__name__}-{reason}-{row}" for row, (error, reason, _) in enumerate(TABLE)],
)
def test_every_failure_has_its_reason(
    error: Exception, reason: StoreReason, retryable: bool
) -> None:
    made = from_exception(error)
    assert (made.reason, made.retryable) == (reason, retryable)
    assert str(made)


def test_what_qdrant_asks_for_is_handed_on() -> None:
    assert from_exception(ResourceExhaustedResponse("slow down", 3)).retry_after == 3.0
    assert from_exception(status(503, retry_after="7")).retry_after == 7.0
    assert from_exception(status(503, retry_after="tomorrow")).retry_after is None


def test_ours_are_left_alone() -> None:
    ours = StoreError(R.DAMAGED, "as it is")
    assert from_exception(ours) is ours


@pytest.mark.parametrize(
    "error",
    [
        status(409, "Collection `a` already exists!"),
        rpc(grpc.StatusCode.ALREADY_EXISTS, "Collection `a` already exists!"),
        ValueError("Collection a already exists"),
    ],
    ids=["rest", "grpc", "engine"],
)
def test_a_collection_that_is_there_is_told_apart(error: Exception) -> None:
    assert isinstance(from_exception(error), CollectionExistsError)


@pytest.mark.parametrize("reason", StoreReason)
def test_after_a_write_nobody_says_that_nothing_was_written(reason: StoreReason) -> None:
    then = after_write(StoreError(reason, "x")).reason
    unsure = reason in (R.UNAVAILABLE, R.EXHAUSTED)
    assert then is (R.INTERRUPTED if unsure else reason)
