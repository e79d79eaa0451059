"""Layers: what a store has not declared never reaches it; time is bounded; failures pass through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import numpy as np
import pytest

from memplane_adapters.contract import (
    Capabilities,
    Condition,
    ConditionalWrite,
    Kind,
    Op,
    Order,
    Pushdown,
    Query,
    Scan,
    Scope,
    StoreError,
    StoreReason,
    WriteResult,
    WriteStatus,
)
from memplane_gateway.deadline import set_deadline, set_overtime
from memplane_gateway.errors import from_store
from memplane_gateway.layers import Layer, StoreCall, make_layers
from memplane_gateway.layers.ambiguity import Ambiguity
from memplane_gateway.layers.check import Check
from memplane_gateway.layers.timeout import Timeout

T = TypeVar("T")

SCOPE = Scope(tenant="t", kind=Kind.SEMANTIC, alive_at=0)
VECTOR = np.array([1.0], dtype=np.float32)
EQ = Condition(("a",), Op.EQ, 1)


async def _reached() -> str:
    return "reached"


async def _refused(call: StoreCall) -> str:
    with pytest.raises(StoreError) as caught:
        await Check()(call, _reached)
    assert caught.value.reason is StoreReason.UNSUPPORTED
    return caught.value.metadata["capability"]


@pytest.mark.parametrize(
    ("op", "argument", "lacking", "enough"),
    [
        (
            "query",
            Query(scope=SCOPE, vector=VECTOR),
            "vector",
            Capabilities(vector=True),
        ),
        (
            "query",
            Query(scope=SCOPE, terms=("a",)),
            "keyword",
            Capabilities(keyword=True),
        ),
        (
            "query",
            Query(scope=SCOPE, vector=VECTOR, exact=True),
            "exact_search",
            Capabilities(vector=True, exact_search=True),
        ),
        (
            "scan",
            Scan(scope=SCOPE, order=Order.TIME),
            "ordered_scan",
            Capabilities(ordered_scan=True),
        ),
        ("put", True, "atomic", Capabilities(atomic=True)),
        ("delete", True, "atomic", Capabilities(atomic=True)),
    ],
)
async def test_what_is_not_declared_is_refused(
    op: str, argument: object, lacking: str, enough: Capabilities
) -> None:
    without = Capabilities(vector=lacking == "exact_search")
    assert await _refused(StoreCall("s", op, without, argument)) == lacking
    assert await Check()(StoreCall("s", op, enough, argument), _reached) == "reached"


async def test_a_filter_operator_that_is_not_declared_is_refused() -> None:
    call = StoreCall("s", "count", Capabilities(), filter=EQ)
    assert await _refused(call) == "filter.eq"
    able = Capabilities(filters={Op.EQ: Pushdown.SUPERSET})
    assert await Check()(StoreCall("s", "count", able, filter=EQ), _reached) == "reached"


async def test_a_revision_that_is_expected_needs_a_store_that_compares() -> None:
    call = StoreCall("s", "delete", Capabilities(), writes=True, conditional=True)
    assert await _refused(call) == "conditional_write"
    able = Capabilities(conditional_write=ConditionalWrite.NATIVE)
    compares = StoreCall("s", "delete", able, writes=True, conditional=True)
    assert await Check()(compares, _reached) == "reached"
    whatever = StoreCall("s", "delete", Capabilities(), writes=True)
    assert await Check()(whatever, _reached) == "reached"


@pytest.mark.parametrize("writes", [True, False])
async def test_time_is_bounded_and_a_write_is_ambiguous(writes: bool) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    set_deadline(0.01)
    with pytest.raises(StoreError) as caught:
        await _through(make_layers(), StoreCall("s", "put", Capabilities(), writes=writes), never)
    assert caught.value.reason is StoreReason.TIMEOUT
    assert caught.value.metadata == ({"ambiguous": "true"} if writes else {})


async def test_a_write_with_overtime_ends_behind_the_deadline() -> None:
    set_deadline(0)
    set_overtime(30)
    call = StoreCall("s", "put", Capabilities(), writes=True)

    async def slow() -> str:
        await asyncio.sleep(0.01)
        return "written"

    assert await Timeout()(call, slow) == "written"


@pytest.mark.parametrize("reason", StoreReason)
@pytest.mark.parametrize("writes", [True, False])
async def test_only_a_write_that_may_have_happened_is_ambiguous(
    reason: StoreReason, writes: bool
) -> None:
    unknown = {StoreReason.TIMEOUT, StoreReason.INTERRUPTED, StoreReason.PROTOCOL}
    expected = {"ambiguous": "true"} if writes and reason in unknown else {}

    async def raises() -> None:
        raise StoreError(reason, "down")

    async def answers() -> list[WriteResult]:
        error = StoreError(reason, "one item")
        return [WriteResult(WriteStatus.APPLIED), WriteResult(WriteStatus.FAILED, error)]

    call = StoreCall("s", "upsert", Capabilities(), writes=writes)
    with pytest.raises(StoreError) as caught:
        await Ambiguity()(call, raises)
    assert caught.value.metadata == expected
    _, failed = await Ambiguity()(call, answers)
    assert failed.error is not None
    assert failed.error.metadata == expected
    said = from_store(failed.error, "semantic")
    assert ("may have taken effect" in said.message) is bool(expected)


async def test_a_failure_passes_all_layers_as_it_is() -> None:
    error = StoreError(StoreReason.EXHAUSTED, "full")

    async def fail() -> None:
        raise error

    call = StoreCall("s", "ping", Capabilities())
    with pytest.raises(StoreError) as caught:
        await _through(make_layers(), call, fail)
    assert caught.value is error


async def _through(layers: Sequence[Layer], call: StoreCall, run: Callable[[], Awaitable[T]]) -> T:
    for layer in reversed(layers):
        run = _around(layer, call, run)
    return await run()


def _around(
    layer: Layer, call: StoreCall, run: Callable[[], Awaitable[T]]
) -> Callable[[], Awaitable[T]]:
    return lambda: layer(call, run)
