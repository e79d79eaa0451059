"""Scopes and filters as filters of Qdrant; pure functions.

Numbers and instants stand in lists of {path, value}, one for all paths, and a nested condition finds
the value of a path. So two indexes serve every attribute that anybody will ever name, no condition
meets a field without an index (which a server in strict mode refuses), and no attribute's name has to
be written as a path of Qdrant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qdrant_client import models

from memplane_adapters.contract import Filter, Scope
from memplane_adapters.kit import expressions, scopes
from memplane_adapters.kit.expressions import AllOf, Expression, Has, Not, Range
from memplane_adapters.qdrant import rows

_FIELD: Final = {"number": rows.NUMBERS, "instant": rows.INSTANTS}

ROWS: Final = models.Filter(
    must_not=[models.IsEmptyCondition(is_empty=models.PayloadField(key=rows.TENANT))]
)
"""Every row of a collection, marks of deletes aside."""


def select(scope: Scope, tree: Filter | None) -> models.Filter | None:
    """The rows that a scope shows and that match; None when there are none for sure."""
    # What fewest rows have comes first: the engine in the process looks at one after the other.
    must: list[models.Condition] = [
        _is(rows.SCOPES, scopes.scope_digest(scope)),
        _is(rows.TENANT, scope.tenant),
    ]
    if tree is not None:
        expression = expressions.simplified(expressions.express(tree))
        if expression == expressions.NEVER:
            return None
        if expression != expressions.ALWAYS:
            must.append(translate(expression))
    expired = models.FieldCondition(
        key=rows.EXPIRE_TIME, range=models.Range(lte=float(scope.alive_at))
    )
    if scope.expired:
        return models.Filter(must=[*must, expired])
    return models.Filter(must=must, must_not=[expired])


def of_tenant(tenant: str) -> models.Filter:
    """All rows of a tenant."""
    return models.Filter(must=[_is(rows.TENANT, tenant)])


def translate(expression: Expression) -> models.Condition:
    """A simplified expression, neither ALWAYS nor NEVER, as a condition."""
    if isinstance(expression, Has):
        return _is_any(rows.TOKENS, expression.tokens)
    if isinstance(expression, Range):
        return _in_range(expression)
    if isinstance(expression, Not):
        return models.Filter(must_not=[translate(expression.part)])
    # Without parts both would hold for every row, OneOf too.
    assert expression.parts, "an expression is simplified before it is translated"
    parts = [translate(part) for part in expression.parts]
    return (
        models.Filter(must=parts) if isinstance(expression, AllOf) else models.Filter(should=parts)
    )


def of_ids(ids: Sequence[str]) -> models.Condition:
    """These points."""
    return models.HasIdCondition(has_id=list(ids))


def of_writes(writes: Sequence[str]) -> models.Condition:
    """Points as one of these writes has made them; each is known from one point only."""
    return _is_any(rows.WRITE, writes)


def between(key: str, low: int | None, high: int | None) -> models.Condition:
    """Rows whose time is at least the first bound and below the second."""
    return models.FieldCondition(
        key=key,
        range=models.Range(
            gte=None if low is None else float(low), lt=None if high is None else float(high)
        ),
    )


def both(selected: models.Filter, further: models.Condition) -> models.Filter:
    """A selection narrowed down."""
    must = selected.must
    assert isinstance(must, list)
    return models.Filter(must=[further, *must], must_not=selected.must_not)


def _is(key: str, text: str) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=text))


def _is_any(key: str, texts: Sequence[str]) -> models.FieldCondition:
    if len(texts) == 1:
        return _is(key, texts[0])
    return models.FieldCondition(key=key, match=models.MatchAny(any=list(texts)))


def _in_range(expression: Range) -> models.NestedCondition:
    compared = models.FieldCondition(
        key="value", range=models.Range(**{expression.comparison: expression.bound})
    )
    return models.NestedCondition(
        nested=models.Nested(
            key=_FIELD[expression.sort],
            filter=models.Filter(must=[_is("path", expression.name), compared]),
        )
    )
