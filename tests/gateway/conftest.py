"""What the tests of the outbox and of the embedders share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.gateway.endpoint import Endpoint
from tests.gateway.flaky import House, hurry


@pytest.fixture
def quick_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay that looks often."""
    hurry(monkeypatch)


@pytest.fixture
async def house(tmp_path: Path, quick_replay: None) -> AsyncIterator[House]:
    """A gateway's middle with an outbox, over a store that can be away."""
    made = await House(tmp_path).open()
    yield made
    await made.close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.stop()
