"""Layers: what a store has not declared never reaches it; time is bounded; failures pass through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from memplane_adapters.contract import (
    Capabilities,
    Condition,
    Kind,
    Op,
    Order,
    Pushdown,
    Query,
    Scan,
    Scope,
    StoreError,
    StoreReason,
)
from memplane_gateway.deadline import set_deadline
from memplane_gateway.layers import LAYERS, StoreCall
from memplane_gateway.layers.check import Check
from memplane_gateway.layers.observe import Observe
from memplane_gateway.layers.timeout import Timeout

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


@pytest.mark.parametrize("writes", [True, False])
async def test_time_is_bounded_and_a_write_is_ambiguous(writes: bool) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    set_deadline(0.01)
    with pytest.raises(StoreError) as caught:
        await Timeout()(StoreCall("s", "put", Capabilities(), writes=writes), never)
    assert caught.value.reason is StoreReason.TIMEOUT
    assert caught.value.metadata == ({"ambiguous": "true"} if writes else {})


async def test_a_failure_passes_all_layers_as_it_is() -> None:
    error = StoreError(StoreReason.EXHAUSTED, "full")

    async def fail() -> None:
        raise error

    call = StoreCall("s", "ping", Capabilities())
    run: Callable[[], Awaitable[None]] = fail
    for layer in reversed(LAYERS):
        run = _around(layer, call, run)
    with pytest.raises(StoreError) as caught:
        await run()
    assert caught.value is error


def _around(
    layer: Observe | Check | Timeout | object, call: StoreCall, run: Callable[[], Awaitable[None]]
) -> Callable[[], Awaitable[None]]:
    assert isinstance(layer, Observe | Check | Timeout)
    return lambda: layer(call, run)
