"""The Pinecone store keeps the contract, on the emulator that comes with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.thorough import THOROUGH

from memplane_adapters.conformance.local_stores import Servers, choices
from memplane_adapters.conformance.stores import *  # noqa: F403 (the cases)
from memplane_adapters.conformance.stores import BackendFactory

pytestmark = pytest.mark.timeout(1200)  # thousands of filters
RANDOM_FILTERS = 2000 if THOROUGH else 150  # and 100 through the gateway


@pytest.fixture
def backend_factory(servers: Servers, tmp_path: Path) -> BackendFactory:
    (pinecone,) = (choice for choice in choices() if choice.adapter_name == "pinecone")
    return pinecone.backend_factory(servers, tmp_path)
