"""Gateways beside each other, in processes of their own, over one server of Chroma."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.beside import environ_for_shared, serves
from tests.faults.days import NO_RETRIES
from tests.faults.process import Gateway, until
from tests.thorough import THOROUGH

from memplane import Aborted, Client, Kind, MemplaneError
from memplane_adapters.conformance import servers
from memplane_gateway.config import installed

WRITERS = 32 if THOROUGH else 12
EACH = 2


def server_of(adapter: str, place: Path) -> servers.Server:
    """A running server of an adapter; skips the case where there is none."""
    entry = installed().get(adapter)
    if entry is None:
        pytest.skip(f"the adapter {adapter} is not installed")
    store = next(store for store in entry.load().local if store.program)
    try:
        launcher = servers.launcher_for(store)
    except servers.NotAtHandError as error:
        pytest.skip(str(error))
    return servers.Server(store, place, launcher).start()


@pytest.fixture
def chroma(tmp_path: Path) -> Iterator[servers.Server]:
    """A server that compares no revisions."""
    with server_of("chroma", tmp_path / "chroma") as server:
        yield server


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[servers.Server]:
    """A server for a control store."""
    with server_of("redis", tmp_path / "redis") as server:
        yield server


def _gateway(place: Path, chroma: servers.Server, redis: servers.Server | None) -> Gateway:
    place.mkdir()
    environ = {"MEMPLANE_VECTOR": f"chroma+{chroma.url}"}
    if redis is not None:
        environ |= environ_for_shared("redis", {"url": redis.url})
    return Gateway(place, environ=environ)


def _append(client: Client, number: int, acknowledged: list[int]) -> None:
    """Append a number to the list under if_match, until it is known to be there or unknown."""
    while True:
        try:
            memory = client.get(Kind.SEMANTIC, "list")
            assert memory is not None
            assert isinstance(memory.value, list)
            client.put(Kind.SEMANTIC, "list", value=[*memory.value, number], if_match=memory.etag)
        except Aborted:
            continue
        except MemplaneError:
            return  # this gateway was killed: nobody knows
        acknowledged.append(number)
        return


def _served(client: Client) -> bool:
    return serves(client, Kind.SEMANTIC)


def test_a_killed_gateway_loses_no_update_of_another_one(
    tmp_path: Path, chroma: servers.Server, redis: servers.Server
) -> None:
    one = _gateway(tmp_path / "one", chroma, redis).start()
    other = _gateway(tmp_path / "other", chroma, redis).start()
    try:
        with (
            Client(one.address, options=NO_RETRIES) as first,
            Client(other.address, options=NO_RETRIES) as second,
        ):
            until(lambda: _served(first) and _served(second), 30, "both serve")
            first.put(Kind.SEMANTIC, "list", value=[])
            acknowledged: list[int] = []

            def write(writer: int) -> None:
                client = first if writer % 2 else second
                for number in range(EACH):
                    _append(client, writer * EACH + number, acknowledged)

            threads = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
            for thread in threads:
                thread.start()
            until(lambda: len(acknowledged) > WRITERS, 120, "both write")
            one.kill()
            for thread in threads:
                thread.join()
            memory = second.get(Kind.SEMANTIC, "list")
            assert memory is not None
            assert isinstance(memory.value, list)
            assert len(set(memory.value)) == len(memory.value)
            assert set(acknowledged) <= set(memory.value)
            assert len(acknowledged) >= WRITERS * EACH // 2
            assert second.status().control is not None
    finally:
        one.kill()
        other.kill()


def test_gateways_that_share_no_control_store_are_noticed(
    tmp_path: Path, chroma: servers.Server
) -> None:
    one = _gateway(tmp_path / "one", chroma, None).start()
    other = _gateway(tmp_path / "other", chroma, None)
    try:
        with Client(one.address, options=NO_RETRIES) as first:
            until(lambda: _served(first), 30, "the first one serves")
            first.put(Kind.SEMANTIC, "k", text="tea")
            with Client(other.start().address, options=NO_RETRIES) as second:
                until(lambda: bool(second.status()[Kind.SEMANTIC].message), 30, "it is said")
                until(
                    lambda: "control: {store: NAME}" in second.status()[Kind.SEMANTIC].message,
                    30,
                    "why it does not serve",
                )
                assert _served(first)
                one.stop()
                until(lambda: _served(second), 30, "the second one serves once the first has ended")
                assert second.get(Kind.SEMANTIC, "k") is not None
    finally:
        one.kill()
        other.kill()
