"""The bad days of each store that has a server: what callers hear, and that it passes by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.faults.days import (
    NO_RETRIES,
    PATIENCE,
    Backdrop,
    Day,
    Lock,
    backdrops,
    day,
    environ_for,
    failures,
    wait_until_said,
    wait_until_served,
)
from tests.faults.process import Gateway
from tests.faults.traffic import Traffic
from tests.thorough import THOROUGH

from memplane import (
    Client,
    DeadlineExceeded,
    Durability,
    FailedPrecondition,
    Health,
    Kind,
    MemplaneError,
    Mode,
    Unavailable,
)
from memplane_adapters.conformance.local_stores import Choice, Servers, at_hand

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(params=backdrops(), ids=str)
def backdrop(request: pytest.FixtureRequest) -> Backdrop:
    """A store that has a server."""
    made: Backdrop = request.param
    return made


@pytest.fixture
def today(backdrop: Backdrop, servers: Servers, place: Path) -> Iterator[Day]:
    """A day that has begun well, with a memory."""
    with day(backdrop, servers, place) as made:
        wait_until_served(made.client)
        write(made.client)
        yield made


def write(client: Client) -> None:
    """The memory that all these tests know."""
    client.put(Kind.SEMANTIC, "first", text="green tea", attributes={"n": 1})


def check_all_is_there(client: Client, timeout: float = PATIENCE) -> None:
    """The memory by every way to read."""
    memory = client.get(Kind.SEMANTIC, "first", timeout=timeout)
    assert memory is not None
    assert (memory.text, dict(memory.attributes)) == ("green tea", {"n": 1})
    assert [each.key for each in client.list(Kind.SEMANTIC, timeout=timeout)] == ["first"]
    assert client.count(Kind.SEMANTIC, filter={"n": 1}, timeout=timeout) == 1
    (hit,) = client.search("green tea", mode=Mode.VECTOR, timeout=timeout)
    assert hit.memory.key == "first"
    assert hit.relevance == pytest.approx(1.0, abs=1e-3)


def check_refused(client: Client, kind: type[MemplaneError], reason: str) -> None:
    """Every call fails in the same way, and none has an empty answer."""
    for name, error in failures(client).items():
        assert (type(error), error.reason) == (kind, reason), f"{name}: {error}"
        assert not error.ambiguous, f"{name}: {error}"


def check_others_are_well(client: Client) -> None:
    """The route of another store."""
    client.set("tone", "short")
    assert client.value("tone", timeout=5) == "short"
    assert client.health("procedural") is Health.SERVING


def test_refused_connection_at_the_start(backdrop: Backdrop, servers: Servers, place: Path) -> None:
    with day(backdrop, servers, place, running=False) as today:
        wait_until_said(today.client, "BACKEND_UNAVAILABLE")
        check_refused(today.client, Unavailable, "BACKEND_UNAVAILABLE")
        check_others_are_well(today.client)
        today.server.start()
        wait_until_served(today.client)
        assert today.client.health("semantic") is Health.SERVING
        write(today.client)
        check_all_is_there(today.client)


def test_field_52_refused_connection_later(today: Day) -> None:
    today.server.stop()
    for name, error in failures(today.client).items():
        # The first call may find its connection broken only once it has sent something.
        assert (type(error), error.reason) == (Unavailable, "BACKEND_UNAVAILABLE"), name
    wait_until_said(today.client, "BACKEND_UNAVAILABLE")
    check_refused(today.client, Unavailable, "BACKEND_UNAVAILABLE")
    check_others_are_well(today.client)
    today.server.start()
    wait_until_served(today.client)
    check_all_is_there(today.client)
    assert today.client.update(Kind.SEMANTIC, "first", attributes={"n": 3}).ok


@pytest.fixture
def locked(
    backdrop: Backdrop, servers: Servers, place: Path
) -> Iterator[tuple[Lock, Gateway, Client]]:
    """A gateway that has the secret of the server's doorkeeper, and a memory."""
    server = backdrop.make(servers, place / "server")
    server.start()
    with closing(server), backdrop.vendor.locked(server.url) as keeper:
        environ = environ_for(backdrop.adapter, keeper.url, **keeper.settings)
        with (
            Gateway(place, environ=environ) as gateway,
            Client(gateway.address, options=NO_RETRIES) as client,
        ):
            wait_until_served(client)
            write(client)
            yield keeper, gateway, client
            assert '"right"' not in gateway.log, "a secret is in the log"
            assert "bug in" not in gateway.log


def test_wrong_credentials(locked: tuple[Lock, Gateway, Client]) -> None:
    keeper, _, client = locked
    keeper.secret = "changed"
    for name, error in failures(client).items():
        assert (type(error), error.reason) == (FailedPrecondition, "BACKEND_MISCONFIGURED"), name
        assert "who are you" not in str(error), "the vendor's words are for the log"
    wait_until_said(client, "BACKEND_MISCONFIGURED")
    check_refused(client, FailedPrecondition, "BACKEND_MISCONFIGURED")
    check_others_are_well(client)
    keeper.secret = "right"
    wait_until_served(client)
    check_all_is_there(client)


def test_wrong_credentials_at_the_start(locked: tuple[Lock, Gateway, Client]) -> None:
    keeper, gateway, client = locked
    gateway.stop()
    keeper.secret = "changed while it was down"
    gateway.start()
    wait_until_said(client, "BACKEND_MISCONFIGURED")
    check_refused(client, FailedPrecondition, "BACKEND_MISCONFIGURED")
    keeper.secret = "right"
    wait_until_served(client)
    check_all_is_there(client)


def test_field_29_a_collection_that_vanishes_while_the_gateway_runs(today: Day) -> None:
    """It was recreated empty, and its data lost without a word."""
    today.drop_all()
    check_refused(today.client, FailedPrecondition, "BACKEND_MISCONFIGURED")
    wait_until_said(today.client, "BACKEND_MISCONFIGURED")
    check_refused(today.client, FailedPrecondition, "BACKEND_MISCONFIGURED")
    assert today.collections() == []
    today.gateway.stop()
    today.gateway.start()
    wait_until_said(today.client, "BACKEND_MISCONFIGURED")
    check_refused(today.client, FailedPrecondition, "BACKEND_MISCONFIGURED")
    assert today.collections() == []
    check_others_are_well(today.client)


def test_field_29_a_collection_that_vanishes_while_the_gateway_is_down(today: Day) -> None:
    today.gateway.stop()
    today.drop_all()
    today.gateway.start()
    wait_until_said(today.client, "BACKEND_MISCONFIGURED")
    check_refused(today.client, FailedPrecondition, "BACKEND_MISCONFIGURED")
    assert today.collections() == []
    check_others_are_well(today.client)


_LASTING = [each for each in at_hand(vectors=True) if THOROUGH or str(each) != "qdrant-memory"]


@pytest.mark.parametrize("lasting", _LASTING, ids=str)
def test_field_58_another_embedding_identity(
    lasting: Choice, servers: Servers, place: Path
) -> None:
    """In process too: what is there was made by something else, and stays as it is."""
    adapter, keys = lasting.keys(servers, place / "store")
    store = lasting.store
    assert store is not None, "it is at hand"
    ours = {adapter.prefix: str(keys[adapter.prefix])} if adapter.prefix else {}
    environ = environ_for(lasting.adapter_name, servers.url(store, place / "store"), **ours)
    other = {**environ, "MEMPLANE_EMBEDDERS__HASH__DIMENSION": "256"}
    with (
        Gateway(place, environ=environ) as gateway,
        Client(gateway.address, options=NO_RETRIES) as client,
    ):
        wait_until_served(client)
        if not client.status()[Kind.SEMANTIC].persistent:
            pytest.skip("the store keeps nothing over a restart")
        write(client)
        gateway.stop()
        (place / "other").mkdir()
        with (
            Gateway(place / "other", data=gateway.data, environ=other) as second,
            Client(second.address, options=NO_RETRIES) as stranger,
        ):
            wait_until_said(stranger, "IDENTITY_MISMATCH")
            check_refused(stranger, FailedPrecondition, "IDENTITY_MISMATCH")
            check_others_are_well(stranger)
            second.stop()
        gateway.start()
        wait_until_served(client)
        check_all_is_there(client)


def test_frozen_server(today: Day) -> None:
    today.server.pause()
    heard: dict[str, MemplaneError] = {}
    waiting = threading.Thread(target=lambda: heard.update(failures(today.client, timeout=1.5)))
    waiting.start()
    while waiting.is_alive():  # others are served meanwhile
        check_others_are_well(today.client)
        waiting.join(0.05)
    for name, error in heard.items():
        if type(error) is Unavailable:  # noticed by then: what was never ready again fails at once
            assert error.reason == "BACKEND_UNAVAILABLE", name
            continue
        assert type(error) is DeadlineExceeded, f"{name}: {error}"
        # A write may still be at its first look, and then has written nothing.
        assert not error.ambiguous or name in ("put", "update", "delete"), name
    assert DeadlineExceeded in map(type, heard.values())
    today.server.resume()
    wait_until_served(today.client)
    today.client.delete(Kind.SEMANTIC, "second", timeout=PATIENCE)  # may have been written
    write(today.client)
    check_all_is_there(today.client)


def test_field_46_a_server_that_is_killed_in_the_middle_of_traffic(today: Day) -> None:
    """A backend error became status 200 with no results."""
    with Traffic(today.gateway.address) as traffic:
        traffic.wait_for_acknowledged(60)
        today.server.kill()
        traffic.wait_for_errors(12)
        today.server.start()
        traffic.wait_for_acknowledged(60)
    assert not traffic.wrong, traffic.wrong[:5]
    if today.client.status()[Kind.SEMANTIC].durability is Durability.BUFFERED:
        pytest.skip("the store does not declare that writes survive its process")
    for key, text in traffic.acknowledged.items():
        memory = today.client.get(Kind.SEMANTIC, key, timeout=PATIENCE)
        assert memory is not None, f"acknowledged, but lost: {key}"
        assert memory.text == text
    listed = {memory.key for memory in today.client.list(Kind.SEMANTIC, timeout=PATIENCE)}
    assert listed >= traffic.acknowledged.keys()
    assert listed - traffic.acknowledged.keys() <= traffic.doubtful | {"first"}
