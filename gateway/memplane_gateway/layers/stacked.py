"""Stores with layers around each call. A layer sees every call of a store and lets it proceed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from memplane_adapters.contract import (
    Address,
    Capabilities,
    Collection,
    Count,
    Delete,
    Entry,
    Eventual,
    Filter,
    KeyValueStore,
    Kind,
    Page,
    Point,
    Query,
    QueryResult,
    Reached,
    Scan,
    Scope,
    Stats,
    Store,
    Stored,
    VectorStore,
    Write,
    WriteResult,
    reached_of,
)
from memplane_gateway.layers import batches

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoreCall:
    """One call of a store, as layers see it."""

    store: str
    op: str
    capabilities: Capabilities
    argument: object = None
    filter: Filter | None = None
    items: int = 0
    writes: bool = False
    conditional: bool = False
    """Whether an item of it expects a revision."""


class Layer(Protocol):
    """Something around every call of a store."""

    async def __call__(self, call: StoreCall, proceed: Callable[[], Awaitable[T]]) -> T:
        """Let the call proceed, or raise StoreError."""
        ...


class _Stacked:
    """What both kinds of store share."""

    def __init__(self, name: str, store: Store, layers: Sequence[Layer]) -> None:
        self._name = name
        self._inner = store
        self._layers = tuple(reversed(layers))
        # Asked once, and only where it can be: to look through a protocol's members takes its time.
        lags = not store.capabilities.read_your_writes
        self._eventual = store if lags and isinstance(store, Eventual) else None

    @property
    def capabilities(self) -> Capabilities:
        """The store's own."""
        return self._inner.capabilities

    async def open(self) -> None:
        """Connect."""
        await self._call("open", self._inner.open)

    async def close(self) -> None:
        """Let go; no layer may hinder that."""
        await self._inner.close()

    async def ping(self) -> Reached:
        """Prove that the store answers; says what a write survives."""
        return reached_of(await self._call("ping", self._inner.ping))

    def token(self, kind: Kind, tenant: str) -> str:
        """See Eventual; empty where the store is none."""
        return "" if self._eventual is None else self._eventual.token(kind, tenant)

    def reach(self, token: str) -> None:
        """See Eventual."""
        if self._eventual is not None:
            self._eventual.reach(token)

    async def scan(self, scan: Scan) -> Page:
        """Walk over rows in order."""
        return await self._call(
            "scan", lambda: self._inner.scan(scan), argument=scan, filter=scan.filter
        )

    async def count(self, scope: Scope, filter: Filter | None = None) -> Count:
        """Count rows."""
        return await self._call("count", lambda: self._inner.count(scope, filter), filter=filter)

    async def delete_where(
        self, scope: Scope, filter: Filter | None = None, *, max_revision: int
    ) -> int:
        """Delete rows of a scope."""
        return await self._call(
            "delete_where",
            lambda: self._inner.delete_where(scope, filter, max_revision=max_revision),
            filter=filter,
            writes=True,
        )

    async def stats(self, kind: Kind) -> Stats:
        """Figures about one kind."""
        return await self._call("stats", lambda: self._inner.stats(kind))

    async def _call(
        self,
        op: str,
        run: Callable[[], Awaitable[T]],
        *,
        argument: object = None,
        filter: Filter | None = None,
        items: int = 0,
        writes: bool = False,
        conditional: bool = False,
    ) -> T:
        call = StoreCall(
            self._name, op, self.capabilities, argument, filter, items, writes, conditional
        )
        for layer in self._layers:
            run = _within(layer, call, run)
        return await run()


class StackedVectorStore(_Stacked):
    """A vector store with layers around it."""

    def __init__(self, name: str, store: VectorStore, layers: Sequence[Layer]) -> None:
        super().__init__(name, store, layers)
        self._store = store

    async def ensure(self, collection: Collection) -> None:
        """Make ready what a kind needs, or check it."""
        await self._call("ensure", lambda: self._store.ensure(collection))

    async def upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:
        """Write points."""
        return await batches.write(writes, self.capabilities, self._upsert)

    async def _upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:
        return await self._call(
            "upsert",
            lambda: self._store.upsert(writes),
            items=len(writes),
            writes=True,
            conditional=_is_conditional(writes),
        )

    async def delete(self, deletes: Sequence[Delete]) -> list[WriteResult]:
        """Delete memories by address."""

        async def delete(part: Sequence[Delete]) -> list[WriteResult]:
            return await self._call(
                "delete",
                lambda: self._store.delete(part),
                items=len(part),
                writes=True,
                conditional=_is_conditional(part),
            )

        return await batches.alter(deletes, self.capabilities, delete)

    async def fetch(
        self, addresses: Sequence[Address], *, vectors: bool = False
    ) -> list[Stored | None]:
        """Read memories by address."""

        async def fetch(part: Sequence[Address]) -> list[Stored | None]:
            return await self._call(
                "fetch", lambda: self._store.fetch(part, vectors=vectors), items=len(part)
            )

        return await batches.read(addresses, self.capabilities, fetch)

    async def query(self, query: Query) -> QueryResult:
        """Find the best points."""
        return await self._call(
            "query", lambda: self._store.query(query), argument=query, filter=query.filter
        )


class StackedKeyValueStore(_Stacked):
    """A key-value store with layers around it."""

    def __init__(self, name: str, store: KeyValueStore, layers: Sequence[Layer]) -> None:
        super().__init__(name, store, layers)
        self._store = store

    async def put(
        self, writes: Sequence[Write[Entry]], *, atomic: bool = False
    ) -> list[WriteResult]:
        """Write entries."""

        async def put(part: Sequence[Write[Entry]]) -> list[WriteResult]:
            return await self._call(
                "put",
                lambda: self._store.put(part, atomic=atomic),
                argument=atomic,
                items=len(part),
                writes=True,
                conditional=_is_conditional(part),
            )

        if atomic:
            return await batches.write_as_one(writes, self.capabilities, put)
        return await batches.write(writes, self.capabilities, put)

    async def delete(self, deletes: Sequence[Delete], *, atomic: bool = False) -> list[WriteResult]:
        """Delete memories by address; an atomic batch is never split."""

        async def delete(part: Sequence[Delete]) -> list[WriteResult]:
            return await self._call(
                "delete",
                lambda: self._store.delete(part, atomic=atomic),
                argument=atomic,
                items=len(part),
                writes=True,
                conditional=_is_conditional(part),
            )

        if atomic:
            return await delete(deletes)
        return await batches.alter(deletes, self.capabilities, delete)

    async def get(self, addresses: Sequence[Address]) -> list[Stored | None]:
        """Read memories by address."""

        async def get(part: Sequence[Address]) -> list[Stored | None]:
            return await self._call("get", lambda: self._store.get(part), items=len(part))

        return await batches.read(addresses, self.capabilities, get)


def _is_conditional(items: Sequence[Write[Entry] | Delete]) -> bool:
    return any(item.expected is not None for item in items)


def _within(
    layer: Layer, call: StoreCall, run: Callable[[], Awaitable[T]]
) -> Callable[[], Awaitable[T]]:
    return lambda: layer(call, run)
