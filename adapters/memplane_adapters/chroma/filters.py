"""Scopes and filters as Chroma's `where`, and the same judged on a row; pure functions.

A row carries a list of tokens: those of its fields (`kit.typed`), and for its scopes one token each
for the tenant, every prefix of the namespace and the very namespace. Rows that can expire carry
other scope tokens than rows that cannot, so that only the few which can are compared with the
clock; and rows with a vector carry a second set, which is what queries ask for.

`upsert` merges metadata, so a number's key may outlive the number. A range therefore also wants the
token that says there is a number at the path: tokens are replaced as a whole, old keys never match.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from memplane_adapters.chroma.errors import unsupported
from memplane_adapters.contract import Filter, Point, Scope
from memplane_adapters.kit import typed
from memplane_adapters.kit.expressions import (
    ALWAYS,
    NEVER,
    AllOf,
    Expression,
    Has,
    Not,
    Range,
    express,
    judged,
    negations_at_tokens,
    simplified,
    tokens_of,
)
from memplane_adapters.kit.scopes import exact_digest, prefix_digests, scope_digest

Where: TypeAlias = dict[str, Any]
Family: TypeAlias = Literal["row", "vector"]
Metadata: TypeAlias = Mapping[str, Any]

TOKENS: Final = "tokens"
EXPIRE_TIME: Final = "expire_time"

_MOST_TOKENS: Final = 10_000
"""SQLite takes 32,766 variables in a statement; a token needs two."""
_GROUP: Final = 100
"""Tokens in one $or: SQLite takes expressions that are 1,000 deep, and chains are as deep as long."""


def number_key(sort: str, name: str) -> str:
    """The metadata key of a number or an instant."""
    return f"{sort}:{name}"


def scope_tokens(point: Point) -> list[str]:
    """The tokens by which a row is found."""
    address = point.address
    digests = [*prefix_digests(address), exact_digest(address)]
    families: list[Family] = ["row"] if point.vector is None else ["row", "vector"]
    expires = point.expire_time is not None
    return [
        _scope_token(family, digest, expires=expires) for family in families for digest in digests
    ]


def _scope_token(family: Family, digest: str, *, expires: bool) -> str:
    # None of the marks that every token of a field has stands in it.
    return f"{family}.{'until' if expires else 'ever'}.{digest}"


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows that a call is about: of a scope, there, with a vector or not, and matching."""

    scope: Scope
    family: Family = "row"
    expression: Expression = ALWAYS

    @classmethod
    def of(cls, scope: Scope, filter: Filter | None, family: Family = "row") -> Selection:
        """The selection of a call. Raises UNSUPPORTED for a filter that is not taken."""
        if filter is None:
            return cls(scope, family)
        expression = simplified(negations_at_tokens(express(filter)))
        if (
            sum(1 for _ in tokens_of(expression, lambda bound: [_number_token(bound)]))
            > _MOST_TOKENS
        ):
            raise unsupported(f"a filter looks for more than {_MOST_TOKENS} values")
        return cls(scope, family, expression)

    @property
    def empty(self) -> bool:
        """Whether no row can match."""
        return self.expression == NEVER

    def where(self, *more: Where) -> Where:
        """As Chroma takes it, with further conditions; the selection is not empty."""
        parts = [self._scoped(), *more]
        if self.expression != ALWAYS:
            parts.append(where(self.expression))
        return _joined("$and", parts)

    def _scoped(self) -> Where:
        digest = scope_digest(self.scope)
        beyond = "$lte" if self.scope.expired else "$gt"
        alive = _joined(
            "$and",
            [
                _holds(_scope_token(self.family, digest, expires=True)),
                {EXPIRE_TIME: {beyond: self.scope.alive_at}},
            ],
        )
        if self.scope.expired:
            return alive
        return _joined("$or", [_holds(_scope_token(self.family, digest, expires=False)), alive])

    def matches(self, metadata: Metadata) -> bool:
        """Whether a row that was read belongs to it; as `where`."""
        held = frozenset(metadata[TOKENS])
        digest = scope_digest(self.scope)
        if _scope_token(self.family, digest, expires=True) in held:
            there = self.scope.shows(int(metadata[EXPIRE_TIME]))
        else:
            ever = _scope_token(self.family, digest, expires=False) in held
            there = ever and self.scope.shows(None)

        def value_of(bound: Range) -> float | None:
            if _number_token(bound) not in held:
                return None
            value: float = metadata[number_key(bound.sort, bound.name)]
            return value

        return there and judged(self.expression, held, value_of)


def where(expression: Expression) -> Where:
    """An expression that is simplified, neither ALWAYS nor NEVER, and negates tokens only."""
    if isinstance(expression, Has):
        return _grouped("$or", [_holds(token) for token in expression.tokens])
    if isinstance(expression, Not):
        assert isinstance(expression.part, Has)
        return _grouped("$and", [_lacks(token) for token in expression.part.tokens])
    if isinstance(expression, Range):
        bound = {number_key(expression.sort, expression.name): _compared(expression)}
        return _joined("$and", [_holds(_number_token(expression)), bound])
    joint = "$and" if isinstance(expression, AllOf) else "$or"
    return _grouped(joint, [where(part) for part in expression.parts])


_SORTS: Final = {"number": typed.NUMBER, "instant": typed.INSTANT}


def _number_token(condition: Range) -> str:
    return typed.has_type(condition.path, _SORTS[condition.sort])


def _compared(condition: Range) -> Where:
    return {f"${condition.comparison}": condition.bound}


def _holds(token: str) -> Where:
    return {TOKENS: {"$contains": token}}


def _lacks(token: str) -> Where:
    return {TOKENS: {"$not_contains": token}}


def _joined(joint: str, parts: Sequence[Where]) -> Where:
    """Chroma refuses $and and $or of a single part."""
    return parts[0] if len(parts) == 1 else {joint: list(parts)}


def _grouped(joint: str, parts: Sequence[Where]) -> Where:
    """Parts joined, in groups of groups where they are many."""
    while len(parts) > _GROUP:
        starts = range(0, len(parts), _GROUP)
        parts = [_joined(joint, parts[start : start + _GROUP]) for start in starts]
    return _joined(joint, parts)
