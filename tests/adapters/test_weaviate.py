"""The Weaviate store keeps the contract, on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.thorough import THOROUGH

from memplane_adapters.conformance.local_stores import Servers, choices
from memplane_adapters.conformance.stores import *  # noqa: F403 (the cases)
from memplane_adapters.conformance.stores import BackendFactory

pytestmark = pytest.mark.timeout(600)
RANDOM_FILTERS = 2000 if THOROUGH else 150  # and 100 through the gateway


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all cases: to make a collection takes Weaviate a fifth of a second."""
    return tmp_path_factory.mktemp("weaviate")


@pytest.fixture
def backend_factory(servers: Servers, place: Path) -> BackendFactory:
    (weaviate,) = (choice for choice in choices() if choice.adapter_name == "weaviate")
    return weaviate.backend_factory(servers, place)
