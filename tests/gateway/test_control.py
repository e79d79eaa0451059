"""Gateways beside each other, their control store, and what a route must reach to serve."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from memplane import AsyncClient, FailedPrecondition, Kind, MemplaneError, RouteState, Unavailable
from memplane_adapters.conformance.memories.doors import IN_PROCESS
from memplane_adapters.conformance.memories.fixtures import opened, settings_in
from memplane_adapters.contract import (
    Backend,
    Capabilities,
    ConditionalWrite,
    Durability,
    Point,
    Reached,
    StoreError,
    StoreReason,
    Write,
)
from memplane_adapters.contract import Kind as StoreKind
from memplane_adapters.embedded import EmbeddedSettings
from memplane_adapters.embedded.database import Database
from memplane_adapters.embedded.key_value_store import EmbeddedKeyValueStore
from memplane_adapters.embedded.vector_store import EmbeddedVectorStore
from memplane_gateway import presence, routes
from memplane_gateway.config import ControlSettings, Settings, StoreSettings
from memplane_gateway.server import Gateway, StartError


@dataclass
class Server:
    """What lives on while gateways come and go."""

    database: Database
    reached: Durability | Reached = Durability.DISK
    levels: tuple[Durability, ...] = (Durability.BUFFERED, Durability.PROCESS, Durability.DISK)
    down: StoreError | None = None
    conditional: ConditionalWrite = ConditionalWrite.NATIVE

    def backend(self) -> Backend:
        """A client of it."""
        keys: Any = Remote(self, EmbeddedKeyValueStore(self.database))
        points: Any = Remote(self, EmbeddedVectorStore(self.database))
        return Backend(vector=points, key_value=keys)


class Remote:
    """One promise of that server, kept by an embedded store."""

    def __init__(self, server: Server, store: Any) -> None:
        self._server = server
        self._store = store

    @property
    def capabilities(self) -> Capabilities:
        able: Capabilities = self._store.capabilities
        server = self._server
        return replace(able, durability=server.levels, conditional_write=server.conditional)

    def __getattr__(self, name: str) -> Any:
        if self._server.down is not None and name != "close":
            raise self._server.down
        return getattr(self._store, name)

    async def ping(self) -> Durability | Reached:
        await self.__getattr__("ping")()
        return self._server.reached


class RemoteSettings(StoreSettings):
    """Settings whose adapter is made here."""

    server: Any

    def connect(self, data_dir: Path) -> Backend:
        backend: Backend = self.server.backend()
        return backend


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """A server that keeps both kinds of things."""
    return Server(Database(tmp_path / "server.db"))


DOWN = StoreError(StoreReason.UNAVAILABLE, "refused by 10.1.2.3", retryable=True)


def configured(directory: Path, **changes: Any) -> Settings:
    """A gateway's settings; `control`, and kinds, name stores of `stores` (name: Server)."""
    given = settings_in(directory)
    remote = {
        name: RemoteSettings(adapter="remote", settings=EmbeddedSettings(name), server=server)
        for name, server in changes.pop("stores", {}).items()
    }
    kinds = given.routes
    for kind in ("semantic", "procedural"):
        if kind in changes:
            route = getattr(kinds, kind).model_copy(update=changes.pop(kind))
            kinds = kinds.model_copy(update={kind: route})
    if "control" in changes:
        changes["control"] = ControlSettings(store=changes["control"])
    return given.model_copy(
        update={"stores": {**given.stores, **remote}, "routes": kinds, **changes}
    )


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[tuple[AsyncClient, Gateway]]:
    async with opened(IN_PROCESS, settings) as door:
        yield door.client, door.gateway


async def probe(gateway: Gateway, kind: StoreKind = StoreKind.PROCEDURAL) -> None:
    assert gateway._router is not None
    await gateway._router[kind].probe()


async def refusal(call: Any) -> MemplaneError:
    with pytest.raises(MemplaneError) as caught:
        await call
    return caught.value


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 (polls what has no event)
            await asyncio.sleep(0.005)


# --- the control store --------------------------------------------------------------------------


async def test_gateways_that_share_a_control_store_take_each_other_s_tokens(
    tmp_path: Path, server: Server
) -> None:
    def beside(name: str) -> Settings:
        main = {"store": "main"}
        return configured(tmp_path / name, stores={"main": server}, control="main", procedural=main)

    async with started(beside("a")) as (one, _), started(beside("b")) as (other, gateway):
        for number in range(4):
            await one.set(f"k{number}", number)
        page = await one.list(Kind.PROCEDURAL, page_size=2).page()
        rest = await other.list(Kind.PROCEDURAL, page_size=2).page(page.next_page_token)
        assert [memory.key for memory in (*page, *rest)] == ["k0", "k1", "k2", "k3"]
        control = (await other.status()).control
        assert control is not None
        assert (control.store, control.adapter, control.shared) == ("main", "remote", True)
        assert control.state is RouteState.SERVING
        assert control.durability.value == "disk"
        assert [info.error for info in gateway.routes] == ["", "", ""]
        assert any("semantic, episodic memories are in this" in note for note in gateway.notices)


async def test_an_embedded_control_store_is_not_shared(tmp_path: Path) -> None:
    async with started(configured(tmp_path)) as (client, gateway):
        control = (await client.status()).control
        assert control is not None
        assert (control.store, control.shared) == ("embedded", False)
        assert gateway._control.leases("p") is None


async def test_a_control_store_that_is_down_at_the_start_keeps_all_routes_until_it_is_back(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "WATCH_SECONDS", 0.01)
    server.down = DOWN
    settings = configured(tmp_path, stores={"main": server}, control="main")
    async with started(settings) as (client, gateway):
        for kind in (Kind.SEMANTIC, Kind.EPISODIC, Kind.PROCEDURAL):
            error = await refusal(client.count(kind))
            assert (type(error), error.reason) == (Unavailable, "BACKEND_UNAVAILABLE")
            assert "control store" in str(error)
            assert "10.1.2.3" not in str(error)
        status = await client.status()
        assert {route.state for route in status.routes.values()} == {RouteState.NOT_SERVING}
        assert status.control is not None
        assert status.control.state is RouteState.NOT_SERVING
        server.down = None
        await _until(lambda: not any(info.error for info in gateway.routes))
        assert await client.count(Kind.SEMANTIC) == 0


async def test_a_control_store_that_goes_down_later_takes_only_what_needs_it(
    tmp_path: Path, server: Server
) -> None:
    plain = Server(Database(tmp_path / "plain.db"), conditional=ConditionalWrite.NONE)
    settings = configured(
        tmp_path,
        stores={"main": server, "plain": plain},
        control="main",
        procedural={"store": "plain"},
    )
    async with started(settings) as (client, gateway):
        for number in range(3):
            await client.set(f"k{number}", number)
        page = await client.list(Kind.PROCEDURAL, page_size=2).page()
        server.down = DOWN
        error = await refusal(client.set("k0", 5))
        assert (type(error), error.reason) == (Unavailable, "BACKEND_UNAVAILABLE")
        assert error.metadata["store"] == "control"
        await client.put(Kind.SEMANTIC, "s", text="tea")
        assert len(await client.search("tea")) == 1
        rest = await client.list(Kind.PROCEDURAL, page_size=2).page(page.next_page_token)
        assert [memory.key for memory in rest] == ["k2"]
        await probe(gateway)
        status = await client.status()
        assert all(route.serving for route in status.routes.values())
        assert status.control is not None
        assert status.control.state is RouteState.NOT_SERVING
        server.down = None
        await client.set("k0", 6)


async def test_a_control_store_must_compare_what_it_replaces(
    tmp_path: Path, server: Server
) -> None:
    server.conditional = ConditionalWrite.NONE
    with pytest.raises(StartError, match=r"control\.store") as caught:
        Gateway(configured(tmp_path, stores={"main": server}, control="main"))
    assert caught.value.exit_code == 78


# --- gateways that do not share -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "conditional"),
    [
        ("semantic", ConditionalWrite.NONE),
        ("procedural", ConditionalWrite.NONE),
        ("procedural", ConditionalWrite.NATIVE),
    ],
)
async def test_a_second_gateway_with_another_control_store_does_not_serve(
    tmp_path: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    conditional: ConditionalWrite,
) -> None:
    """Until the first one has ended, or has been silent for long enough."""
    server.conditional = conditional
    named = Kind(kind)

    def beside(name: str) -> Settings:
        return configured(tmp_path / name, stores={"main": server}, **{kind: {"store": "main"}})

    async with started(beside("b")) as (other, second):
        async with started(beside("a")) as (one, first):
            error = await refusal(one.count(named))
            assert isinstance(error, FailedPrecondition)
            assert error.reason == "BACKEND_MISCONFIGURED"
            assert "control: {store: NAME}" in str(error)
            assert await other.count(named) == 0
            await probe(second, StoreKind(kind))
            assert await other.count(named) == 0
            monkeypatch.setattr(presence, "SILENT_SECONDS", 0.0)
            await probe(first, StoreKind(kind))
            assert await one.count(named) == 0, "the other one has died, or so it seems"
            monkeypatch.setattr(presence, "SILENT_SECONDS", 30.0)
            monkeypatch.setattr(presence, "BEAT_SECONDS", 0.0)
            await probe(second, StoreKind(kind))
            assert isinstance(await refusal(other.count(named)), FailedPrecondition)
        await probe(second, StoreKind(kind))
        assert await other.count(named) == 0, "who ends well says so"
    assert (await _rows(server)) == 0


async def _rows(server: Server) -> int | None:
    store = EmbeddedKeyValueStore(server.database)
    await store.open()
    try:
        return (await store.stats(StoreKind.CONTROL)).rows
    finally:
        await store.close()


async def test_a_gateway_that_died_comes_back_at_once(tmp_path: Path, server: Server) -> None:
    settings = configured(tmp_path, stores={"main": server}, procedural={"store": "main"})
    gateway = Gateway(settings)
    await gateway.start()
    assert gateway._router is not None
    gateway._router[StoreKind.PROCEDURAL]._presence = None  # leaves its note behind
    await gateway.stop(grace=0)
    assert (await _rows(server)) == 1
    async with started(settings) as (client, _):
        assert await client.count(Kind.PROCEDURAL) == 0


async def test_a_note_that_cannot_be_left_keeps_nobody_from_serving(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.conditional = ConditionalWrite.NONE

    async def full(self: Any, writes: list[Write[Point]]) -> None:
        assert writes[0].entry.address.kind is StoreKind.CONTROL
        raise StoreError(StoreReason.EXHAUSTED, "full")

    monkeypatch.setattr(EmbeddedVectorStore, "upsert", full)
    settings = configured(tmp_path, stores={"main": server}, semantic={"store": "main"})
    async with started(settings) as (client, _):
        assert await client.count(Kind.SEMANTIC) == 0


# --- what a route must reach --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reached", "required", "enough"),
    [
        (Durability.DISK, "disk", True),
        (Durability.PROCESS, "disk", False),
        (Durability.PROCESS, "process", True),
        (Durability.BUFFERED, "process", False),
        (Durability.BUFFERED, "buffered", True),
        (Durability.BUFFERED, "none", True),
        (Durability.MANAGED, "process", True),
        (Durability.MANAGED, "disk", False),
        (Durability.DISK, "managed", False),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
async def test_a_gateway_does_not_start_on_less_than_is_required(
    tmp_path: Path, server: Server, reached: Durability, required: str, *, enough: bool, whole: bool
) -> None:
    server.levels = tuple(Durability)[:4]
    server.reached = Reached(reached, "fsync sometimes")
    route: dict[str, Any] = {"store": "main"}
    changes: dict[str, Any] = {}
    if whole:
        changes = {"require_durability": required, "semantic": {"require_durability": "none"}}
    else:
        route["require_durability"] = required
    settings = configured(tmp_path, stores={"main": server}, procedural=route, **changes)
    if whole and required == "managed":  # the embedded store of the episodic route
        settings = settings.model_copy(
            update={
                "routes": settings.routes.model_copy(
                    update={
                        "episodic": settings.routes.episodic.model_copy(
                            update={"require_durability": "none"}
                        )
                    }
                )
            }
        )
    gateway = Gateway(settings)
    if enough:
        await gateway.start()
        await gateway.stop(grace=0)
        return
    with pytest.raises(StartError) as caught:
        await gateway.start()
    assert caught.value.exit_code == 78
    said = str(caught.value)
    for part in ("procedural", "main", required.upper(), f"{reached.name} (fsync sometimes)"):
        assert part in said


async def test_a_collection_without_words_is_told_where_auto_would_ask_for_them(
    tmp_path: Path, server: Server
) -> None:
    server.reached = Reached(Durability.DISK, wordless=frozenset({StoreKind.SEMANTIC}))
    route = {"store": "main"}
    settings = configured(tmp_path, stores={"main": server}, semantic=route, procedural=route)
    async with started(settings) as (client, _):
        told = [notice for notice in (await client.status()).notices if "without words" in notice]
        assert len(told) == 1
        assert all(part in told[0] for part in ("semantic", "main", "`search: vector`", "`prefix`"))
    settings = configured(
        tmp_path, stores={"main": server}, semantic=route | {"search": "vector"}, procedural=route
    )
    async with started(settings) as (client, _):
        assert not any("without words" in each for each in (await client.status()).notices)


async def test_what_a_store_can_never_reach_is_known_before_it_answers(
    tmp_path: Path, server: Server
) -> None:
    server.levels = (Durability.BUFFERED, Durability.PROCESS)
    server.down = None
    route = {"store": "main", "require_durability": "disk"}
    gateway = Gateway(configured(tmp_path, stores={"main": server}, procedural=route))
    server.down = DOWN
    with pytest.raises(
        StartError, match=r"routes.procedural.require_durability.*PROCESS"
    ) as caught:
        await gateway.start()
    assert caught.value.exit_code == 78
    await gateway.stop(grace=0)


async def test_a_store_that_was_down_is_looked_at_when_it_answers(
    tmp_path: Path, server: Server
) -> None:
    server.reached = Reached(Durability.PROCESS, "fsync sometimes", replicas=2)
    server.down = DOWN
    route = {"store": "main", "require_durability": "disk"}
    settings = configured(tmp_path, stores={"main": server}, procedural=route)
    async with started(settings) as (client, gateway):
        assert isinstance(await refusal(client.count(Kind.PROCEDURAL)), Unavailable)
        server.down = None
        await probe(gateway)
        error = await refusal(client.set("k", 1))
        assert (type(error), error.reason) == (FailedPrecondition, "DURABILITY_UNAVAILABLE")
        status = (await client.status())[Kind.PROCEDURAL]
        assert status.state is RouteState.NOT_SERVING
        assert (status.error, status.durability.value) == ("DURABILITY_UNAVAILABLE", "process")
        assert (status.durability_why, status.replicas) == ("fsync sometimes", 2)
        assert "fsync sometimes" in status.message

        server.reached = Durability.DISK
        await probe(gateway)
        await client.set("k", 1)
        status = (await client.status())[Kind.PROCEDURAL]
        assert (status.durability_why, status.replicas) == ("", None)

        server.reached = Durability.PROCESS
        await probe(gateway)
        assert (await refusal(client.set("k", 2))).reason == "DURABILITY_UNAVAILABLE"


async def test_a_call_may_ask_for_a_level_whatever_it_writes(
    tmp_path: Path, server: Server
) -> None:
    server.reached = Durability.PROCESS
    settings = configured(tmp_path, stores={"main": server}, procedural={"store": "main"})
    async with started(settings) as (client, _):
        await client.put(Kind.PROCEDURAL, "k", value=1, min_durability="process")
        for call in (
            client.put(Kind.PROCEDURAL, "k", value=2, min_durability="disk"),
            client.update(Kind.PROCEDURAL, "k", value=2, min_durability="disk"),
            client.delete(Kind.PROCEDURAL, "k", min_durability="disk"),
        ):
            error = await refusal(call)
            assert (type(error), error.reason) == (FailedPrecondition, "DURABILITY_UNAVAILABLE")
            assert error.metadata == {"asked": "DISK", "route": "PROCESS"}
        memory = await client.get(Kind.PROCEDURAL, "k")
        assert memory is not None
        assert memory.value == 1


async def test_a_control_store_that_would_forget_is_not_taken(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server says so when it is asked how it fares, say because it evicts what it keeps."""
    evicting = StoreError(StoreReason.MISCONFIGURED, "maxmemory-policy is allkeys-lru")

    async def ping(self: Remote) -> Durability:
        raise evicting

    monkeypatch.setattr(Remote, "ping", ping)
    settings = configured(tmp_path, stores={"main": server}, control="main")
    async with started(settings) as (client, gateway):
        error = await refusal(client.count(Kind.PROCEDURAL))
        assert "control store" in str(error)
        monkeypatch.undo()
        await probe(gateway)
        assert await client.count(Kind.PROCEDURAL) == 0
