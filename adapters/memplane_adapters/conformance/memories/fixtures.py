"""Fixtures: a gateway a door, kept for the session, and for each case a namespace of its own.

A suite that wants another gateway overrides `arrange`, which turns the settings that the environment
asks for into those that are used.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
import pytest_asyncio

from memplane import AsyncClient, AsyncScope, Capabilities
from memplane_adapters.conformance.certifying import certifying
from memplane_adapters.conformance.memories.doors import DOORS, Door, open_door
from memplane_gateway.config import Settings, load
from memplane_gateway.server import Gateway

Arrange: TypeAlias = Callable[[Settings], Settings]
Opened: TypeAlias = Callable[[], AbstractAsyncContextManager[Door]]


@pytest.fixture(scope="session")
def arrange(request: pytest.FixtureRequest) -> Arrange:
    """What is done to the settings before the gateway is made: nothing, unless a store is certified."""
    run = certifying(request.config)
    return (lambda settings: settings) if run is None else run.arranged


@pytest.fixture(scope="session", params=DOORS)
def door_name(request: pytest.FixtureRequest) -> str:
    """The name of the door that cases go through."""
    name: str = request.param
    return name


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def door(
    door_name: str, arrange: Arrange, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    """A way into the gateway that the environment asks for."""
    async with opened(door_name, arrange(settings_in(tmp_path_factory.mktemp("data")))) as made:
        yield made


@pytest.fixture
def another(door_name: str, arrange: Arrange, tmp_path: Path) -> Opened:
    """Opens a gateway of the case's own, with the same configuration over its own data directory."""
    return lambda: opened(door_name, arrange(settings_in(tmp_path)))


@pytest.fixture(scope="session")
def client(door: Door) -> AsyncClient:
    """A client at the root of the tenant."""
    return door.client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def abilities(client: AsyncClient) -> Capabilities:
    """What the gateway says that it can do."""
    return await client.capabilities()


@pytest.fixture
def space(client: AsyncClient) -> AsyncScope:
    """A namespace that no other case uses."""
    return client.scope(fresh_label())


@pytest.fixture
def random_filters(request: pytest.FixtureRequest) -> int:
    """How many random filters of a kind are enough; a suite may override it with fewer."""
    run = certifying(request.config)
    return 2000 if run is None else run.random_filters("memories")


@pytest.fixture
def sample() -> int:
    """Of long tables of questions every n-th is asked: all of them; a suite may ask for fewer."""
    return 1


def fresh_label() -> str:
    """A label that nobody has used."""
    return f"case-{uuid.uuid4().hex}"


KEPT = "suite-kept"
"""The first label of namespaces for which the gateways of the suite have policies."""


def settings_in(data_dir: Path) -> Settings:
    """What the environment asks for, with its own state in a directory, listening anywhere.

    Its policies are about namespaces that begin with KEPT and any one label; sweeps are asked for.
    """
    policies: dict[str, dict[str, object]] = {
        "newest": {"max_items": 3},
        "weightiest": {"max_items": 3, "drop": "least_important"},
        "young": {"max_age_seconds": 3600},
    }
    return load(
        overrides={
            "data_dir": str(data_dir),
            "listen": "127.0.0.1:0",
            "sweep": {"interval_seconds": 0, "grace_seconds": 0},
            "retention": [
                {"kind": kind, "namespace": [KEPT, "*", label], **policy}
                for kind in ("semantic", "episodic", "procedural")
                for label, policy in policies.items()
            ],
        }
    )


@asynccontextmanager
async def opened(name: str, settings: Settings) -> AsyncIterator[Door]:
    """A gateway of these settings, seen through the door of that name."""
    gateway = Gateway(settings)
    await gateway.start()
    try:
        door = await open_door(name, gateway)
        try:
            yield door
        finally:
            await door.close()
    finally:
        await gateway.stop(grace=0)
