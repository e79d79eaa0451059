"""The suite's fixtures; a test file adds a `backend_factory` that makes its store.

A file with LIGHT = True, over a store that another file holds to the whole suite, does without the
cases of thousands of rows.
"""

from __future__ import annotations

import pytest

from memplane_adapters.conformance.stores.fixtures import (
    backend,
    key_values,
    points,
    subject,
)

__all__ = ["backend", "key_values", "points", "subject"]

_HEAVY = (
    "test_field_30_a_purge_has_no_end_at_10_000",
    "test_field_37_2_500_rows_each_exactly_once_under_writes",
)


def _is_light(module: object) -> bool:
    return getattr(module, "LIGHT", False)


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
