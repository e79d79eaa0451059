"""Stores and servers that a case opens for itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from memplane_adapters.conformance.local_stores import Choice, Servers
from memplane_adapters.conformance.servers import Server
from memplane_adapters.conformance.stores.fixtures import Points, Subject
from memplane_adapters.contract import Adapter

SubjectT = TypeVar("SubjectT", bound=Subject)


@asynccontextmanager
async def opened(subject: SubjectT) -> AsyncIterator[SubjectT]:
    """The same, with its store open."""
    await subject.store.open()
    try:
        yield subject
    finally:
        await subject.store.close()


def opened_points(adapter: Adapter, **settings: Any) -> AbstractAsyncContextManager[Points]:
    """A store of points by its settings, open; nothing is ensured."""
    store = adapter.connect(adapter.settings(**settings), Path()).vector
    assert store is not None
    return opened(Points(store))


@contextmanager
def own_server(choice: Choice, servers: Servers, root: Path) -> Iterator[Server]:
    """A server of the case's own, which it may treat badly. Skips the case where there is none."""
    if choice.store is None or choice.problem:
        pytest.skip(choice.problem)
    with servers.own(choice.store, root / "own") as server:
        yield server
