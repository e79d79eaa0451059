"""Opening, closing, and what is there afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable

import pytest

from memplane_adapters.conformance.stores.fixtures import (
    COLLECTION,
    DIMENSION,
    NOW,
    BackendFactory,
    KeyValues,
    Points,
    Subject,
    vector,
)
from memplane_adapters.contract import (
    Backend,
    Collection,
    Delete,
    Durability,
    EmbeddingIdentity,
    Query,
    Scan,
    StoreError,
    StoreReason,
    reached_of,
)


@pytest.mark.asyncio
async def test_open_and_ensure_may_come_again(backend: Backend) -> None:
    if backend.vector is not None:
        await backend.vector.open()
        await backend.vector.ensure(COLLECTION)
        await backend.vector.ensure(COLLECTION)
    if backend.key_value is not None:
        await backend.key_value.open()


@pytest.mark.asyncio
async def test_ping_tells_a_declared_level(subject: Subject) -> None:
    reached = reached_of(await subject.store.ping())
    level = reached.level
    assert isinstance(level, Durability)
    assert reached.replicas is None or reached.replicas >= 0
    assert level in subject.capabilities.durability


@pytest.mark.asyncio
async def test_capabilities_are_whole(subject: Subject) -> None:
    declared = subject.capabilities
    assert declared.durability == tuple(sorted(declared.durability))
    assert declared.isolation
    if isinstance(subject, KeyValues):
        assert (declared.vector, declared.keyword, declared.hybrid) == (False, False, False)


@pytest.mark.asyncio
async def test_capabilities_are_known_without_a_connection(
    backend_factory: BackendFactory,
) -> None:
    backend = backend_factory()
    stores = [store for store in (backend.vector, backend.key_value) if store is not None]
    assert stores
    assert all(store.capabilities.durability for store in stores)


@pytest.mark.asyncio
async def test_empty_batches_do_nothing(subject: Subject) -> None:
    await subject.write(subject.entry("here"))
    assert await subject.try_write([]) == []
    assert await subject.read() == []
    assert await subject.store.delete([]) == []
    assert await subject.count() == 1


@pytest.mark.asyncio
async def test_use_before_open_is_refused(backend_factory: BackendFactory) -> None:
    backend = backend_factory()
    for subject in _subjects(backend):
        await _is_closed(subject)


@pytest.mark.asyncio
async def test_use_after_close_is_refused(
    backend: Backend, backend_factory: BackendFactory
) -> None:
    subjects = _subjects(backend)
    for subject in subjects:
        await subject.write(subject.entry("kept"))
    for subject in subjects:
        await subject.store.close()
        await subject.store.close()
        await _is_closed(subject)


@pytest.mark.asyncio
async def test_closing_one_promise_leaves_the_other(backend: Backend) -> None:
    if backend.vector is None or backend.key_value is None:
        pytest.skip("the store makes one promise only")
    await backend.vector.close()
    left = KeyValues(backend.key_value)
    await left.write(left.entry("k"))
    assert await left.count() == 1


@pytest.mark.asyncio
async def test_field_36_acknowledged_rows_survive_a_clean_close(
    backend: Backend, backend_factory: BackendFactory
) -> None:
    """Upserts were acknowledged, yet gone from the vector index after a clean exit."""
    subjects = _subjects(backend)
    if any(max(one.capabilities.durability) < Durability.PROCESS for one in subjects):
        pytest.skip("the store does not declare durability of PROCESS or above")
    for subject in subjects:
        await subject.write(*(subject.entry(f"k{number}") for number in range(20)))
        await subject.store.close()
    again = backend_factory()
    for before, subject in zip(subjects, _subjects(again), strict=True):
        await subject.store.open()
        subject.tenant = before.tenant
        assert len(await subject.walk()) == 20
        if isinstance(subject, Points):
            await subject.store.ensure(COLLECTION)
            assert len(await subject.search(vector=vector(1.0))) == 20
    for subject in _subjects(again):
        await subject.store.close()


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(COLLECTION, analyzer="conformance-2"),
        dataclasses.replace(
            COLLECTION, embedding=EmbeddingIdentity("conformance", "made-up", DIMENSION * 2)
        ),
        dataclasses.replace(
            COLLECTION, embedding=EmbeddingIdentity("conformance", "another", DIMENSION)
        ),
        dataclasses.replace(COLLECTION, embedding=EmbeddingIdentity("else", "made-up", DIMENSION)),
    ],
    ids=["analyzer", "dimension", "model", "provider"],
)
@pytest.mark.asyncio
async def test_field_58_another_embedding_is_noticed(points: Points, other: Collection) -> None:
    """An old collection of another dimension passed the start and crashed the search."""
    await points.write(points.point("kept"))
    with pytest.raises(StoreError) as refusal:
        await points.store.ensure(other)
    assert refusal.value.reason is StoreReason.IDENTITY_MISMATCH
    assert not refusal.value.retryable
    stored, configured = (refusal.value.metadata[name] for name in ("stored", "configured"))
    assert stored != configured
    await points.store.ensure(COLLECTION)
    assert await points.search(vector=vector(1.0)) == ["kept"]


@pytest.mark.asyncio
async def test_stats_count_rows_of_the_kind(subject: Subject) -> None:
    before = await subject.store.stats(subject.kind)
    await subject.write(subject.entry("a"), subject.entry("b", expire_time=NOW - 1))
    after = await subject.store.stats(subject.kind)
    if before.rows is not None and after.rows is not None:
        assert after.rows >= 2  # others may work on the same server
    if after.size_bytes is not None:
        assert after.size_bytes > 0


def _subjects(backend: Backend) -> list[Subject]:
    made: list[Subject] = []
    if backend.vector is not None:
        made.append(Points(backend.vector))
    if backend.key_value is not None:
        made.append(KeyValues(backend.key_value))
    return made


async def _is_closed(subject: Subject) -> None:
    address, scope = subject.address("k"), subject.scope()
    calls: list[Awaitable[object]] = [
        subject.store.ping(),
        subject.try_write([subject.entry("k")]),
        subject.read(address),
        subject.store.delete([Delete(address)]),
        subject.store.scan(Scan(scope=scope)),
        subject.store.count(scope),
        subject.store.delete_where(scope, max_revision=1),
        subject.store.stats(subject.kind),
    ]
    if isinstance(subject, Points):
        calls += [
            subject.store.ensure(COLLECTION),
            subject.store.query(Query(scope=scope, vector=vector(1.0))),
        ]
    for call in calls:
        with pytest.raises(StoreError) as refusal:
            await call
        assert refusal.value.reason is StoreReason.CLOSED
