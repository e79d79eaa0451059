"""Stores with one fault each, for the proof that the harness would find it: the embedded one, broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from tests.conformance.residual.conftest import arrangement

from memplane_adapters.contract import (
    Address,
    Backend,
    Count,
    Entry,
    Filter,
    Order,
    Page,
    Point,
    Query,
    QueryResult,
    Scan,
    Scope,
    Stored,
    StoreError,
    StoreReason,
    Value,
    Write,
    WriteResult,
    WriteStatus,
)
from memplane_adapters.embedded.key_value_store import EmbeddedKeyValueStore
from memplane_adapters.embedded.vector_store import EmbeddedVectorStore
from memplane_gateway.config import Settings, StoreSettings

Fault: TypeAlias = type[EmbeddedVectorStore | EmbeddedKeyValueStore]


class DropsFilters(EmbeddedVectorStore):
    """Says that it evaluates filters, and does not when it searches."""

    async def query(self, query: Query) -> QueryResult:
        return await super().query(replace(query, filter=None))


class DistanceAsScore(EmbeddedVectorStore):
    """Takes the distance for the score."""

    async def query(self, query: Query) -> QueryResult:
        result = await super().query(query)
        if query.vector is None:
            return result
        hits = tuple(replace(hit, score=1.0 - hit.score) for hit in result.hits)
        return replace(result, hits=hits)


class ScoresALittleOff(EmbeddedVectorStore):
    """Rounds cosines as a store that keeps bytes for floats does."""

    async def query(self, query: Query) -> QueryResult:
        result = await super().query(query)
        if query.vector is None:
            return result
        hits = tuple(replace(hit, score=round(hit.score * 64) / 64) for hit in result.hits)
        return replace(result, hits=hits)


class LosesWords(EmbeddedVectorStore):
    """Keeps no words of a memory that has a vector, as if one search were enough."""

    async def upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:
        return await super().upsert(
            [
                replace(
                    write,
                    entry=replace(
                        write.entry,
                        terms=() if write.entry.vector is not None else write.entry.terms,
                    ),
                )
                for write in writes
            ]
        )


class ForgetsOrder(EmbeddedVectorStore):
    """Walks by place, whatever was asked."""

    async def scan(self, scan: Scan) -> Page:
        return await super().scan(replace(scan, order=Order.PLACE))


class Miscounts(EmbeddedVectorStore):
    """Counts what lies at a place twice when it is asked for that very place."""

    async def count(self, scope: Scope, filter: Filter | None = None) -> Count:
        counted = await super().count(scope, filter)
        return replace(counted, count=counted.count * 2) if scope.exact else counted


class PrefixOfText(EmbeddedVectorStore):
    """Counts below ["a"] what lies below ["ab"] too."""

    async def count(self, scope: Scope, filter: Filter | None = None) -> Count:
        if not scope.namespace or scope.exact:
            return await super().count(scope, filter)
        above = replace(scope, namespace=scope.namespace[:-1])
        if not above.namespace:
            return await super().count(scope, filter)
        page = await super().scan(Scan(scope=above, limit=10_000, filter=filter))
        last = scope.namespace[-1]
        found = sum(last in row.record.decode("utf-8", "replace") for row in page.rows)
        return Count(found, page.scanned)


class AnotherReason(EmbeddedVectorStore):
    """Refuses all keys but one, as if they were too large."""

    async def upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:
        results = await super().upsert(writes)
        error = StoreError(
            StoreReason.ITEM_TOO_LARGE,
            "odd key",
            metadata={"limit_bytes": "1", "actual_bytes": "2"},
        )
        return [
            WriteResult(WriteStatus.FAILED, error) if write.entry.address.key != "k" else result
            for write, result in zip(writes, results, strict=True)
        ]


class FloatsForIntegers(EmbeddedVectorStore):
    """Keeps the integers that filters see as 64-bit floats, and yet declares them exact."""

    async def upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:
        return await super().upsert(
            [
                replace(write, entry=replace(write.entry, fields=_as_floats(write.entry.fields)))
                for write in writes
            ]
        )


def _as_floats(given: Any) -> Any:
    if isinstance(given, Mapping):
        return {name: _as_floats(item) for name, item in given.items()}
    if isinstance(given, list):
        return [_as_floats(item) for item in given]
    whole: Value = given
    return float(given) if isinstance(given, int) and not isinstance(given, bool) else whole


FAULTS: Sequence[type[EmbeddedVectorStore]] = (
    DropsFilters,
    AnotherReason,
)
RARER_FAULTS: Sequence[type[EmbeddedVectorStore]] = (
    Miscounts,
    ForgetsOrder,
    LosesWords,
    DistanceAsScore,
    ScoresALittleOff,
    PrefixOfText,
    FloatsForIntegers,
)
"""Some hundreds of whole examples are needed to meet most of these."""


class FirstOfABatch(EmbeddedKeyValueStore):
    """Writes the first of an atomic batch, and says that it wrote all."""

    async def put(
        self, writes: Sequence[Write[Entry]], *, atomic: bool = False
    ) -> list[WriteResult]:
        if not atomic:
            return await super().put(writes)
        return await super().put(writes[:1], atomic=True) * len(writes)


class LosesARow(EmbeddedKeyValueStore):
    """Goes on behind the row that follows a page."""

    async def scan(self, scan: Scan) -> Page:
        page = await super().scan(replace(scan, limit=scan.limit + 1))
        return replace(page, rows=page.rows[: scan.limit])


class OrdersByPlace(EmbeddedKeyValueStore):
    """Walks by place, whatever was asked."""

    async def scan(self, scan: Scan) -> Page:
        return await super().scan(replace(scan, order=Order.PLACE))


class ReadsBehind(EmbeddedKeyValueStore):
    """Reads by ref what was there before the last write, as from a replica."""

    async def put(
        self, writes: Sequence[Write[Entry]], *, atomic: bool = False
    ) -> list[WriteResult]:
        addresses = [write.entry.address for write in writes]
        before = await super().get(addresses)
        results = await super().put(writes, atomic=atomic)
        self._before = dict(zip(addresses, before, strict=True))
        return results

    async def get(self, addresses: Sequence[Address]) -> list[Stored | None]:
        now = await super().get(addresses)
        before = getattr(self, "_before", {})
        return [before.get(address, stored) for address, stored in zip(addresses, now, strict=True)]


KEY_VALUE_FAULTS: Sequence[type[EmbeddedKeyValueStore]] = (OrdersByPlace,)
RARER_KEY_VALUE_FAULTS: Sequence[type[EmbeddedKeyValueStore]] = (
    ReadsBehind,
    LosesARow,
    FirstOfABatch,
)


def broken(fault: Fault) -> Callable[[Settings], Settings]:
    """What puts such a store in place of the embedded one."""

    class Broken(StoreSettings):
        def connect(self, data_dir: Path) -> Backend:
            made = super().connect(data_dir)
            assert isinstance(made.vector, EmbeddedVectorStore)
            database = made.vector._database
            if issubclass(fault, EmbeddedVectorStore):
                return replace(made, vector=fault(database))
            return replace(made, key_value=fault(database))

    return arrangement(Broken)
