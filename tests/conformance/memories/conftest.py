"""The memory-level suite on every store that can be had here, through both doors.

An adapter joins by its entry point, with what it declares as `local`. What cannot be had here is
said once, by test_everything_is_here.py.
"""

from __future__ import annotations

import zlib

import pytest
from tests.thorough import THOROUGH

from memplane import Kind
from memplane_adapters.conformance.local_stores import Choice, Servers, at_hand
from memplane_adapters.conformance.memories.doors import GRPC, IN_PROCESS
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


STORES = [choice for choice in at_hand() if choice.store is not None and choice.store.kept]


KEY_VALUES = [store for store in STORES if Kind.SEMANTIC not in map(str, store.kinds)]
_SEARCHES = (
    "test_consolidating.py",
    "test_hybrid.py",
    "test_indexed_texts.py",
    "test_likeness.py",
    "test_text_search.py",
    "test_vector_search.py",
    "test_weights.py",
)
_MIDDLE = (
    "test_forgetting.py",
    "test_ingesting.py",
    "test_namespace_lists.py",
    "test_purging.py",
    "test_scanning.py",
    "test_renewals.py",
    "test_search_pages.py",
    "test_statistics.py",
    "test_sweeps.py",
)
"""What the middle makes of a store's answers: as in _SEARCHES, a door adds little."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what would only come again: the first store has been through all of it."""
    again = {item for item in items if _comes_again(item)}
    if again:
        config.hook.pytest_deselected(items=list(again))
        items[:] = [item for item in items if item not in again]


def _comes_again(item: pytest.Item) -> bool:
    """A thorough run has every case through both doors on every store, others have one door a case."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    store = params.get("arrange")
    kind, over_grpc = params.get("kind"), params.get("door_name") == GRPC
    if not isinstance(store, Choice) or store is STORES[0]:
        if item.path.name == "test_filters.py" and over_grpc and not THOROUGH:
            return kind is not Kind.SEMANTIC  # what splits and checks filters is behind both doors
        if item.path.name in (*_SEARCHES, *_MIDDLE) and "door_name" in params and not THOROUGH:
            return over_grpc is bool(_number(item) % 2) and kind is not Kind.PROCEDURAL
        # The two kinds that are searched differ in little.
        return kind is Kind.EPISODIC and not over_grpc and not THOROUGH
    kept = {str(each) for each in store.kinds}
    if isinstance(kind, Kind) and kind not in kept:  # which stays on the first store
        return True
    if Kind.SEMANTIC not in kept and item.path.name in _SEARCHES:
        return True
    # Through both doors, with a kind each; the first store has every pair.
    if kind is (Kind.SEMANTIC if over_grpc else Kind.EPISODIC):
        return True
    if THOROUGH or "door_name" not in params:
        return False
    if item.path.name == "test_input.py":  # nothing of it gets to a store
        return True
    if item.path.name == "test_filters.py":  # as above
        return over_grpc or (store in KEY_VALUES and store is not KEY_VALUES[0])
    if item.name.startswith("test_field_37_2500_rows"):  # some of the six orders a store
        return zlib.crc32(item.name.encode()) % 3 > 0
    name = _number(item)
    # Stores of key-values alone differ behind what their adapters are held to: they share the cases.
    elsewhere = store in KEY_VALUES and KEY_VALUES[name // 2 % len(KEY_VALUES)] is not store
    return elsewhere or over_grpc is bool(name % 2)


def _number(item: pytest.Item) -> int:
    """A number that stays a case's own."""
    return zlib.crc32(getattr(item, "originalname", item.name).encode())


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
