"""Each "no" among the capabilities is a no: the store refuses, instead of answering wrongly."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from memplane_adapters.conformance.stores.fixtures import KeyValues, Points, Subject, vector
from memplane_adapters.contract import (
    Condition,
    Delete,
    Op,
    Order,
    Pushdown,
    Query,
    StoreError,
    StoreReason,
    Value,
    WriteStatus,
)

_OPERANDS: dict[Op, Value] = {
    Op.IN: ["x"],
    Op.NOT_IN: ["x"],
    Op.CONTAINS_ANY: ["x"],
    Op.CONTAINS_ALL: ["x"],
    Op.EXISTS: None,
    Op.IS_NULL: None,
    Op.GT: 1,
    Op.GTE: 1,
    Op.LT: 1,
    Op.LTE: 1,
}


async def _refused(call: Awaitable[object]) -> None:
    with pytest.raises(StoreError) as refusal:
        await call
    assert refusal.value.reason is StoreReason.UNSUPPORTED
    assert not refusal.value.retryable


@pytest.mark.asyncio
async def test_without_vector_queries_are_refused(points: Points) -> None:
    points.lacks("vector")
    await _refused(points.store.query(Query(scope=points.scope(), vector=vector(1.0))))


@pytest.mark.asyncio
async def test_without_keyword_terms_are_refused(points: Points) -> None:
    points.lacks("keyword")
    await _refused(points.store.query(Query(scope=points.scope(), terms=("tea",))))


@pytest.mark.asyncio
async def test_vector_and_terms_together_are_refused(points: Points) -> None:
    """HYBRID is two queries, which the gateway fuses."""
    await _refused(
        points.store.query(Query(scope=points.scope(), vector=vector(1.0), terms=("tea",)))
    )


@pytest.mark.asyncio
async def test_without_exact_search_exact_is_refused(points: Points) -> None:
    points.needs("vector")
    points.lacks("exact_search")
    await _refused(points.store.query(Query(scope=points.scope(), vector=vector(1.0), exact=True)))


@pytest.mark.asyncio
async def test_without_vectorless_a_point_without_vector_is_refused(points: Points) -> None:
    points.lacks("vectorless")
    (result,) = await points.try_write([points.point("k", vectorless=True)])
    assert result.status is WriteStatus.FAILED
    assert result.error is not None
    assert result.error.reason is StoreReason.UNSUPPORTED


@pytest.mark.parametrize("order", [Order.TIME, Order.UPDATE_TIME])
@pytest.mark.asyncio
async def test_without_ordered_scan_orders_by_time_are_refused(
    subject: Subject, order: Order
) -> None:
    subject.lacks("ordered_scan")
    await _refused(subject.page(order=order))


@pytest.mark.asyncio
async def test_without_conditional_write_expected_is_refused(subject: Subject) -> None:
    subject.lacks("conditional_write")
    await _refused(subject.try_write([subject.entry("k")], expected=0))
    await _refused(subject.store.delete([Delete(subject.address("k"), expected=1)]))


@pytest.mark.asyncio
async def test_without_atomic_an_atomic_batch_is_refused(key_values: KeyValues) -> None:
    key_values.lacks("atomic")
    await _refused(key_values.try_write([key_values.entry("k")], atomic=True))
    await _refused(key_values.store.delete([Delete(key_values.address("k"))], atomic=True))


@pytest.mark.parametrize("op", Op)
@pytest.mark.asyncio
async def test_an_operator_that_is_not_declared_is_refused(subject: Subject, op: Op) -> None:
    if subject.capabilities.pushdown(op) is not Pushdown.NONE:
        pytest.skip(f"the store declares {op.value}")
    tree = Condition(("n",), op, _OPERANDS.get(op, "x"))
    await _refused(subject.page(filter=tree))
    await _refused(subject.store.count(subject.scope(), tree))
    await _refused(subject.store.delete_where(subject.scope(), tree, max_revision=1))
    if isinstance(subject, Points):
        await _refused(
            subject.store.query(Query(scope=subject.scope(), vector=vector(1.0), filter=tree))
        )
