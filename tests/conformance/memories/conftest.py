"""The memory-level suite on every store that can be had here, through both doors.

An adapter joins by its entry point, with what it declares as `local`. What cannot be had here is
said once, by test_everything_is_here.py.
"""

from __future__ import annotations

import pytest
from tests.conformance.division import STORES
from tests.thorough import THOROUGH

from memplane import Kind
from memplane_adapters.conformance.local_stores import Servers
from memplane_adapters.conformance.memories.doors import IN_PROCESS
from memplane_adapters.conformance.memories.fixtures import (
    Arrange,
    abilities,
    another,
    client,
    door,
    door_name,
    space,
)

__all__ = ["abilities", "another", "client", "door", "door_name", "space"]


@pytest.fixture
def random_filters(request: pytest.FixtureRequest, door_name: str, kind: Kind) -> int:
    """1,000 for the first store, 250 for others; other kinds, and the other door, have 100.

    Others are asked some hundreds more without a gateway, and by `make parity`.
    """
    if THOROUGH:
        return 2000
    if door_name != IN_PROCESS or kind is not Kind.SEMANTIC:
        return 100
    return 1000 if request.node.callspec.params["arrange"] is STORES[0] else 250


@pytest.fixture(scope="session", params=STORES, ids=str)
def arrange(request: pytest.FixtureRequest, servers: Servers) -> Arrange:
    """What puts the kinds that are searched on the store of the case."""
    return lambda settings: request.param.arranged(settings, servers)
