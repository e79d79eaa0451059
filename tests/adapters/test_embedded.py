"""The embedded store keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.thorough import THOROUGH

from memplane_adapters.conformance.stores import *  # noqa: F403 (the cases)
from memplane_adapters.conformance.stores import BackendFactory, Configured
from memplane_adapters.embedded import ADAPTER, EmbeddedSettings

RANDOM_FILTERS = 2000 if THOROUGH else 500  # and 2,000 through the gateway


@pytest.fixture
def backend_factory(tmp_path: Path) -> BackendFactory:
    return Configured(ADAPTER, EmbeddedSettings(), tmp_path)
