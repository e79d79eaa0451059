"""The outbox from outside: what a gateway refuses to start with, and what its operator sees and does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.disks import need_disk
from tests.gateway.flaky import DOWN, until
from tests.gateway.test_control import RemoteSettings, Server, probe, refusal

from memplane import AsyncClient, Health, InvalidArgument, Kind, OutboxOperation, Ref, Unavailable
from memplane.v1 import admin_service_pb2 as pb
from memplane.v1 import memory_pb2
from memplane_adapters.conformance.memories.doors import GRPC, IN_PROCESS, Door, call
from memplane_adapters.conformance.memories.fixtures import opened, settings_in
from memplane_adapters.contract import Kind as StoreKind
from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.embedded import EmbeddedSettings
from memplane_adapters.embedded.database import Database
from memplane_adapters.embedded.key_value_store import EmbeddedKeyValueStore
from memplane_gateway.config import ControlSettings, Settings, load, place_of
from memplane_gateway.outbox import outbox, replay
from memplane_gateway.server import Gateway, StartError

KINDS = (Kind.SEMANTIC, Kind.EPISODIC, Kind.PROCEDURAL)
ADMIN = "/memplane.v1.AdminService/"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay that looks often."""
    monkeypatch.setattr(replay, "LOOK_SECONDS", 0.002)
    monkeypatch.setattr(replay, "FIRST_PAUSE_SECONDS", 0.002)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """A server that keeps all kinds."""
    return Server(Database(tmp_path / "server.db"))


def spooling(
    directory: Path, server: Server, *, name: str = "main", kinds: tuple[Kind, ...] = KINDS
) -> Settings:
    """A gateway whose writes of these kinds wait for the server; `name` is the store's, and its place."""
    need_disk(directory)
    given = settings_in(directory)
    remote = RemoteSettings(adapter="remote", settings=EmbeddedSettings(name), server=server)
    routes = given.routes
    for kind in kinds:
        change = {"store": name, "on_backend_down": "spool"}
        route = getattr(routes, kind.value).model_copy(update=change)
        routes = routes.model_copy(update={kind.value: route})
    return given.model_copy(update={"stores": {**given.stores, name: remote}, "routes": routes})


@asynccontextmanager
async def served(settings: Settings, door: str = IN_PROCESS) -> AsyncIterator[Door]:
    async with opened(door, settings) as made:
        yield made


async def put_all(client: AsyncClient, *keys: str) -> None:
    """A memory of each kind a key."""
    for key in keys:
        for kind in reversed(KINDS):
            await client.put(kind, key, text="" if kind is Kind.PROCEDURAL else key, value=key)


async def listed(door: Door, **request: Any) -> pb.ListOutboxEntriesResponse:
    return await call(
        door,
        ADMIN + "ListOutboxEntries",
        pb.ListOutboxEntriesRequest(**request),
        pb.ListOutboxEntriesResponse,
    )


async def pages(door: Door, **request: Any) -> list[list[str]]:
    """The keys of each page; those of a damaged entry are its id."""
    found = []
    while True:
        page = await listed(door, **request)
        found.append([entry.ref.key or entry.id for entry in page.entries])
        if not page.next_page_token:
            return found
        request["page_token"] = page.next_page_token


# --- the start ----------------------------------------------------------------------------------


async def start_error(settings: Settings) -> StartError:
    gateway = Gateway(settings)
    with pytest.raises(StartError) as caught:
        await gateway.start()
    await gateway.stop(grace=0)
    return caught.value


@pytest.mark.parametrize("kind", [Kind.SEMANTIC, Kind.PROCEDURAL])
async def test_nothing_waits_for_a_store_that_is_in_the_gateway(tmp_path: Path, kind: Kind) -> None:
    given = settings_in(tmp_path)
    route = getattr(given.routes, kind.value).model_copy(update={"on_backend_down": "spool"})
    routes = given.routes.model_copy(update={kind.value: route})
    error = await start_error(given.model_copy(update={"routes": routes}))
    assert error.exit_code == 78
    assert str(error).startswith(f"routes.{kind.value}.on_backend_down: ")
    assert "the embedded store 'embedded'" in str(error)


@pytest.mark.parametrize("kind", [Kind.SEMANTIC, Kind.PROCEDURAL])
async def test_nothing_waits_where_other_gateways_would_not_see_it(
    tmp_path: Path, server: Server, kind: Kind
) -> None:
    settings = spooling(tmp_path, server, kinds=(kind,))
    error = await start_error(
        settings.model_copy(update={"control": ControlSettings(store="main")})
    )
    assert error.exit_code == 78
    assert str(error).startswith(f"routes.{kind.value}.on_backend_down: ")
    assert "the control store 'main' is shared" in str(error)


async def test_a_gateway_starts_while_its_stores_are_down(tmp_path: Path, server: Server) -> None:
    server.down = DOWN
    async with served(spooling(tmp_path, server), GRPC) as door:
        client = door.client
        await put_all(client, "k")
        assert await client.health() is Health.SERVING  # it takes writes
        for kind in KINDS:
            assert await client.health(kind.value) is Health.NOT_SERVING
        status = await client.status()
        assert not status.serving
        for kind in KINDS:
            figures = status[kind].outbox
            assert figures is not None
            assert (status[kind].serving, figures.waiting, figures.dead) == (False, 1, 0)
            (entry,) = await client.list_outbox(kind)
            assert (figures.oldest_time, figures.size_bytes > 0) == (entry.spool_time, True)


async def test_an_outbox_in_memory_is_refused(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = spooling(tmp_path, server)
    monkeypatch.setattr("memplane_adapters.embedded.filesystem._kind", lambda directory: "tmpfs")
    gateway = Gateway(settings)
    with pytest.raises(StartError, match=r"loss of power would empty .*tmpfs.*data_dir on a disk"):
        await gateway.start()
    await gateway.stop()


async def test_one_route_takes_writes_while_its_store_is_down(
    tmp_path: Path, server: Server
) -> None:
    server.down = DOWN
    async with served(spooling(tmp_path, server, kinds=(Kind.SEMANTIC,)), GRPC) as door:
        assert await door.client.health() is Health.SERVING
        assert await door.client.health("semantic") is Health.NOT_SERVING
        assert await door.client.health("procedural") is Health.SERVING
        status = await door.client.status()
        assert status[Kind.SEMANTIC].outbox is not None
        assert status[Kind.PROCEDURAL].outbox is None, "closed, and empty"


# --- the list -----------------------------------------------------------------------------------


async def test_pages_go_kind_by_kind_in_the_order_of_writing(
    tmp_path: Path, server: Server
) -> None:
    server.down = DOWN
    async with served(spooling(tmp_path, server)) as door:
        await put_all(door.client, "a", "b")
        await door.client.delete(Kind.EPISODIC, "a")
        for size, lengths in ((1, [1] * 7), (2, [2, 2, 2, 1]), (5, [5, 2]), (7, [7]), (0, [7])):
            found = await pages(door, page_size=size)
            assert [len(page) for page in found] == lengths
            assert "".join(key for page in found for key in page) == "ababaab"
        everything = await door.client.list_outbox()
        assert [entry.id.partition("-")[0] for entry in everything] == (
            ["semantic"] * 2 + ["episodic"] * 3 + ["procedural"] * 2
        )
        deletes = [entry for entry in everything if entry.operation is OutboxOperation.DELETE]
        assert [entry.ref for entry in deletes] == [Ref(Kind.EPISODIC, (), "a")]
        assert {entry.tenant for entry in everything} == {"default"}
        assert all(entry.size_bytes for entry in everything if entry not in deletes)
        for kind, keys in zip(KINDS, ("ab", "aba", "ab"), strict=True):
            number = memory_pb2.Kind.Value(f"KIND_{kind.name}")
            assert await pages(door, page_size=1, kind=number) == [[key] for key in keys]
        assert await pages(door, dead=True) == [[]]


async def test_large_entries_are_all_listed(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outbox reads so many bytes at once, and then says fewer entries than it was asked for."""
    server.down = DOWN
    async with served(spooling(tmp_path, server)) as door:
        await put_all(door.client, "a", "b", "c")
        monkeypatch.setattr(outbox, "_PAGE_BYTES", 1)
        for size in (0, 1, 2):
            found = await pages(door, page_size=size)
            assert "".join(key for page in found for key in page) == "abc" * 3
        assert len(await door.client.list_outbox(limit=4)) == 4
        monkeypatch.undo()
        assert len(await pages(door)) == 1


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"page_size": -1}, "page_size"),
    ({"kind": 77}, "kind"),
    ({"page_token": "garbage"}, "page_token"),
    ({"page_token": "semantic-"}, "page_token"),
    ({"page_token": "semantic--1"}, "page_token"),
    ({"page_token": "semantic-1x"}, "page_token"),
    ({"page_token": "semantic-\u0661"}, "page_token"),
    ({"page_token": "control-1"}, "page_token"),
    ({"page_token": "1"}, "page_token"),
    ({"page_token": f"semantic-{'1' * 21}"}, "page_token"),
    ({"page_token": "semantic-1", "kind": memory_pb2.KIND_EPISODIC}, "page_token"),
]


async def test_wrong_requests_for_a_list_name_the_field(tmp_path: Path, server: Server) -> None:
    async with served(spooling(tmp_path, server)) as door:
        for request, field in WRONG:
            error = await refusal(listed(door, **request))
            assert isinstance(error, InvalidArgument)
            assert [violation.field for violation in error.violations] == [field], request
        error = await refusal(listed(door, kind=77, page_size=-1, page_token="x"))
        fields = [violation.field for violation in error.violations]
        assert fields == ["kind", "page_size", "page_token"]


# --- retrying and dropping ----------------------------------------------------------------------


async def test_wrong_ids_are_refused_with_their_place(tmp_path: Path, server: Server) -> None:
    async with served(spooling(tmp_path, server)) as door:
        for do in (door.client.retry_outbox, door.client.drop_outbox):
            error = await refusal(do(["semantic-1", "", "x-1", "semantic-1", "procedural-one"]))
            fields = [violation.field for violation in error.violations]
            assert (type(error), fields) == (InvalidArgument, ["ids[1]", "ids[2]", "ids[4]"])
            for ids in ([], ["semantic-1"] * 1001):
                error = await refusal(do(ids))
                fields = [violation.field for violation in error.violations]
                assert (type(error), fields) == (InvalidArgument, ["ids"])


async def test_what_waits_and_what_is_not_there_is_left_alone(
    tmp_path: Path, server: Server
) -> None:
    server.down = DOWN
    async with served(spooling(tmp_path, server)) as door:
        await door.client.put(Kind.SEMANTIC, "k", text="tea")
        (entry,) = await door.client.list_outbox()
        ids = [entry.id, "semantic-5", f"episodic-{entry.id.partition('-')[2]}"]
        for do in (door.client.retry_outbox, door.client.drop_outbox):
            results = await do(ids)
            assert [result.id for result in results] == ids
            assert [_said(result) for result in results] == [
                ("FAILED_PRECONDITION", "SUPERSEDED"),
                ("NOT_FOUND", "MEMORY_NOT_FOUND"),
                ("NOT_FOUND", "MEMORY_NOT_FOUND"),
            ]
        assert len(await door.client.list_outbox()) == 1


def _said(result: Any) -> tuple[str, str] | None:
    return None if result.ok else (str(result.error.code), result.error.reason)


async def test_a_kind_without_an_outbox_has_no_entries(tmp_path: Path, server: Server) -> None:
    given = settings_in(tmp_path)
    remote = RemoteSettings(adapter="remote", settings=EmbeddedSettings("main"), server=server)
    settings = given.model_copy(
        update={
            "stores": {**given.stores, "main": remote},
            "control": ControlSettings(store="main"),
        }
    )
    async with served(settings) as door:
        assert await door.client.list_outbox() == ()
        for do in (door.client.retry_outbox, door.client.drop_outbox):
            results = await do(["semantic-1", "procedural-2"])
            assert [_said(result) for result in results] == [("NOT_FOUND", "MEMORY_NOT_FOUND")] * 2
            assert "has no outbox" in str(results[1].error)
        assert {route.outbox for route in (await door.client.status()).routes.values()} == {None}


async def test_dead_letters_of_another_store_are_retried_and_dropped(
    tmp_path: Path, server: Server
) -> None:
    server.down = DOWN
    async with served(spooling(tmp_path, server)) as door:
        await put_all(door.client, "a", "b", "c")
    async with served(spooling(tmp_path, server, name="other")) as door:
        client = door.client
        await client.put(Kind.SEMANTIC, "waits", text="x")
        dead = await client.list_outbox("semantic", dead=True)
        assert [entry.ref and entry.ref.key for entry in dead] == ["a", "b", "c"]
        for entry in dead:
            assert entry.error is not None
            assert "another store" in str(entry.error)
        assert await pages(door, dead=True, page_size=4) == [list("abca"), list("bcab"), ["c"]]
        assert len(await client.list_outbox()) == 10
        figures = (await client.status())[Kind.SEMANTIC].outbox
        assert figures is not None
        assert (figures.waiting, figures.dead) == (1, 3)

        retried, dropped, kept = (entry.id for entry in dead)
        first, again, absent = await client.drop_outbox([dropped, dropped, "semantic-1"])
        assert (_said(first), _said(again)) == (None, ("NOT_FOUND", "MEMORY_NOT_FOUND"))
        assert not absent.ok
        (result,) = await client.retry_outbox([retried])
        assert result.ok
        assert [each.id for each in await client.list_outbox("semantic", dead=True)] == [kept]

        server.down = None
        gateway = door.gateway
        await probe(gateway, StoreKind.SEMANTIC)
        await until(lambda: not _outbox(gateway).standing.waiting)
        texts = [await client.get(Kind.SEMANTIC, key) for key in ("a", "b", "waits")]
        assert [each and each.text for each in texts] == ["a", None, "x"]


async def test_a_control_store_that_fails_half_way_does_not_hide_what_was_done(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.down = DOWN
    async with served(spooling(tmp_path, server)) as door:
        await put_all(door.client, "a")
    async with served(spooling(tmp_path, server, name="other")) as door:
        ids = [entry.id for entry in await door.client.list_outbox(dead=True)]
        delete = EmbeddedKeyValueStore.delete
        left = [True]

        async def failing(self: Any, *args: Any, **named: Any) -> Any:
            if not left:
                raise StoreError(StoreReason.UNAVAILABLE, "the disk is gone")
            left.pop()
            return await delete(self, *args, **named)

        monkeypatch.setattr(EmbeddedKeyValueStore, "delete", failing)
        results = await door.client.drop_outbox(ids)
        unavailable = ("UNAVAILABLE", "BACKEND_UNAVAILABLE")
        assert [_said(result) for result in results] == [None, unavailable, unavailable]
        assert isinstance(await refusal(door.client.drop_outbox(ids[1:])), Unavailable)
        monkeypatch.undo()
        assert [each.id for each in await door.client.list_outbox(dead=True)] == ids[1:]


def _outbox(gateway: Gateway) -> outbox.Outbox:
    assert gateway._router is not None
    found = gateway._router[StoreKind.SEMANTIC].outbox
    assert found is not None
    return found


# --- what a write may ask for -------------------------------------------------------------------


async def test_a_write_that_asks_for_the_store_does_not_wait(
    tmp_path: Path, server: Server
) -> None:
    settings = spooling(tmp_path, server)
    async with served(settings) as door:
        client = door.client
        await client.put(Kind.PROCEDURAL, "k", value=1, min_durability="disk")
        server.down = DOWN
        for known in (False, True):  # whether the gateway has noticed
            if known:
                await probe(door.gateway)
            for work in (
                client.put(Kind.PROCEDURAL, "k", value=2, min_durability="disk"),
                client.put(Kind.PROCEDURAL, "new", value=2, min_durability="buffered"),
                client.update(Kind.PROCEDURAL, "k", value=2, min_durability="disk"),
                client.delete(Kind.PROCEDURAL, "k", min_durability="process"),
            ):
                error = await refusal(work)
                assert (type(error), error.reason) == (Unavailable, "BACKEND_UNAVAILABLE")
        assert await client.list_outbox() == ()
        error = await refusal(client.put(Kind.PROCEDURAL, "k", value=2, min_durability="spooled"))
        assert [violation.field for violation in error.violations] == ["min_durability"]


# --- what is still wrong ------------------------------------------------------------------------


class Hasty:
    """A control store that is asked for entries which are carried out before it answers."""

    def __init__(self, found: outbox.Outbox) -> None:
        self._found = found
        self._store = found._store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def get(self, addresses: Any) -> Any:
        await self._found.remove([int(address.key) for address in addresses])
        return await self._store.get(addresses)


async def test_what_is_carried_out_while_it_is_listed_is_not_damaged(
    tmp_path: Path, server: Server
) -> None:
    server.down = DOWN
    async with served(spooling(tmp_path, server)) as door:
        await door.client.put(Kind.SEMANTIC, "k", text="tea")
        found = _outbox(door.gateway)
        found._store = Hasty(found)
        entries = await door.client.list_outbox()
        assert [entry.error for entry in entries if entry.error is not None] == []


async def test_a_notice_of_dead_letters_goes_with_them(tmp_path: Path, server: Server) -> None:
    server.down = DOWN
    async with served(spooling(tmp_path, server)) as door:
        await door.client.put(Kind.SEMANTIC, "k", text="tea")
    async with served(spooling(tmp_path, server, name="other")) as door:
        assert any("1 dead letter" in each for each in (await door.client.status()).notices)
        (entry,) = await door.client.list_outbox(dead=True)
        await door.client.drop_outbox([entry.id])
        assert not any("dead letter" in each for each in (await door.client.status()).notices)


@pytest.mark.parametrize("setting", ["TIMEOUT", "CONNECT_TIMEOUT", "COMPRESS_ABOVE"])
def test_more_patience_with_a_store_does_not_make_it_another_one(setting: str) -> None:
    """Else whoever raises a timeout during an outage makes dead letters of all that waits."""
    store = "MEMPLANE_STORES__KEYS"
    environ = {
        f"{store}__ADAPTER": "redis",
        f"{store}__URL": "redis://127.0.0.1:1",
        "MEMPLANE_ROUTES__PROCEDURAL__STORE": "keys",
    }
    before = load(environ=environ).stores["keys"]
    after = load(environ={**environ, f"{store}__{setting}": "30"}).stores["keys"]
    assert place_of(before) == place_of(after)
