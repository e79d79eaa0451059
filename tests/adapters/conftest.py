"""The suite's fixtures; a test file adds a `backend_factory` that makes its store.

A file with LIGHT = True, over a store that another file holds to the whole suite, does with fewer
random filters and without the cases of thousands of rows. Stores behind a server or made of Python
have 500 filters here and 2,000 through the gateway, unless MEMPLANE_TEST_THOROUGH is set.
"""

from __future__ import annotations

import os

import pytest

from memplane_adapters.conformance.stores.fixtures import (
    FILTER_BATCHES,
    backend,
    key_values,
    points,
    subject,
)

__all__ = ["backend", "filter_batches", "key_values", "points", "subject"]

_HEAVY = (
    "test_field_30_a_purge_has_no_end_at_10_000",
    "test_field_37_2_500_rows_each_exactly_once_under_writes",
)


def _is_light(module: object) -> bool:
    return getattr(module, "LIGHT", False)


@pytest.fixture
def filter_batches(request: pytest.FixtureRequest) -> int:
    """How many batches of twenty random filters are enough."""
    if _is_light(request.module):
        return FILTER_BATCHES // 10
    thorough = os.environ.get("MEMPLANE_TEST_THOROUGH") or not hasattr(request.module, "SLOW")
    return FILTER_BATCHES if thorough else FILTER_BATCHES // 4


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is too heavy for a light file."""
    heavy = [
        item
        for item in items
        if item.name.startswith(_HEAVY) and _is_light(getattr(item, "module", None))
    ]
    if heavy:
        config.hook.pytest_deselected(items=heavy)
        items[:] = [item for item in items if item not in heavy]
