"""Writes that wait for their store: a real gateway over a real server that goes away and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.disks import need_disk
from tests.faults.days import NO_RETRIES
from tests.faults.process import Gateway, until
from tests.faults.test_beside import server_of

from memplane import Client, Durability, Kind, Outcome, Put, Ref, Unavailable
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
    need_disk(tmp_path)
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


MEMORIES = 300


def _fewer_wait(client: Client, kind: Kind, than: int) -> bool:
    return -1 < waiting(client, kind) < than


def test_what_waits_is_carried_out_once_though_the_gateway_is_killed_meanwhile(
    route: tuple[str, Kind], store: servers.Server, gateway: Gateway
) -> None:
    """The etag is that of the write: had one been applied again, it would be another."""
    _, kind = route
    with Client(gateway.address, options=NO_RETRIES) as client:
        client.put(kind, "before", value=0)
        store.kill()
        etags: dict[str, str] = {}
        for begin in range(0, MEMORIES, 50):
            puts = [Put(Ref(kind, (), f"k{i}"), value=i) for i in range(begin, begin + 50)]
            for result in client.put_many(puts).raise_for_error():
                assert result.outcome is Outcome.SPOOLED
                etags[result.key] = result.etag
        # Some more than once: the last one counts.
        for key in ("k0", "k150", "k299"):
            etags[key] = client.put(kind, key, value="newest").etag
        client.delete(kind, "k7")
        del etags["k7"]
        store.start()
        for _ in range(6):
            until(lambda: gateway.running and waiting(client, kind) >= 0, 30, "it answers")
            left = waiting(client, kind)
            if left == 0:
                break
            until(partial(_fewer_wait, client, kind, left), 30, "some are carried out")
            gateway.kill()
            gateway.start()
        until(lambda: waiting(client, kind) == 0, 60, "all is carried out")
        refs = [Ref(kind, (), key) for key in etags]
        found = {each.key: each.etag for each in client.get_many(refs) if each is not None}
        assert found == etags
        assert client.get(kind, "k7") is None
        assert client.count(kind) == len(etags) + 1
        outbox = client.status()[kind].outbox
        assert outbox is not None
        assert outbox.dead == 0


def test_a_frozen_store_has_the_last_write_when_it_thaws(
    route: tuple[str, Kind], store: servers.Server, gateway: Gateway
) -> None:
    _, kind = route
    with Client(gateway.address, options=NO_RETRIES) as client:
        client.put(kind, "k", value=1)
        store.pause()
        try:
            first = client.put(kind, "k", value=2, timeout=4)
            last = client.put(kind, "k", value=3, timeout=10)
        finally:
            store.resume()
        assert first.outcome is last.outcome is Outcome.SPOOLED
        until(lambda: waiting(client, kind) == 0, 60, "all is carried out")
        found = client.get(kind, "k")
        assert found is not None
        assert (found.value, found.etag) == (3, last.etag)
