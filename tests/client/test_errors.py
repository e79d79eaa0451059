"""Statuses, item errors and arguments become one family of exceptions."""

from __future__ import annotations

import copy
import pickle

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2
from grpc import aio

import memplane
from memplane import (
    InvalidArgument,
    Kind,
    MemplaneError,
    Outcome,
    Ref,
    Violation,
    WriteResult,
    WriteResults,
)
from memplane._error_details import from_call, from_item
from memplane._errors import Code, error_class
from memplane.v1 import error_reason_pb2
from memplane.v1.memory_service_pb2 import ItemError

from .conftest import rich_status


def failed(
    code: grpc.StatusCode, details: str = "x", status: bytes | None = None, *, writes: bool = False
) -> MemplaneError:
    trailers = aio.Metadata(("grpc-status-details-bin", status)) if status is not None else None
    error = aio.AioRpcError(code, aio.Metadata(), trailers or aio.Metadata(), details)
    return from_call(error, "there:1", writes=writes)


def test_every_code_has_a_class() -> None:
    for code in grpc.StatusCode:
        if code is not grpc.StatusCode.OK:
            error = failed(code)
            assert error.code.value == code.name
            assert type(error) is error_class(code.value[0])
            assert type(error).__name__ in memplane.__all__
    assert error_class(99) is memplane.Unknown
    assert set(Code) == set(code_pb2.Code.keys()) - {"OK"}


def test_a_rich_status() -> None:
    error = failed(
        grpc.StatusCode.INVALID_ARGUMENT,
        status=rich_status(
            3,
            "INVALID_REQUEST",
            metadata={"violations": "1"},
            details=(
                error_details_pb2.BadRequest(
                    field_violations=[
                        error_details_pb2.BadRequest.FieldViolation(
                            field="puts[0].memory.text", description="too long"
                        )
                    ]
                ),
                error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)),
            ),
        ),
    )
    assert isinstance(error, InvalidArgument)
    assert error.reason == "INVALID_REQUEST"
    assert error.message == "a sentence about INVALID_REQUEST"
    assert error.metadata == {"violations": "1"}
    assert error.violations == (Violation("puts[0].memory.text", "too long"),)
    assert error.retry_after == 1.5
    assert not error.ambiguous
    assert str(error) == "INVALID_ARGUMENT (INVALID_REQUEST): a sentence about INVALID_REQUEST"


def test_ambiguity() -> None:
    deadline = grpc.StatusCode.DEADLINE_EXCEEDED
    told = rich_status(4, "DEADLINE_PASSED", metadata={"ambiguous": "true"})
    assert failed(deadline, status=told).ambiguous
    assert not failed(deadline, status=rich_status(4, "DEADLINE_PASSED"), writes=True).ambiguous
    assert failed(deadline, writes=True).ambiguous
    assert failed(grpc.StatusCode.UNAVAILABLE, writes=True).ambiguous
    assert not failed(deadline).ambiguous
    assert not failed(grpc.StatusCode.INVALID_ARGUMENT, writes=True).ambiguous


def test_what_does_not_come_from_the_gateway() -> None:
    error = failed(grpc.StatusCode.UNAVAILABLE, "connection refused")
    assert error.message == "no answer from the gateway at there:1: connection refused"
    assert error.reason == "UNSPECIFIED"
    assert failed(grpc.StatusCode.DEADLINE_EXCEEDED).reason == "DEADLINE_PASSED"
    assert failed(grpc.StatusCode.INTERNAL, "y", b"\xff\xff").message == "y"  # damaged details
    assert failed(grpc.StatusCode.INTERNAL, "y", b"").message == "y"


def test_an_item_error() -> None:
    error = from_item(
        ItemError(
            code=code_pb2.ABORTED,
            reason=error_reason_pb2.ERROR_REASON_ETAG_MISMATCH,
            message="another etag",
            metadata={"etag": "e2"},
        )
    )
    assert type(error) is memplane.Aborted
    assert (error.reason, error.metadata) == ("ETAG_MISMATCH", {"etag": "e2"})
    strange = from_item(ItemError(code=42, reason=4242))  # type: ignore[arg-type]
    assert (type(strange), strange.reason) == (memplane.Unknown, "UNSPECIFIED")


def test_errors_can_be_copied_and_pickled() -> None:
    error = memplane.Unavailable(
        "down", reason="BACKEND_UNAVAILABLE", metadata={"a": "b"}, retry_after=2.0, ambiguous=True
    )
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is memplane.Unavailable
        assert (twin.message, twin.details()) == (error.message, error.details())
    assert isinstance(pickle.loads(pickle.dumps(InvalidArgument.at("a", "b"))), InvalidArgument)


def test_results_of_a_batch() -> None:
    ref = Ref(Kind.SEMANTIC, ("a",), "k")
    good = WriteResult(ref, Outcome.CREATED)
    bad = WriteResult(ref, Outcome.UNKNOWN, error=memplane.Aborted("changed"))
    assert WriteResults([good]).raise_for_error() == (good,)
    with pytest.raises(memplane.Aborted) as caught:
        WriteResults([good, bad, bad]).raise_for_error()
    assert caught.value.__notes__ == ["2 of 3 items failed, the first at semantic:['a']/'k'"]
    assert WriteResults([good, bad]).failed == (bad,)
