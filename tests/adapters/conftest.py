"""The suite's fixtures; a test file adds a `backend_factory` that makes its store.

Stores that take their time (with RANDOM_FILTERS of their own) leave out the heaviest of the cases
that they go through with a gateway as well. Files with SHARE, over a store that another file holds to
the whole suite, share the cases: one goes to the file whose SHARE is its number modulo SHARES, the
dearest to the one that is said here, and what takes ten thousand rows to none. A thorough run gives
each of them all.
"""

from __future__ import annotations

import zlib

import pytest
from tests.thorough import THOROUGH

from memplane_adapters.conformance.stores.fixtures import (
    backend,
    key_values,
    points,
    subject,
)

__all__ = ["backend", "key_values", "points", "subject"]

SHARES = 2
_DEAREST = {"test_read_modify_write_loses_nothing": 1}
"""A thousand calls and more: over REST each has a connection of its own."""
_WITH_A_GATEWAY = (
    "test_field_37_2_500_rows_each_exactly_once_under_writes",
    "test_field_59_many_clients_at_once_lose_nothing",
)
_IN_PROCESS_ALONE = ("test_field_30_a_purge_has_no_end_at_10_000",)


def _is_left_out(item: pytest.Item) -> bool:
    module = getattr(item, "module", None)
    if THOROUGH or not hasattr(module, "RANDOM_FILTERS"):
        return False
    share = getattr(module, "SHARE", None)
    mine = _DEAREST.get(getattr(item, "originalname", ""), zlib.crc32(item.name.encode()) % SHARES)
    elsewhere = share is not None and (mine != share or item.name.startswith(_IN_PROCESS_ALONE))
    return elsewhere or item.name.startswith(_WITH_A_GATEWAY)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what another file has."""
    left_out = {item for item in items if _is_left_out(item)}
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
