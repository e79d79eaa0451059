"""Walks over rows in order, counts, and what delete_where is to delete."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from memplane_adapters.contract import (
    Count,
    Cursor,
    Order,
    Page,
    Predicate,
    Scan,
    Scope,
)
from memplane_adapters.embedded.rows import Partition, load_fields, load_in_order, partition_of
from memplane_adapters.kit.codec import after_prefix, decode_namespace, encode_namespace

_CHUNK = 256
_FEW = 1_000
"""Up to so many rows under a prefix, sorting them beats walking the whole partition in order."""


class Position(NamedTuple):
    """Where a walk stands."""

    id: int
    value: int
    namespace: bytes
    key: str


class Condition(NamedTuple):
    """A part of a statement, with its arguments."""

    sql: str
    arguments: tuple[object, ...]


def namespaces(scope: Scope) -> tuple[bytes, bytes] | None:
    """The range of namespaces that a scope covers, from and until; None is all."""
    prefix = encode_namespace(scope.namespace)
    if scope.exact:
        return prefix, prefix + b"\0"  # nothing lies between: no label is empty
    return (prefix, after_prefix(prefix)) if prefix else None


def inside(scope: Scope, *, lower: str = "namespace", upper: str = "namespace") -> Condition:
    """The rows of a partition that lie in a scope and are there.

    A bound on "+namespace" is not used to seek in an index: a cursor gives a better one.
    """
    there = "expire_time <= ?" if scope.expired else "(expire_time is null or expire_time > ?)"
    alive = Condition(there, (scope.alive_at,))
    between = namespaces(scope)
    if between is None:
        return alive
    return Condition(
        f"{lower} >= ? and {upper} < ? and {alive.sql}",
        between + alive.arguments,
    )


def scan_page(connection: sqlite3.Connection, scan: Scan, predicate: Predicate | None) -> Page:
    """One page of a walk."""
    partition = partition_of(connection, scan.scope.tenant, scan.scope.kind)
    if partition is None:
        return Page((), None, 0)
    positions = walk(
        connection, partition, scan.scope, scan.order, after=scan.after, descending=scan.descending
    )
    found: list[Position] = []
    last, scanned = None, 0
    judged = _judged(connection, positions, predicate, min(scan.limit, scan.budget))
    for position, matches in itertools.islice(judged, scan.budget):
        last, scanned = position, scanned + 1
        if matches:
            found.append(position)
            if len(found) == scan.limit:
                break
    rows = load_in_order(
        connection,
        [position.id for position in found],
        vectors=scan.vectors,
        max_bytes=scan.max_bytes,
    )
    if len(rows) < len(found):
        return Page(tuple(rows), _cursor(found[len(rows) - 1]), scanned)
    more = last is not None and next(judged, None) is not None
    return Page(tuple(rows), _cursor(last) if last is not None and more else None, scanned)


def _cursor(position: Position) -> Cursor:
    return Cursor(position.value, decode_namespace(position.namespace), position.key)


def count_rows(connection: sqlite3.Connection, scope: Scope, predicate: Predicate | None) -> Count:
    """How many rows of a scope match."""
    partition = partition_of(connection, scope.tenant, scope.kind)
    if partition is None:
        return Count(0, 0)
    if predicate is None:
        rows = _count_all(connection, partition, scope)
        return Count(rows, rows)
    positions = walk(connection, partition, scope, Order.PLACE)
    scanned = count = 0
    for _, matches in _judged(connection, positions, predicate, _CHUNK):
        scanned += 1
        count += matches
    return Count(count, scanned)


@dataclass(frozen=True, slots=True)
class Purge:
    """What is to be deleted."""

    partition: Partition
    scope: Scope
    predicate: Predicate | None
    max_revision: int

    def find(
        self, connection: sqlite3.Connection, after: Cursor | None, limit: int
    ) -> tuple[list[tuple[int, int]], Cursor | None]:
        """Id and revision of those among the next `limit` rows, and where to go on."""
        positions = walk(connection, self.partition, self.scope, Order.PLACE, after=after)
        chunk = list(itertools.islice(positions, limit))
        found = load_fields(connection, [position.id for position in chunk])
        old = [
            (row_id, revision)
            for row_id, (revision, fields) in found.items()
            if revision <= self.max_revision and (self.predicate is None or self.predicate(fields))
        ]
        if len(chunk) < limit:
            return old, None
        return old, Cursor(0, decode_namespace(chunk[-1].namespace), chunk[-1].key)


def walk(
    connection: sqlite3.Connection,
    partition: Partition,
    scope: Scope,
    order: Order,
    *,
    after: Cursor | None = None,
    descending: bool = False,
) -> Iterator[Position]:
    """Rows that a scope shows, in order, behind a cursor."""
    if order is Order.PLACE:
        statements = [_by_place(scope, after, descending=descending)]
    else:
        statements = _by_value(
            connection, partition, scope, order, after=after, descending=descending
        )
    for statement in statements:
        yield from map(
            Position._make, connection.execute(statement.sql, (partition.id, *statement.arguments))
        )


def _by_place(scope: Scope, after: Cursor | None, *, descending: bool) -> Condition:
    way = "desc" if descending else "asc"
    conditions = [inside(scope)]
    if after is not None and descending:
        conditions = [_beyond(after, "<"), inside(scope, upper="+namespace")]
    elif after is not None:
        conditions = [_beyond(after, ">"), inside(scope, lower="+namespace")]
    # Few have expired: they are found by that, and then sorted.
    index = "memory_expire_time" if scope.expired else "memory_place"
    return _select("0", index, conditions, f"namespace {way}, key {way}")


def _beyond(after: Cursor, beyond: str) -> Condition:
    return Condition(
        f"(namespace, key) {beyond} (?, ?)",
        (encode_namespace(after.namespace), after.key),
    )


def _by_value(
    connection: sqlite3.Connection,
    partition: Partition,
    scope: Scope,
    order: Order,
    *,
    after: Cursor | None,
    descending: bool,
) -> list[Condition]:
    column = order.value
    way, beyond = ("desc", "<") if descending else ("asc", ">")
    index = f"memory_{column}"
    if scope.namespace and _has_few(connection, partition, scope):
        index = "memory_place"
    in_order = f"{column} {way}, namespace asc, key asc"
    if after is None:
        return [_select(column, index, [inside(scope)], in_order)]
    ties = [
        Condition(f"{column} = ?", (after.value,)),
        _beyond(after, ">"),
        inside(scope, lower="+namespace"),
    ]
    rest = [Condition(f"{column} {beyond} ?", (after.value,)), inside(scope)]
    return [
        _select(column, index, ties, "namespace asc, key asc"),
        _select(column, index, rest, in_order),
    ]


def _select(column: str, index: str, conditions: list[Condition], order: str) -> Condition:
    where = " and ".join(condition.sql for condition in conditions)
    sql = _WALK.format(column=column, index=index, where=where, order=order)
    return Condition(sql, tuple(itertools.chain(*(part.arguments for part in conditions))))


def _has_few(connection: sqlite3.Connection, partition: Partition, scope: Scope) -> bool:
    (number,) = connection.execute(
        "select count(*) from (select 1 from memory indexed by memory_place "
        "where partition = ? and namespace >= ? and namespace < ? limit ?)",
        (partition.id, *(namespaces(scope) or ()), _FEW + 1),
    ).fetchone()
    return bool(number <= _FEW)


def _count_all(connection: sqlite3.Connection, partition: Partition, scope: Scope) -> int:
    """All rows minus the expired ones, or these alone, read off an index."""
    between = namespaces(scope)
    where, arguments = "", ()  # type: tuple[str, tuple[object, ...]]
    if between is not None:
        where, arguments = "and namespace >= ? and namespace < ?", between
    (expired,) = connection.execute(
        _COUNT_EXPIRED.format(where), (partition.id, scope.alive_at, *arguments)
    ).fetchone()
    if scope.expired:
        return int(expired)
    (rows,) = connection.execute(_COUNT.format(where), (partition.id, *arguments)).fetchone()
    return int(rows - expired)


def _judged(
    connection: sqlite3.Connection,
    positions: Iterator[Position],
    predicate: Predicate | None,
    first: int,
) -> Iterator[tuple[Position, bool]]:
    """Positions with whether they match; fields are read in growing chunks."""
    if predicate is None:
        yield from ((position, True) for position in positions)
        return
    size = min(first, _CHUNK)
    while chunk := list(itertools.islice(positions, size)):
        fields = load_fields(connection, [position.id for position in chunk])
        for position in chunk:
            yield position, predicate(fields[position.id][1])
        size = min(size * 2, _CHUNK)


_WALK = """
    select id, {column}, namespace, key from memory indexed by {index}
    where partition = ? and {where} order by {order}
"""
_COUNT = """
    select count(*) from memory indexed by memory_place where partition = ? {}
"""
_COUNT_EXPIRED = """
    select count(*) from memory indexed by memory_expire_time
    where partition = ? and expire_time <= ? {}
"""
