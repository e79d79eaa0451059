"""Scopes and filters as Pinecone's metadata filters, and the same judged on a row; pure functions.

A row carries a list of tokens: those of its fields (`kit.typed`), and for its scopes one for every
prefix of the namespace and one for the very namespace (the tenant is Pinecone's own namespace). Every
row has that list, so that nothing rests on what Pinecone does with a field that is missing; and what
it gives back is judged again here, so that nothing rests on how $nin looks at lists. What it must not
do, and does not, is to leave rows out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from memplane_adapters.contract import Filter, Point, Scope
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
from memplane_adapters.pinecone.errors import unsupported

Where: TypeAlias = dict[str, Any]
Family: TypeAlias = Literal["row", "vector"]
Metadata: TypeAlias = Mapping[str, Any]

TOKENS: Final = "tokens"
EXPIRE_TIME: Final = "expire_time"
BARE: Final = "bare"
"""Whether the row has no vector of its own."""

NEVER_EXPIRES: Final = 1e300
"""What stands for a missing time of expiry, so that one comparison finds what is alive."""
_MOST_TOKENS: Final = 10_000
"""What $in takes; more would also be more than a request holds."""


def number_key(sort: str, name: str) -> str:
    """The metadata key of a number or an instant."""
    return f"{sort}:{name}"


def scope_tokens(point: Point) -> list[str]:
    """The tokens by which a row is found."""
    address = point.address
    return [_scope_token(digest) for digest in (*prefix_digests(address), exact_digest(address))]


def _scope_token(digest: str) -> str:
    # None of the marks that every token of a field has stands in it.
    return f"in.{digest}"


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
        if sum(1 for _ in tokens_of(expression)) > _MOST_TOKENS:
            raise unsupported(f"a filter looks for more than {_MOST_TOKENS} values")
        return cls(scope, family, expression)

    @property
    def empty(self) -> bool:
        """Whether no row can match."""
        return self.expression == NEVER

    def where(self, *more: Where) -> Where:
        """As Pinecone takes it, with further conditions; the selection is not empty."""
        beyond = "$lte" if self.scope.expired else "$gt"
        parts = [
            {TOKENS: {"$in": [_scope_token(scope_digest(self.scope))]}},
            {EXPIRE_TIME: {beyond: self.scope.alive_at}},
            *more,
        ]
        if self.family == "vector":
            parts.append({BARE: {"$eq": False}})
        if self.expression != ALWAYS:
            parts.append(where(self.expression))
        return {"$and": parts}

    def matches(self, metadata: Metadata) -> bool:
        """Whether a row that was read belongs to it; as `where`."""
        held = frozenset(metadata[TOKENS])
        if _scope_token(scope_digest(self.scope)) not in held:
            return False
        if self.family == "vector" and metadata[BARE]:
            return False
        expire_time = metadata[EXPIRE_TIME]
        if not self.scope.shows(None if expire_time == NEVER_EXPIRES else int(expire_time)):
            return False
        return judged(
            self.expression, held, lambda bound: metadata.get(number_key(bound.sort, bound.name))
        )


def where(expression: Expression) -> Where:
    """An expression that is simplified, neither ALWAYS nor NEVER, and negates tokens only."""
    if isinstance(expression, Has):
        return {TOKENS: {"$in": list(expression.tokens)}}
    if isinstance(expression, Not):
        assert isinstance(expression.part, Has)
        return {TOKENS: {"$nin": list(expression.part.tokens)}}
    if isinstance(expression, Range):
        bound = {f"${expression.comparison}": expression.bound}
        return {number_key(expression.sort, expression.name): bound}
    joint = "$and" if isinstance(expression, AllOf) else "$or"
    return {joint: [where(part) for part in expression.parts]}
