"""Routes over a server that goes away, refuses, or loses a collection: the right reason, by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from memplane import (
    AsyncClient,
    FailedPrecondition,
    Kind,
    MemplaneError,
    RouteState,
    Unavailable,
)
from memplane_adapters.conformance.memories.doors import IN_PROCESS
from memplane_adapters.conformance.memories.fixtures import opened, settings_in
from memplane_adapters.contract import (
    Backend,
    Collection,
    Durability,
    FieldType,
    Reached,
    StoreError,
    StoreReason,
    VectorStore,
)
from memplane_adapters.contract import Kind as StoreKind
from memplane_adapters.embedded import ADAPTER, EmbeddedSettings
from memplane_adapters.embedded.vector_store import CAPABILITIES as EMBEDDED_VECTORS
from memplane_gateway import routes
from memplane_gateway.config import Settings, StoreSettings
from memplane_gateway.routes import Route
from memplane_gateway.server import Gateway, StartError


@dataclass
class Server:
    """What lives on while gateways come and go."""

    collections: set[StoreKind] = field(default_factory=set)
    asked: list[Collection] = field(default_factory=list)
    opens: int = 0
    on_open: StoreError | None = None
    on_ping: StoreError | None = None
    on_ensure: StoreError | None = None

    def made(self) -> Mapping[StoreKind, bool]:
        """What the last start said about each kind."""
        return {collection.kind: collection.made for collection in self.asked}


class Remote:
    """A vector store as a client of that server; its rows are in an embedded store."""

    def __init__(self, server: Server, store: VectorStore) -> None:
        self._server = server
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def open(self) -> None:
        self._server.opens += 1
        if self._server.on_open is not None:
            raise self._server.on_open
        await self._store.open()

    async def ensure(self, collection: Collection) -> None:
        if self._server.on_ensure is not None:
            raise self._server.on_ensure
        self._server.asked.append(collection)
        if collection.kind not in self._server.collections:
            if collection.made:
                raise StoreError(StoreReason.COLLECTION_MISSING, "gone")
            self._server.collections.add(collection.kind)
        await self._store.ensure(collection)

    async def ping(self) -> Durability | Reached:
        if self._server.on_ping is not None:
            raise self._server.on_ping
        if not self._server.collections.issuperset({StoreKind.SEMANTIC}):
            raise StoreError(StoreReason.COLLECTION_MISSING, "gone")
        return await self._store.ping()


class RemoteSettings(StoreSettings):
    """Settings whose adapter is made here."""

    server: Any

    def connect(self, data_dir: Path) -> Backend:
        store = ADAPTER.connect(EmbeddedSettings("remote.db"), data_dir).vector
        assert store is not None
        return Backend(vector=Remote(self.server, store))


def settings_with(directory: Path, server: Server, name: str = "remote", **route: Any) -> Settings:
    given = settings_in(directory)
    semantic = given.routes.semantic.model_copy(update={"store": name, **route})
    remote = RemoteSettings(adapter="remote", settings=EmbeddedSettings(), server=server)
    return given.model_copy(
        update={
            "stores": {**given.stores, name: remote},
            "routes": given.routes.model_copy(update={"semantic": semantic}),
        }
    )


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[tuple[AsyncClient, Route]]:
    async with opened(IN_PROCESS, settings) as door:
        assert door.gateway._router is not None
        yield door.client, door.gateway._router[StoreKind.SEMANTIC]


async def refusal(client: AsyncClient, kind: Kind = Kind.SEMANTIC) -> MemplaneError:
    with pytest.raises(MemplaneError) as caught:
        await client.count(kind)
    return caught.value


# --- what vanishes ------------------------------------------------------------------------------


async def test_a_collection_that_vanished_while_the_gateway_was_down(tmp_path: Path) -> None:
    server = Server()
    settings = settings_with(tmp_path, server)
    for expected in (False, True, True):
        server.asked.clear()
        async with started(settings) as (client, _):
            assert await client.count(Kind.SEMANTIC) == 0
        assert server.made() == {StoreKind.SEMANTIC: expected}

    server.collections.clear()
    async with started(settings) as (client, route):
        error = await refusal(client)
        assert isinstance(error, FailedPrecondition)
        assert error.reason == "BACKEND_MISCONFIGURED"
        assert "vanished" in str(error)
        assert server.collections == set(), "it is not made anew"
        assert await client.count(Kind.PROCEDURAL) == 0, "other routes serve"
        server.collections.add(StoreKind.SEMANTIC)
        await route.probe()
        assert await client.count(Kind.SEMANTIC) == 0


async def test_another_name_or_place_begins_anew(tmp_path: Path) -> None:
    server = Server()
    async with started(settings_with(tmp_path, server)):
        pass
    server.collections.clear()
    async with started(settings_with(tmp_path, server, "elsewhere")) as (client, _):
        assert await client.count(Kind.SEMANTIC) == 0
    assert server.made() == {StoreKind.SEMANTIC: False}
    server.collections.clear()
    settings = settings_with(tmp_path, server)
    moved = settings.stores["remote"].model_copy(
        update={"settings": EmbeddedSettings("another.db")}
    )
    settings = settings.model_copy(update={"stores": {**settings.stores, "remote": moved}})
    async with started(settings) as (client, _):
        assert await client.count(Kind.SEMANTIC) == 0


async def test_what_was_not_made_ready_is_not_noted(tmp_path: Path) -> None:
    server = Server(on_ensure=StoreError(StoreReason.UNAVAILABLE, "down", retryable=True))
    settings = settings_with(tmp_path, server)
    async with started(settings) as (client, _):
        assert isinstance(await refusal(client), Unavailable)
    server.on_ensure = None
    async with started(settings) as (client, _):
        assert await client.count(Kind.SEMANTIC) == 0
    assert server.made() == {StoreKind.SEMANTIC: False}


async def test_a_note_that_cannot_be_written_keeps_no_route_from_serving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    gateway = Gateway(settings_with(tmp_path, server))
    put = gateway._control._store.put

    async def full(writes: Any, **options: Any) -> Any:
        if writes[0].entry.address.namespace[0] == "made":
            raise StoreError(StoreReason.EXHAUSTED, "full")
        return await put(writes, **options)

    monkeypatch.setattr(gateway._control._store, "put", full)
    await gateway.start()
    try:
        assert [info.error for info in gateway.routes] == ["", "", ""]
    finally:
        await gateway.stop(grace=0)
    assert "could not note that a collection was made" in caplog.text


async def test_the_store_hears_what_is_to_be_indexed(tmp_path: Path) -> None:
    server = Server()
    index = {("price",): FieldType.NUMBER, ("a.b", "c"): FieldType.STRING}
    async with started(settings_with(tmp_path, server, index=index)) as (client, _):
        assert await client.count(Kind.SEMANTIC) == 0
    assert [collection.index for collection in server.asked] == [index]


async def test_the_embedded_store_says_that_its_file_vanished(tmp_path: Path) -> None:
    given = settings_in(tmp_path)
    semantic = given.routes.semantic.model_copy(update={"store": "other"})
    other = StoreSettings(adapter="embedded", settings=EmbeddedSettings("other.db"))
    settings = given.model_copy(
        update={
            "stores": {**given.stores, "other": other},
            "routes": given.routes.model_copy(update={"semantic": semantic}),
        }
    )
    async with started(settings) as (client, _):
        await client.put(Kind.SEMANTIC, "k", text="kept")
    _remove(tmp_path, "other.db*")
    async with started(settings) as (client, _):
        error = await refusal(client)
        assert (type(error), error.reason) == (FailedPrecondition, "BACKEND_MISCONFIGURED")


# --- the watch ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [StoreReason.COLLECTION_MISSING, StoreReason.MISCONFIGURED])
async def test_what_a_ping_says_is_what_calls_hear_until_it_is_mended(
    tmp_path: Path, reason: StoreReason
) -> None:
    server = Server()
    async with started(settings_with(tmp_path, server)) as (client, route):
        await client.put(Kind.SEMANTIC, "k", text="kept")
        server.on_ping = StoreError(reason, "said by the server")
        status = (await client.status()).routes[Kind.SEMANTIC]
        assert status.state is RouteState.NOT_SERVING
        error = await refusal(client)
        assert isinstance(error, FailedPrecondition)
        assert error.reason == status.error == "BACKEND_MISCONFIGURED"
        assert "said by the server" not in str(error)

        opens, ensures = server.opens, len(server.asked)
        server.on_ping = None
        await route.probe()
        assert (server.opens, len(server.asked)) == (opens + 1, ensures + 1), "made ready anew"
        assert server.made() == {StoreKind.SEMANTIC: True}
        memory = await client.get(Kind.SEMANTIC, "k")
        assert memory is not None
        assert memory.text == "kept"


async def test_a_collection_that_vanishes_while_the_gateway_runs(tmp_path: Path) -> None:
    server = Server()
    async with started(settings_with(tmp_path, server)) as (client, route):
        server.collections.clear()
        for _ in range(3):
            await route.probe()
            assert (await refusal(client)).reason == "BACKEND_MISCONFIGURED"
        assert server.collections == set(), "it is not made anew"
        server.collections.add(StoreKind.SEMANTIC)
        await route.probe()
        assert await client.count(Kind.SEMANTIC) == 0


async def test_while_a_server_is_down_calls_go_to_it_and_hear_the_truth(tmp_path: Path) -> None:
    """A ping may be two seconds old; the store knows better."""
    server = Server()
    async with started(settings_with(tmp_path, server)) as (client, route):
        server.on_ping = StoreError(StoreReason.UNAVAILABLE, "down", retryable=True)
        await route.probe()
        assert not _serves(route)
        assert await client.count(Kind.SEMANTIC) == 0, "it is back, though no ping has said so"
        opens = server.opens
        server.on_ping = None
        await route.probe()
        assert _serves(route)
        assert server.opens == opens, "what is ready stays so"


@pytest.mark.parametrize("step", ["on_open", "on_ensure", "on_ping"])
async def test_a_start_is_tried_again_until_it_succeeds(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the watch itself, from wherever it failed."""
    monkeypatch.setattr(routes, "WATCH_SECONDS", 0.01)
    server = Server()
    setattr(server, step, StoreError(StoreReason.UNAVAILABLE, "down", retryable=True))
    async with started(settings_with(tmp_path, server)) as (client, route):
        error = await refusal(client)
        assert (type(error), error.reason) == (Unavailable, "BACKEND_UNAVAILABLE")
        opens = server.opens
        await _until(lambda: server.opens > opens + 2)
        setattr(server, step, None)
        await _until(lambda: _serves(route))
        assert await client.count(Kind.SEMANTIC) == 0


@pytest.mark.parametrize("step", ["on_ensure", "on_ping"])
async def test_a_server_that_refuses_the_credentials_at_the_start(
    tmp_path: Path, step: str
) -> None:
    """It may be mended at the server, so the gateway starts, and other routes serve."""
    server = Server()
    setattr(server, step, StoreError(StoreReason.MISCONFIGURED, "401"))
    async with started(settings_with(tmp_path, server)) as (client, route):
        error = await refusal(client)
        assert (type(error), error.reason) == (FailedPrecondition, "BACKEND_MISCONFIGURED")
        assert await client.count(Kind.EPISODIC) == 0
        setattr(server, step, None)
        await route.probe()
        assert await client.count(Kind.SEMANTIC) == 0


async def test_a_store_that_cannot_be_opened_as_it_is_set_up_is_a_wrong_configuration(
    tmp_path: Path,
) -> None:
    server = Server(on_open=StoreError(StoreReason.MISCONFIGURED, "no such directory"))
    gateway = Gateway(settings_with(tmp_path, server))
    with pytest.raises(StartError, match="no such directory") as caught:
        await gateway.start()
    assert caught.value.exit_code == 78


async def test_vectors_that_are_too_long_for_the_store_are_a_wrong_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(EMBEDDED_VECTORS, max_dimension=511)
    monkeypatch.setattr(Remote, "capabilities", small, raising=False)
    gateway = Gateway(settings_with(tmp_path, Server()))
    said = r"routes\.semantic\.embedder: .*'hash' have 512 .*'remote' takes at most 511"
    with pytest.raises(StartError, match=said) as caught:
        await gateway.start()
    assert caught.value.exit_code == 78
    await gateway.stop(grace=0)
    monkeypatch.setattr(Remote, "capabilities", replace(small, max_dimension=512))
    async with started(settings_with(tmp_path, Server())) as (client, _):
        assert (await client.capabilities())[Kind.SEMANTIC].max_dimension == 512


def _serves(route: Route) -> bool:
    return route.state.error is None


def _remove(directory: Path, pattern: str) -> None:
    for file in directory.glob(pattern):
        file.unlink()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 (polls what has no event)
            await asyncio.sleep(0.005)
