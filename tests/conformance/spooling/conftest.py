"""The memory-level cases on routes whose writes may wait, while their store is there: none may notice.

The store is the embedded one under another name, since the gateway's own cannot be away.
"""

from pathlib import Path

import pytest
from tests.disks import need_disk

from memplane_adapters.conformance.memories.doors import IN_PROCESS
from memplane_adapters.conformance.memories.fixtures import (
    Arrange,
    abilities,
    another,
    client,
    door,
    sample,
    space,
)
from memplane_adapters.contract import Backend
from memplane_adapters.embedded import ADAPTER
from memplane_gateway.config import Settings, StoreSettings

__all__ = ["abilities", "another", "client", "door", "sample", "space"]

NAME = "there"


class There(StoreSettings):
    """The embedded store, as if it was on a server."""

    def connect(self, data_dir: Path) -> Backend:
        backend: Backend = ADAPTER.connect(self.settings, data_dir)
        return backend


@pytest.fixture(scope="session")
def arrange() -> Arrange:
    """Every kind on that store, with an outbox."""

    def arranged(given: Settings) -> Settings:
        need_disk(given.data_dir.parent)
        there = There(adapter=NAME, settings=ADAPTER.settings(f"{NAME}.db"))
        change = {"store": NAME, "on_backend_down": "spool"}
        routes = {
            kind: getattr(given.routes, kind).model_copy(update=change)
            for kind in type(given.routes).model_fields
        }
        return given.model_copy(
            update={
                "stores": {**given.stores, NAME: there},
                "routes": given.routes.model_copy(update=routes),
            }
        )

    return arranged


@pytest.fixture(scope="session")
def door_name() -> str:
    """One door is enough: the outbox is behind both."""
    return IN_PROCESS
