"""What the cases stand on: one facade of the store under test, with a tenant of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import pytest_asyncio

from memplane_adapters.conformance import notes
from memplane_adapters.conformance.certifying import certifying
from memplane_adapters.contract import (
    Adapter,
    Address,
    Backend,
    Capabilities,
    Collection,
    Cursor,
    Delete,
    EmbeddingIdentity,
    Entry,
    Fields,
    Filter,
    Hit,
    KeyValueStore,
    Kind,
    Page,
    Point,
    Query,
    Scan,
    Scope,
    Stored,
    Vector,
    VectorStore,
    Write,
    WriteResult,
    WriteStatus,
)

BackendFactory: TypeAlias = Callable[[], Backend]
"""Makes backends over one and the same store; a second one is opened after the first is closed."""


@dataclass(frozen=True, slots=True)
class Configured:
    """A factory that knows its adapter, which cases about the adapter itself need."""

    adapter: Adapter
    settings: Any
    directory: Path

    def __call__(self) -> Backend:
        return self.adapter.connect(self.settings, self.directory)

    def beside(self, name: str) -> Configured:
        """The same store under another prefix or path. Skips where the adapter names no such key.

        The name has four letters at most, and the prefix so few that vendors take it: 21.
        """
        if self.adapter.prefix:
            prefix = f"{getattr(self.settings, self.adapter.prefix)[:16]}-{name}"
            notes.keeps(prefix)
            return self._with(self.adapter.prefix, prefix)
        if self.adapter.path:
            return self._with(
                self.adapter.path, f"{getattr(self.settings, self.adapter.path)}-{name}"
            )
        pytest.skip("the adapter does not declare what keeps users apart")

    def _with(self, key: str, value: str) -> Configured:
        settings = dataclasses.replace(self.settings, **{key: value})
        return dataclasses.replace(self, settings=settings)


DIMENSION = 8
COLLECTION = Collection(
    Kind.SEMANTIC, EmbeddingIdentity("conformance", "made-up", DIMENSION), "conformance-1"
)
NOW = 1_767_225_600_000_000
"""A fixed present: the first of January 2026."""

_PATIENCE = 60.0
_PAUSE = 0.05


def vector(*numbers: float) -> Vector:
    """A vector in that direction, filled up with zeros."""
    full = np.zeros(DIMENSION, np.float32)
    full[: len(numbers)] = numbers
    length = np.linalg.norm(full)
    return (full / length).astype(np.float32)


def some_vectors(number: int, seed: int = 1) -> list[Vector]:
    """Vectors in directions without an order."""
    rows = np.random.default_rng(seed).standard_normal((number, DIMENSION))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return list(rows.astype(np.float32))


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + _PATIENCE
    while not await check():
        assert time.monotonic() < deadline, "it never came to be so"
        await asyncio.sleep(_PAUSE)


@dataclass
class Subject:
    """A facade of either protocol, as far as they are the same."""

    store: VectorStore | KeyValueStore
    kind: Kind
    tenant: str = field(default_factory=lambda: f"suite-{uuid.uuid4()}")

    @property
    def capabilities(self) -> Capabilities:
        return self.store.capabilities

    @property
    def promise(self) -> str:
        return notes.KEY_VALUES if self.kind is Kind.PROCEDURAL else notes.VECTORS

    def needs(self, *names: str) -> None:
        """Skip the case unless the store declares these capabilities."""
        for name in names:
            declared: Any = getattr(self.capabilities, name)
            if not declared or declared == "none":
                pytest.skip(f"the store does not declare {name}")
            notes.needed(name, self.promise)

    def lacks(self, name: str) -> None:
        """Skip the case if the store declares this capability."""
        declared: Any = getattr(self.capabilities, name)
        if declared and declared != "none":
            pytest.skip(f"the store declares {name}")

    def address(self, key: str, namespace: Sequence[str] = ("suite",)) -> Address:
        return Address(self.tenant, self.kind, tuple(namespace), key)

    def scope(self, *namespace: str, exact: bool = False, at: int = NOW) -> Scope:
        return Scope(self.tenant, self.kind, at, namespace, exact)

    def entry(
        self,
        key: str,
        namespace: Sequence[str] = ("suite",),
        *,
        revision: int = 1,
        time: int = NOW,
        update_time: int | None = None,
        expire_time: int | None = None,
        fields: Fields | None = None,
        record: bytes | None = None,
    ) -> Entry:
        """An entry whose record is its key, so that it is known again."""
        return Entry(
            address=self.address(key, namespace),
            revision=revision,
            update_time=time if update_time is None else update_time,
            time=time,
            expire_time=expire_time,
            fields=fields or {},
            record=key.encode() if record is None else record,
        )

    async def try_write(
        self, entries: Iterable[Entry], *, expected: int | None = None
    ) -> list[WriteResult]:
        """Write as one batch, and tell what became of each."""
        raise NotImplementedError

    async def read(self, *keys: Address) -> list[Stored | None]:
        raise NotImplementedError

    async def write(self, *entries: Entry) -> None:
        """Write, in as many batches as the store needs, until it is to be seen."""
        size = self.capabilities.max_batch_items or 500
        for start in range(0, len(entries), min(size, 500)):
            batch = entries[start : start + min(size, 500)]
            results = await self.try_write(batch)
            assert [result.status for result in results] == [WriteStatus.APPLIED] * len(batch)
        if entries and not self.capabilities.read_your_writes:
            await eventually(lambda: self._holds(entries))

    async def _holds(self, entries: Sequence[Entry]) -> bool:
        found = await self.read(*(entry.address for entry in entries))
        return all(
            row is not None and row.record == entry.record
            for row, entry in zip(found, entries, strict=True)
        )

    async def record(self, address: Address) -> bytes | None:
        """The record at an address."""
        (row,) = await self.read(address)
        return None if row is None else row.record

    async def delete(self, *addresses: Address, expected: int | None = None) -> list[WriteStatus]:
        results = await self.store.delete([Delete(address, expected) for address in addresses])
        return [result.status for result in results]

    async def page(self, scope: Scope | None = None, **options: Any) -> Page:
        return await self.store.scan(Scan(scope=scope or self.scope(), **options))

    async def walk(self, scope: Scope | None = None, **options: Any) -> list[str]:
        """The records of a whole walk, as text, in order."""
        return [row.record.decode() for row in await self.walk_rows(scope, **options)]

    async def walk_rows(self, scope: Scope | None = None, **options: Any) -> list[Stored]:
        rows: list[Stored] = []
        after: Cursor | None = None
        while True:
            page = await self.page(scope, after=after, **options)
            assert len(page.rows) <= options.get("limit", 50)
            assert page.scanned <= options.get("budget", 10_000)
            rows += page.rows
            if page.next is None:
                return rows
            assert page.next != after, "the walk does not get on"
            after = page.next
            await asyncio.sleep(0)  # a store that never waits lets no other task in between

    async def count(self, scope: Scope | None = None, tree: Filter | None = None) -> int:
        count = await self.store.count(scope or self.scope(), tree)
        assert count.exact or not self.capabilities.exact_count
        return count.count


@dataclass
class KeyValues(Subject):
    """A key-value store."""

    store: KeyValueStore
    kind: Kind = Kind.PROCEDURAL

    async def try_write(
        self, entries: Iterable[Entry], *, expected: int | None = None, atomic: bool = False
    ) -> list[WriteResult]:
        return await self.store.put([Write(entry, expected) for entry in entries], atomic=atomic)

    async def read(self, *keys: Address) -> list[Stored | None]:
        return await self.store.get(keys)


@dataclass
class Points(Subject):
    """A vector store."""

    store: VectorStore
    kind: Kind = Kind.SEMANTIC

    def point(
        self,
        key: str,
        at: Vector | None = None,
        *,
        terms: str = "",
        vectorless: bool = False,
        **entry: Any,
    ) -> Point:
        """A point; somewhere, unless it is said where."""
        plain = self.entry(key, **entry)
        whole = {one.name: getattr(plain, one.name) for one in dataclasses.fields(plain)}
        place = None if vectorless else (vector(1.0) if at is None else at)
        return Point(**whole, vector=place, text=terms, terms=tuple(terms.split()))

    def as_point(self, entry: Entry) -> Point:
        if isinstance(entry, Point):
            return entry
        return self.point(
            entry.address.key,
            namespace=entry.address.namespace,
            revision=entry.revision,
            time=entry.time,
            update_time=entry.update_time,
            expire_time=entry.expire_time,
            fields=entry.fields,
            record=entry.record,
        )

    async def try_write(
        self, entries: Iterable[Entry], *, expected: int | None = None
    ) -> list[WriteResult]:
        return await self.store.upsert([Write(self.as_point(entry), expected) for entry in entries])

    async def read(self, *keys: Address) -> list[Stored | None]:
        return await self.store.fetch(keys)

    async def query(self, scope: Scope | None = None, **options: Any) -> tuple[Hit, ...]:
        """Hits of a query, which is exact where the store can."""
        exact = self.capabilities.exact_search
        query = Query(scope=scope or self.scope(), exact=exact, **options)
        return (await self.store.query(query)).hits

    async def search(self, scope: Scope | None = None, **options: Any) -> list[str]:
        """The records of the hits, as text."""
        return [hit.record.decode() for hit in await self.query(scope, **options)]


@pytest.fixture
def random_filters(request: pytest.FixtureRequest) -> int:
    """How many random filters are enough: 2,000, or what the file says as RANDOM_FILTERS."""
    run = certifying(request.config)
    number: int = getattr(request.module, "RANDOM_FILTERS", 2000)
    return number if run is None else run.random_filters("stores")


@pytest_asyncio.fixture
async def backend(
    request: pytest.FixtureRequest, backend_factory: BackendFactory
) -> AsyncIterator[Backend]:
    """The store under test, open and ready. Skips, before it is opened, what it does not keep."""
    made = backend_factory()
    _skip_what_is_not_kept(request, made)
    if made.vector is not None:
        await made.vector.open()
        if not _is_about_key_values(request):
            await made.vector.ensure(COLLECTION)
    if made.key_value is not None:
        await made.key_value.open()
    yield made
    if made.vector is not None:
        await made.vector.close()
    if made.key_value is not None:
        await made.key_value.close()


def _skip_what_is_not_kept(request: pytest.FixtureRequest, made: Backend) -> None:
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    asked = {*request.fixturenames, params.get("subject")}
    if "points" in asked and made.vector is None:
        pytest.skip("the store keeps no points")
    if "key_values" in asked and made.key_value is None:
        pytest.skip("the store keeps no key-values")


def _is_about_key_values(request: pytest.FixtureRequest) -> bool:
    """Whether a case has to do with no vectors: it may run where there can be none."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    own = inspect.signature(request.function).parameters.keys()
    asked = {*own, params.get("subject")}
    return "key_values" in asked and not asked & {"points", "backend"}


@pytest.fixture
def points(backend: Backend) -> Points:
    """The vector store, for cases about vectors and words."""
    assert backend.vector is not None
    return Points(backend.vector)


@pytest.fixture
def key_values(backend: Backend) -> KeyValues:
    """The key-value store, for cases about what only it can do."""
    assert backend.key_value is not None
    return KeyValues(backend.key_value)


@pytest.fixture(params=["points", "key_values"])
def subject(request: pytest.FixtureRequest) -> Subject:
    """Each of the two in turn, for cases about what both promise."""
    made: Subject = request.getfixturevalue(request.param)
    return made
