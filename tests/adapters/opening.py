"""Stores and servers that a case opens for itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from memplane_adapters.conformance.local_stores import Choice, Servers
from memplane_adapters.conformance.servers import Server
from memplane_adapters.conformance.stores.fixtures import Points
from memplane_adapters.contract import Adapter


@asynccontextmanager
async def opened_points(adapter: Adapter, **settings: Any) -> AsyncIterator[Points]:
    """A store of points by its settings, open; nothing is ensured."""
    store = adapter.connect(adapter.settings(**settings), Path()).vector
    assert store is not None
    await store.open()
    try:
        yield Points(store)
    finally:
        await store.close()


@contextmanager
def own_server(choice: Choice, servers: Servers, root: Path) -> Iterator[Server]:
    """A server of the case's own, which it may treat badly. Skips the case where there is none."""
    if choice.store is None or choice.problem:
        pytest.skip(choice.problem)
    with servers.own(choice.store, root / "own") as server:
        yield server
