"""The Qdrant store keeps the contract, on a real server if one is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from memplane_adapters.conformance.local_stores import Servers, choices
from memplane_adapters.conformance.stores import *  # noqa: F403 (the cases)
from memplane_adapters.conformance.stores import BackendFactory
from memplane_adapters.conformance.stores.fixtures import Points
from memplane_adapters.conformance.stores.test_keywords import (
    test_scores_do_not_depend_on_other_tenants as _scores_do_not_depend,
)
from memplane_adapters.qdrant.store import QdrantVectorStore


@pytest.fixture
def backend_factory(servers: Servers, tmp_path: Path) -> BackendFactory:
    (choice,) = (each for each in choices() if each.name == "qdrant")
    return choice.backend_factory(servers, tmp_path)


@pytest.mark.asyncio
async def test_scores_do_not_depend_on_other_tenants(points: Points) -> None:
    assert isinstance(points.store, QdrantVectorStore)
    assert points.store._opened is not None
    if not points.store._opened.engine.counts_by_tenant:
        pytest.skip("before 1.19 a server weighs words by the rows of all tenants")
    await _scores_do_not_depend(points)
