"""Errors: the words of the code are those of the contract."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2

from memplane.v1 import error_reason_pb2
from memplane_adapters.contract import StoreError, StoreReason
from memplane_gateway.errors import Code, Reason, Violation, from_store, invalid
from memplane_gateway.wire.replies import reason_number
from memplane_gateway.wire.status import DOMAIN, status_of


def test_every_reason_is_in_the_contract_and_the_other_way_round() -> None:
    names = {
        name.removeprefix("ERROR_REASON_") for name in list(error_reason_pb2.ErrorReason.keys())
    }
    assert {reason.value for reason in Reason} == names - {"UNSPECIFIED"}
    assert len({reason_number(reason) for reason in Reason}) == len(Reason)


def test_codes_are_those_of_grpc() -> None:
    by_number = {code.value[0]: code.name for code in grpc.StatusCode}
    for code in Code:
        assert by_number[int(code)] == code.name


@pytest.mark.parametrize("reason", list(StoreReason))
def test_every_failure_of_a_store_has_a_code_and_hides_the_vendors_text(
    reason: StoreReason,
) -> None:
    error = from_store(StoreError(reason, "vendor: password=hunter2"), "semantic")
    assert error.code is not Code.INTERNAL
    assert "hunter2" not in error.message
    assert error.metadata["route"] == "semantic"


def test_what_an_adapter_says_on_purpose_is_heard() -> None:
    own = StoreError(StoreReason.UNSUPPORTED, "vendor: no", metadata={"why": "write it anew"})
    assert from_store(own, "r").message == "r: the store cannot do this: write it anew"


def test_retry_is_said_only_where_it_is_worth_it() -> None:
    down = StoreError(StoreReason.UNAVAILABLE, "down", retryable=True, retry_after=1.5)
    final = StoreError(StoreReason.MISCONFIGURED, "no", retry_after=1.5)
    assert from_store(down, "r").retry_after == 1.5
    assert from_store(final, "r").retry_after is None


def test_the_status_carries_all_details() -> None:
    error = invalid([Violation("a.b", "is wrong"), Violation("c", "is long")])
    error.retry_after = 0.25
    status = status_of(error)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    info, bad, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    for detail, message in zip(status.details, (info, bad, retry), strict=True):
        assert detail.Unpack(message)
    assert (info.domain, info.reason) == (DOMAIN, "INVALID_REQUEST")
    assert [(v.field, v.description) for v in bad.field_violations] == [
        ("a.b", "is wrong"),
        ("c", "is long"),
    ]
    assert retry.retry_delay.ToTimedelta().total_seconds() == 0.25
