"""The statements that walk over rows in order; pure functions.

Every scope is an open range of places: all that lie behind the one bound and before the other. The
same statements serve all scopes, so that few are prepared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from memplane_adapters.contract import Cursor, Order, Scope
from memplane_adapters.kit.codec import after_prefix, encode_namespace
from memplane_adapters.postgres.rows import encode_place
from memplane_adapters.postgres.tables import HEAD_BYTES, Table

_END: Final = b"\xff"
"""Behind every place: no UTF-8 has this byte."""


class Arguments(list[object]):
    """The arguments of a statement, which names them as they are added."""

    def name(self, argument: object) -> str:
        self.append(argument)
        return f"${len(self)}"


Condition: TypeAlias = Callable[[Arguments], str]
"""A part of a statement that says whether a row is meant."""


def always(arguments: Arguments) -> str:  # noqa: ARG001 (it takes none)
    """Every row is."""
    return "true"


@dataclass(frozen=True, slots=True)
class Walk:
    """Rows of a table that a scope shows, in order, behind a cursor."""

    table: Table
    scope: Scope
    order: Order = Order.PLACE
    descending: bool = False
    few: bool = False
    """Whether to look at all rows of the scope and sort them, instead of walking down an index of
    the whole tenant until they have come."""
    max_revision: int = 2**63 - 1
    condition: Condition = always
    """What is true of all of them."""

    def statement(
        self, arguments: Arguments, columns: str, after: Cursor | None, limit: int
    ) -> str:
        """The columns, `value` and `place` of the next rows, in order."""
        part = _Part(self, arguments, columns, limit)
        lower, upper = bounds(self.scope)
        if after is None:
            return part.between(lower, upper)
        at = encode_place(after.namespace, after.key)
        if self.order is Order.PLACE:
            if self.descending:
                return part.between(lower, min(upper, at))
            return part.between(max(lower, at), upper)
        value = arguments.name(after.value)
        beyond = "<" if self.descending else ">"
        return _BOTH.format(
            ties=part.between(max(lower, at), upper, f"{self.value} = {value}"),
            rest=part.between(lower, upper, f"{self.value} {beyond} {value}"),
            order=self.in_order,
            limit=arguments.name(limit),
        )

    @property
    def value(self) -> str:
        """What the order goes by, beside the place."""
        return "0::bigint" if self.order is Order.PLACE else self.order.value

    @property
    def in_order(self) -> str:
        """The order of what `statement` gives."""
        return f"place {self.way}" if self.order is Order.PLACE else f"value {self.way}, place"

    @property
    def way(self) -> str:
        return "desc" if self.descending else "asc"


class _Part(NamedTuple):
    """One walk down an index; a page behind a cursor takes two of them in orders by time."""

    walk: Walk
    arguments: Arguments
    columns: str
    limit: int

    def between(self, lower: bytes, upper: bytes, condition: str = "true") -> str:
        """The rows between two places that meet a condition."""
        walk = self.walk
        head = walk.table.head
        inside = rows_inside(self.arguments, walk.table, walk.scope, lower, upper)
        inside += f" and revision <= {self.arguments.name(walk.max_revision)}"
        inside += f" and {walk.condition(self.arguments)}"
        source = walk.table.name
        if walk.few or walk.scope.expired:  # few have, and an index knows them
            source, inside = _FEW.format(source=source, inside=inside), "true"
        if walk.order is Order.PLACE:
            order = f"{head} {walk.way}, place {walk.way}"
        else:
            order = f"{walk.value} {walk.way}, {head}, place"
        return _ROWS.format(
            columns=self.columns,
            value=walk.value,
            source=source,
            inside=inside,
            condition=condition,
            order=order,
            limit=self.arguments.name(self.limit),
        )


def bounds(scope: Scope) -> tuple[bytes, bytes]:
    """What all places of a scope lie behind, and before."""
    prefix = encode_namespace(scope.namespace)
    if scope.exact:
        return prefix + b"\0", prefix + b"\1"
    return prefix, after_prefix(prefix) if prefix else _END


def rows_inside(
    arguments: Arguments, table: Table, scope: Scope, lower: bytes, upper: bytes
) -> str:
    """The condition for rows of a scope between two places that are there."""
    name, head = arguments.name, table.head
    there = "expire_time <= {}" if scope.expired else "(expire_time is null or expire_time > {})"
    return (
        f"tenant = {name(scope.tenant)} and kind = {name(scope.kind.value)}"
        f" and {head} >= {name(lower[:HEAD_BYTES])} and {head} <= {name(upper[:HEAD_BYTES])}"
        f" and place > {name(lower)} and place < {name(upper)}"
        f" and {there.format(name(scope.alive_at))}"
    )


_ROWS: Final = """
    select {columns}, {value} as value, place from {source}
    where {inside} and {condition} order by {order} limit {limit}
"""
_FEW: Final = "(select * from {source} where {inside} offset 0) as few"
_BOTH: Final = """
    select * from (({ties}) union all ({rest})) as parts order by {order} limit {limit}
"""
