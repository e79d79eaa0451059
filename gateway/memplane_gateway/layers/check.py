"""Refuse what a store has not declared, before anything reaches it. Always on.

To ignore an argument that a store cannot honour would give wrong rows or wrong writes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from memplane_adapters.contract import (
    Capabilities,
    ConditionalWrite,
    Order,
    Pushdown,
    Query,
    Scan,
    StoreError,
    StoreReason,
    conditions,
)
from memplane_gateway.layers.stacked import StoreCall

T = TypeVar("T")


class Check:
    """Holds each call against the store's capabilities."""

    async def __call__(self, call: StoreCall, proceed: Callable[[], Awaitable[T]]) -> T:
        """Let the call proceed if the store can honour all of it. Raises UNSUPPORTED."""
        lacking = _lacking(call)
        if lacking is not None:
            raise StoreError(
                StoreReason.UNSUPPORTED,
                f"{call.store} cannot {call.op} with {lacking}",
                metadata={"capability": lacking},
            )
        return await proceed()


def _lacking(call: StoreCall) -> str | None:
    able = call.capabilities
    if call.filter is not None:
        for condition in conditions(call.filter):
            if able.pushdown(condition.op) is Pushdown.NONE:
                return f"filter.{condition.op.value}"
    if isinstance(call.argument, Query):
        return _lacking_for_query(call.argument, able)
    if isinstance(call.argument, Scan):
        ordered = call.argument.order is not Order.PLACE
        return "ordered_scan" if ordered and not able.ordered_scan else None
    if call.conditional and able.conditional_write is ConditionalWrite.NONE:
        return "conditional_write"
    if call.op in ("put", "delete") and call.argument is True and not able.atomic:
        return "atomic"
    return None


def _lacking_for_query(query: Query, able: Capabilities) -> str | None:
    if query.vector is not None and not able.vector:
        return "vector"
    if query.terms and not able.keyword:
        return "keyword"
    if query.exact and not able.exact_search:
        return "exact_search"
    return None
