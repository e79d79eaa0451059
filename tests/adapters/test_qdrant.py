"""The Qdrant store keeps the contract, with the engine inside its client library."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.thorough import THOROUGH

from memplane_adapters.conformance.stores import *  # noqa: F403 (the cases)
from memplane_adapters.conformance.stores import BackendFactory
from memplane_adapters.qdrant import ADAPTER, QdrantSettings

pytestmark = pytest.mark.timeout(600)  # two thousand filters on an engine made of Python
RANDOM_FILTERS = 2000 if THOROUGH else 150  # and 100 through the gateway


@pytest.fixture
def backend_factory(tmp_path: Path) -> BackendFactory:
    return lambda: ADAPTER.connect(QdrantSettings(path=":memory:"), tmp_path)
