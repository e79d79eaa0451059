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
def random_filters(request: pytest.FixtureRequest, kind: Kind) -> int:
    """1,000 for the first store, 100 for others and for kinds beside SEMANTIC.

    Others are asked some hundreds more without a gateway, and by `make parity`.
    """
    if THOROUGH:
        return 2000
    return 1000 if _is_first(request) and kind is Kind.SEMANTIC else 100


@pytest.fixture
def sample(request: pytest.FixtureRequest, kind: Kind) -> int:
    """All questions of a table for the first store; a fifth for others, which have them all below."""
    if THOROUGH or (_is_first(request) and kind is not Kind.PROCEDURAL):
        return 1
    return 5


def _is_first(request: pytest.FixtureRequest) -> bool:
    return request.node.callspec.params["arrange"] is STORES[0]


@pytest.fixture(scope="session", params=STORES, ids=str)
def arrange(request: pytest.FixtureRequest, servers: Servers) -> Arrange:
    """What puts the kinds that are searched on the store of the case."""
    return lambda settings: request.param.arranged(settings, servers)
