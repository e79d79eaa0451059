"""Scopes and filters as filters of Weaviate; pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from memplane_adapters.contract import Filter, Scope
from memplane_adapters.kit import expressions, scopes
from memplane_adapters.kit.expressions import AllOf, Comparison, Expression, Has, Not, Range
from memplane_adapters.weaviate import ranges, rows
from memplane_adapters.weaviate.stubs import base_pb2

Selected = base_pb2.Filters
Own = Mapping[tuple[str, str], str]
"""The properties of single paths, by sort and path name."""

_COMPARED: Final[Mapping[Comparison, base_pb2.Filters.Operator]] = {
    "gt": Selected.OPERATOR_GREATER_THAN,
    "gte": Selected.OPERATOR_GREATER_THAN_EQUAL,
    "lt": Selected.OPERATOR_LESS_THAN,
    "lte": Selected.OPERATOR_LESS_THAN_EQUAL,
}
_ID: Final = "_id"


def select(scope: Scope, tree: Filter | None, own: Own) -> Selected | None:
    """The rows that a scope shows and that match; None when there are none for sure."""
    parts = [_is_any(rows.SCOPES, [scopes.scope_digest(scope)])]
    if tree is not None:
        expression = expressions.simplified(expressions.express(tree))
        if expression == expressions.NEVER:
            return None
        if expression != expressions.ALWAYS:
            parts.append(translate(expression, own))
    expired = compared(rows.EXPIRE_TIME, "lte", scope.alive_at)
    parts.append(expired if scope.expired else _not(expired))
    return both(*parts)


def translate(expression: Expression, own: Own) -> Selected:
    """A simplified expression, neither ALWAYS nor NEVER, as a filter."""
    if isinstance(expression, Has):
        return _is_any(rows.TOKENS, [rows.whole(token) for token in expression.tokens])
    if isinstance(expression, Range):
        return _in_range(expression, own)
    if isinstance(expression, Not):
        return _not(translate(expression.part, own))
    parts = [translate(part, own) for part in expression.parts]
    return both(*parts) if isinstance(expression, AllOf) else either(*parts)


def both(*parts: Selected) -> Selected:
    """What all of them select."""
    return Selected(operator=Selected.OPERATOR_AND, filters=parts)


def either(*parts: Selected) -> Selected:
    """What some of them selects."""
    return Selected(operator=Selected.OPERATOR_OR, filters=parts)


def of_ids(ids: Sequence[str]) -> Selected:
    """These rows."""
    return _is_any(_ID, ids)


def compared(name: str, comparison: Comparison, number: int) -> Selected:
    """Rows whose time compares so; as it is kept, a double's worth of it."""
    return Selected(
        operator=_COMPARED[comparison],
        target=base_pb2.FilterTarget(property=name),
        value_int=rounded(number),
    )


def is_time(name: str, number: int) -> Selected:
    """Rows of one time, as it is kept."""
    return Selected(
        operator=Selected.OPERATOR_EQUAL,
        target=base_pb2.FilterTarget(property=name),
        value_int=rounded(number),
    )


def rounded(number: int) -> int:
    """An integer as Weaviate keeps it, which takes doubles."""
    return min(max(int(float(number)), -(2**63)), 2**63 - 1024)


def text_compared(name: str, comparison: Comparison, text: str) -> Selected:
    """Rows whose hex digits compare so."""
    return Selected(
        operator=_COMPARED[comparison],
        target=base_pb2.FilterTarget(property=name),
        value_text=text,
    )


def _is_any(name: str, texts: Sequence[str]) -> Selected:
    target = base_pb2.FilterTarget(property=name)
    if len(texts) == 1:
        return Selected(operator=Selected.OPERATOR_EQUAL, target=target, value_text=texts[0])
    return Selected(
        operator=Selected.OPERATOR_CONTAINS_ANY,
        target=target,
        value_text_array=base_pb2.TextArray(values=texts),
    )


def _not(part: Selected) -> Selected:
    return Selected(operator=Selected.OPERATOR_NOT, filters=[part])


def _in_range(condition: Range, own: Own) -> Selected:
    called = own.get((condition.sort, condition.name))
    if called is None:
        return _is_any(rows.RANGES, [rows.whole(token) for token in ranges.wanted(condition)])
    return Selected(
        operator=_COMPARED[condition.comparison],
        target=base_pb2.FilterTarget(property=called),
        value_number=condition.bound,
    )
