"""Removing all that is kept under one store's settings."""

from __future__ import annotations

import pytest

from memplane_adapters.conformance.stores.fixtures import (
    COLLECTION,
    BackendFactory,
    Configured,
    KeyValues,
    Points,
    Subject,
)
from memplane_adapters.contract import Backend, Durability


@pytest.mark.asyncio
async def test_removing_leaves_what_others_keep(backend_factory: BackendFactory) -> None:
    if not isinstance(backend_factory, Configured):
        pytest.skip("the test file does not name an adapter")
    remove = backend_factory.adapter.remove
    if remove is None:
        pytest.skip("the adapter does not declare remove")
    made = backend_factory()
    promises = [each for each in (made.vector, made.key_value) if each is not None]
    if any(max(each.capabilities.durability) < Durability.PROCESS for each in promises):
        pytest.skip("the store does not declare durability of PROCESS or above")
    # The name of one begins as that of the other.
    mine, other = backend_factory.beside("x"), backend_factory.beside("x-y")
    tenant = ""
    try:
        for each in (mine, other):
            for subject in await _opened(each()):
                tenant = tenant or subject.tenant
                subject.tenant = tenant
                await subject.write(subject.entry("k"))
                await subject.store.close()
        await remove(mine.settings, mine.directory)
        for each, kept in ((mine, []), (other, ["k"])):
            for subject in await _opened(each()):
                subject.tenant = tenant
                assert await subject.walk() == kept
                await subject.store.close()
    finally:
        for each in (mine, other):
            await remove(each.settings, each.directory)
            await remove(each.settings, each.directory)  # what is not there is no error


async def _opened(backend: Backend) -> list[Subject]:
    subjects: list[Subject] = []
    if backend.vector is not None:
        await backend.vector.open()
        await backend.vector.ensure(COLLECTION)
        subjects.append(Points(backend.vector))
    if backend.key_value is not None:
        await backend.key_value.open()
        subjects.append(KeyValues(backend.key_value))
    return subjects
