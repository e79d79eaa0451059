"""Writes that wait for their store: a real gateway over a real server that goes away and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.days import NO_RETRIES
from tests.faults.process import Gateway, until
from tests.faults.test_beside import server_of

from memplane import Client, Durability, Kind, Outcome, Unavailable
from memplane_adapters.conformance import servers

# (adapter, kind whose route leads to it)
ROUTES = [("redis", Kind.PROCEDURAL), ("chroma", Kind.SEMANTIC)]


@pytest.fixture(params=ROUTES, ids=lambda route: route[0])
def route(request: pytest.FixtureRequest) -> tuple[str, Kind]:
    """An adapter and the kind that it keeps."""
    found: tuple[str, Kind] = request.param
    return found


@pytest.fixture
def store(route: tuple[str, Kind], tmp_path: Path) -> Iterator[servers.Server]:
    """Its server, running."""
    with server_of(route[0], tmp_path / route[0]) as server:
        yield server


@pytest.fixture
def gateway(route: tuple[str, Kind], store: servers.Server, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway whose writes wait while the server is down."""
    adapter, kind = route
    place = tmp_path / "gateway"
    place.mkdir()
    setting = f"MEMPLANE_ROUTES__{kind.value.upper()}"
    gateway = Gateway(
        place,
        environ={
            "MEMPLANE_STORES__THERE__ADAPTER": adapter,
            "MEMPLANE_STORES__THERE__URL": store.url,
            f"{setting}__STORE": "there",
            f"{setting}__ON_BACKEND_DOWN": "spool",
        },
    )
    try:
        yield gateway.start()
    finally:
        gateway.kill()


def waiting(client: Client, kind: Kind) -> int:
    """How many writes wait; -1 while the gateway does not answer."""
    try:
        outbox = client.status()[kind].outbox
    except Unavailable:
        return -1
    assert outbox is not None
    return outbox.waiting


def test_writes_wait_while_the_store_is_down(
    route: tuple[str, Kind], store: servers.Server, gateway: Gateway
) -> None:
    _, kind = route
    with Client(gateway.address, options=NO_RETRIES) as client:
        client.put(kind, "old", value=1)
        client.put(kind, "gone", value=1)
        store.kill()

        spooled = client.put(kind, "new", value=2, text="the new one")
        assert spooled.outcome is Outcome.SPOOLED
        assert spooled.durability is Durability.SPOOLED
        assert not spooled.visible
        assert client.delete(kind, "gone").outcome is Outcome.SPOOLED
        found = client.get(kind, "new")
        assert found is not None
        assert (found.value, found.etag) == (2, spooled.etag)
        assert client.get(kind, "gone") is None
        with pytest.raises(Unavailable):
            client.get(kind, "old")
        with pytest.raises(Unavailable):
            client.count(kind)
        with pytest.raises(Unavailable, match="only it can decide"):
            client.update(kind, "old", value=3)
        client.update(kind, "new", attributes={"seen": True})
        assert waiting(client, kind) == 3

        gateway.kill()
        gateway.start()
        until(lambda: waiting(client, kind) == 3, 30, "what waited is known again")
        store.start()
        until(lambda: waiting(client, kind) == 0, 30, "all is carried out")

        found = client.get(kind, "new")
        assert found is not None
        assert (found.value, found.attributes) == (2, {"seen": True})
        assert client.get(kind, "gone") is None
        assert client.count(kind) == 2
