"""The store under test, when the suite is run by its name."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from memplane_adapters.conformance.certifying import certifying
from memplane_adapters.conformance.stores.fixtures import (
    BackendFactory,
    Configured,
    backend,
    key_values,
    points,
    random_filters,
    subject,
)
from memplane_adapters.contract import Adapter

__all__ = ["backend", "backend_factory", "key_values", "points", "random_filters", "subject"]


@pytest.fixture
def backend_factory(request: pytest.FixtureRequest, tmp_path: Path) -> BackendFactory:
    """Makes backends of the store that is certified, or that MEMPLANE_CONFORMANCE_STORE names."""
    run = certifying(request.config)
    if run is not None:
        return Configured(run.adapter, run.store("stores").settings, tmp_path)
    name, _, url = os.environ.get("MEMPLANE_CONFORMANCE_STORE", "embedded").partition("+")
    every = entry_points(group="memplane.adapters")
    found = every.select(name=name)
    if not found:
        installed = ", ".join(sorted(point.name for point in every))
        pytest.fail(f"no adapter is called {name!r}; installed: {installed}", pytrace=False)
    adapter = found[name].load()
    assert isinstance(adapter, Adapter)
    settings = adapter.settings(**(adapter.from_url(url) if url else {}))
    return Configured(adapter, settings, tmp_path)
