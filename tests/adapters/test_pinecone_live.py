"""The Pinecone store keeps the contract on the service itself: `pytest -m live` with PINECONE_API_KEY set.

It makes indexes in that project and removes them. Cases are kept apart by their tenants, since making
an index takes the service a while; only cases about collections have indexes of their own.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memplane_adapters.conformance.stores import *  # noqa: F403 (the cases)
from memplane_adapters.conformance.stores import BackendFactory
from memplane_adapters.pinecone import ADAPTER, PineconeSettings
from memplane_adapters.pinecone.upkeep import remove_all

KEY = os.environ.get("PINECONE_API_KEY", "")
URL = os.environ.get("PINECONE_CONTROLLER_HOST", "https://api.pinecone.io")
"""As Pinecone's own clients take it."""
RANDOM_FILTERS = 50
pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not KEY, reason="PINECONE_API_KEY is not set: the service is not asked"),
]
_ABOUT_COLLECTIONS = ("test_lifecycle", "test_readiness")


def settings(prefix: str) -> PineconeSettings:
    return PineconeSettings(api_key=KEY, url=URL, prefix=prefix)


def removed(prefix: str) -> None:
    asyncio.run(remove_all(settings(prefix)))


@pytest.fixture(scope="module")
def shared() -> Iterator[str]:
    """The prefix of most cases."""
    prefix = f"live-{uuid.uuid4().hex[:8]}"
    yield prefix
    removed(prefix)


@pytest.fixture
def backend_factory(
    request: pytest.FixtureRequest, shared: str, tmp_path: Path
) -> Iterator[BackendFactory]:
    case: Any = request.node
    alone = case.function.__module__.rpartition(".")[2] in _ABOUT_COLLECTIONS
    prefix = f"live-{uuid.uuid4().hex[:8]}" if alone else shared
    yield lambda: ADAPTER.connect(settings(prefix), tmp_path)
    if alone:
        removed(prefix)


def test_memories_are_kept_through_a_gateway(tmp_path: Path) -> None:
    """A part of the memory-level suite, as a user would run it."""
    prefix = f"live-{uuid.uuid4().hex[:8]}"
    config = tmp_path / "memplane.yaml"
    config.write_text(
        f'stores: {{pinecone: {{adapter: pinecone, url: "{URL}", prefix: {prefix}}}}}\n'
        f'data_dir: "{tmp_path}/data"\n'
    )
    words = ("--store", "pinecone", "--half", "memories", "-k", "test_writes or test_paging")
    done = subprocess.run(
        [sys.executable, "-m", "memplane_gateway.cli", "certify", "--config", str(config), *words],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
