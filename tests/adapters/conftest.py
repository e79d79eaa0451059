"""The suite's fixtures; a test file adds a `backend_factory` that makes its store.

Files with SHARE, over a store that another file holds to the whole suite, do without the cases of
thousands of rows and share the others: a case goes to the file whose SHARE is its number modulo
SHARES. A thorough run gives each of them all.
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
_HEAVY = (
    "test_field_30_a_purge_has_no_end_at_10_000",
    "test_field_37_2_500_rows_each_exactly_once_under_writes",
)


def _is_left_out(item: pytest.Item) -> bool:
    share = getattr(getattr(item, "module", None), "SHARE", None)
    if share is None or THOROUGH:
        return False
    number = zlib.crc32(item.name.encode())
    return item.name.startswith(_HEAVY) or number % SHARES != share


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what another file has."""
    left_out = {item for item in items if _is_left_out(item)}
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
