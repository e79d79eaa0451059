"""The Qdrant store keeps the contract over REST, with a double that has a server's manners."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.adapters.qdrant_double import Double

from memplane_adapters.conformance.stores import *  # noqa: F403 (the cases)
from memplane_adapters.conformance.stores import BackendFactory
from memplane_adapters.qdrant import ADAPTER, QdrantSettings

pytestmark = pytest.mark.timeout(300)

RANDOM_FILTERS = 100
SHARE = 0
"""The same engine in the process has been through the thousands; the wire adds nothing to them."""


@pytest.fixture
def backend_factory(tmp_path: Path) -> Iterator[BackendFactory]:
    double = Double(version="1.19.0")  # the first that weighs words by a tenant's rows
    double.start()
    settings = QdrantSettings(url=double.url, transport="rest", timeout=60)
    yield lambda: ADAPTER.connect(settings, tmp_path)
    double.stop()
