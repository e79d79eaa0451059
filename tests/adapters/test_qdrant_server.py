"""The Qdrant store keeps the contract, on a real server if one is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from memplane_adapters.conformance.local_stores import Servers, choices
from memplane_adapters.conformance.stores import *  # noqa: F403 (the cases)
from memplane_adapters.conformance.stores import BackendFactory


@pytest.fixture
def backend_factory(servers: Servers, tmp_path: Path) -> BackendFactory:
    (choice,) = (each for each in choices() if each.name == "qdrant")
    return choice.backend_factory(servers, tmp_path)
