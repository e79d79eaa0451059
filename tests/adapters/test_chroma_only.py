"""What only Chroma does, or does otherwise than it says."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from tests.adapters import opening

from memplane_adapters.chroma import ADAPTER, ChromaSettings
from memplane_adapters.chroma.client import Client
from memplane_adapters.chroma.collections import Place
from memplane_adapters.chroma.store import ChromaVectorStore
from memplane_adapters.conformance.local_stores import Servers, choices
from memplane_adapters.conformance.servers import Server
from memplane_adapters.conformance.stores import BackendFactory
from memplane_adapters.conformance.stores.fixtures import (
    COLLECTION,
    Points,
    some_vectors,
    vector,
)
from memplane_adapters.contract import (
    Condition,
    Delete,
    Durability,
    Fields,
    Negation,
    Op,
    Query,
    Scan,
    StoreError,
    StoreReason,
    WriteStatus,
)

(CHROMA,) = (choice for choice in choices() if choice.adapter_name == "chroma")
NUMBER = Condition(("n",), Op.GTE, 0)


@pytest.fixture
def backend_factory(servers: Servers, tmp_path: Path) -> BackendFactory:
    return CHROMA.backend_factory(servers, tmp_path)


def opened(**settings: Any) -> AbstractAsyncContextManager[Points]:
    """A store of its own, open."""
    return opening.opened_points(ADAPTER, **settings)


@pytest.fixture
def own(servers: Servers, tmp_path: Path) -> Any:
    """A server of the case's own, which it may treat badly."""
    with opening.own_server(CHROMA, servers, tmp_path) as server:
        yield server


async def raw(points: Points, send: Callable[[Client, Place], Any]) -> Any:
    """Something done behind the store's back."""
    store = points.store
    assert isinstance(store, ChromaVectorStore)
    place = store._collections.ensured(points.kind)
    return await store._engine.call(lambda client: send(client, place))


async def test_a_number_that_was_overwritten_is_in_no_range(points: Points) -> None:
    """`upsert` merges: the key of the old number is still there."""
    await points.write(points.point("a", fields={"n": 5}), points.point("b", fields={"n": 6}))
    assert await points.walk(filter=NUMBER) == ["a", "b"]
    for other in ({"n": "5"}, {"n": [5]}, {"m": {"n": 5}}, {}):
        await points.write(points.point("a", fields=other, revision=2))
        assert await points.walk(filter=NUMBER) == ["b"]
        assert await points.walk(filter=Negation(NUMBER)) == ["a"]
        assert await points.search(vector=vector(1.0), filter=NUMBER) == ["b"]
    await points.write(points.point("a", fields={"n": -1}, revision=3))
    assert await points.walk(filter=NUMBER) == ["b"]
    (metadata,) = (await raw(points, lambda c, p: c.read(p.id, ["metadatas"])))["metadatas"][:1]
    assert metadata["number:n"] == -1.0


async def test_what_is_not_ours_in_a_collection_is_not_seen(points: Points) -> None:
    await points.write(points.point("ours"))
    await raw(
        points,
        lambda client, place: client.write(
            place.id,
            ids=["foreign"],
            embeddings=[vector(1.0)],
            metadatas=[{"topic": "food"}],
            documents=["a text"],
            uris=["https://example.com"],
        ),
    )
    assert await points.walk() == await points.search(vector=vector(1.0)) == ["ours"]
    assert await points.walk(filter=Negation(NUMBER)) == ["ours"]
    assert await points.store.delete_where(points.scope(), max_revision=9) == 1
    assert await raw(points, lambda client, place: client.number(place.id)) == 1


async def test_a_row_that_was_broken_is_told(points: Points) -> None:
    await points.write(points.point("k"), points.point("whole", vector(0.0, 1.0)))
    reply = await raw(points, lambda client, place: client.read(place.id, ["uris"]))
    broken = next(
        one for one, uri in zip(reply["ids"], reply["uris"], strict=True) if "aw==" in uri
    )
    await raw(
        points,
        lambda client, place: client._update(
            place.id, [broken], None, None, None, ["data:application/octet-stream;base64,%%"]
        ),
    )
    for call in (
        points.read(points.address("k")),
        points.walk(),
        points.search(vector=vector(1.0)),
    ):
        with pytest.raises(StoreError) as refusal:
            await call
        assert refusal.value.reason is StoreReason.PROTOCOL
    assert await points.record(points.address("whole")) == b"whole"


async def test_a_collection_that_vanished_is_missed_by_every_call(points: Points) -> None:
    await points.write(points.point("k"))
    await raw(points, lambda client, place: client.delete_collection(place.name))
    store, scope, address = points.store, points.scope(), points.address("k")
    for call in (
        store.ping(),
        points.try_write([points.point("k")]),
        points.read(address),
        store.delete([Delete(address)]),
        store.scan(Scan(scope=scope)),
        store.count(scope),
        store.delete_where(scope, max_revision=1),
        store.query(Query(scope=scope, vector=vector(1.0))),
        store.query(Query(scope=scope, vector=vector(1.0), exact=True)),
        store.stats(points.kind),
        store.ensure(COLLECTION),
        store.ensure(dataclasses.replace(COLLECTION, made=True)),
    ):
        with pytest.raises(StoreError) as refusal:
            await call
        assert refusal.value.reason is StoreReason.COLLECTION_MISSING
        assert not refusal.value.retryable


async def test_an_exact_query_scores_what_the_index_leaves_out(
    points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph may lose rows; nothing makes it do so on demand, so its answers are cut here."""
    await points.write(*(points.point(f"{n:03}", vector(1.0, n / 50)) for n in range(150)))
    nearest = Client.nearest

    async def forgetful(self: Client, *arguments: Any, **named: Any) -> Any:
        reply = dict(await nearest(self, *arguments, **named))
        columns = ("ids", "distances", "documents", "embeddings", "metadatas", "uris")
        cut = {name: [reply[name][0][7:]] for name in columns if reply[name] is not None}
        return reply | cut

    monkeypatch.setattr(Client, "nearest", forgetful)
    for limit in (3, 20, 200):
        found = await points.search(vector=vector(1.0), limit=limit)
        assert found == [f"{n:03}" for n in range(150)][:limit]
    # An answer that is shorter than it was asked to be is completed, too.
    query = Query(scope=points.scope(), vector=vector(1.0), limit=150)
    completed = await points.store.query(query)
    assert completed.approximate
    assert [hit.record for hit in completed.hits] == [f"{n:03}".encode() for n in range(150)]


async def test_scores_have_more_digits_than_chromas_distances(points: Points) -> None:
    """Equal rows keep their order; what is left is that Chroma gives vectors back rounded anew."""
    at = some_vectors(30, seed=6)
    await points.write(*(points.point(f"{n}", one) for n, one in enumerate(at)))
    for exact in (True, False):
        query = Query(scope=points.scope(), vector=at[0], limit=30, exact=exact)
        for hit in (await points.store.query(query)).hits:
            cosine = float(at[0].astype("f8") @ at[int(hit.record)].astype("f8"))
            assert hit.score == pytest.approx(cosine, abs=1e-7)


async def test_large_records_pass(points: Points) -> None:
    record = bytes(range(256)) * (4 * 2**20 // 256)
    await points.write(points.point("large", record=record), points.point("small"))
    assert await points.record(points.address("large")) == record
    page = await points.page(max_bytes=1)
    assert [len(row.record) for row in page.rows] == [len(record)]
    assert page.next is not None
    result = await points.store.query(
        Query(scope=points.scope(), vector=vector(1.0), max_bytes=1, limit=2)
    )
    assert (len(result.hits), result.cut) == (1, True)


async def test_more_values_than_sqlite_takes_are_refused(points: Points) -> None:
    tree = Condition(("n",), Op.IN, [f"v{n}" for n in range(10_001)])
    with pytest.raises(StoreError) as refusal:
        await points.count(tree=tree)
    assert refusal.value.reason is StoreReason.UNSUPPORTED


async def test_a_prefix_does_not_reach_into_a_longer_one(servers: Servers, tmp_path: Path) -> None:
    _, keys = CHROMA.keys(servers, tmp_path)
    prefix = str(keys["prefix"])
    shorter, longer = ({**keys, "prefix": name} for name in (prefix, f"{prefix}-semantic-x"))
    async with opened(**shorter) as one, opened(**longer) as two:
        await two.store.ensure(COLLECTION)
        await two.write(two.point("k"))
        assert (await one.store.stats(one.kind)).rows == 0
        await one.store.ensure(dataclasses.replace(COLLECTION, analyzer="another"))
        assert (await one.store.stats(one.kind)).rows == 0


async def test_a_killed_server_keeps_what_it_acknowledged(own: Server) -> None:
    at = some_vectors(200, seed=7)
    async with opened(url=own.url) as points:
        await points.store.ensure(COLLECTION)
        for start in range(0, 200, 20):
            part = range(start, start + 20)
            await points.write(*(points.point(f"{n:03}", at[n]) for n in part))
        await points.delete(points.address("199"))
        own.kill()
        with pytest.raises(StoreError) as refusal:
            await points.store.ping()
        assert refusal.value.reason in (StoreReason.UNAVAILABLE, StoreReason.INTERRUPTED)
        assert refusal.value.retryable
        with pytest.raises(StoreError) as refusal:
            await points.try_write([points.point("k")])
        assert refusal.value.reason is StoreReason.UNAVAILABLE  # refused: nothing was written
        own.start()
        assert await points.store.ping() is Durability.PROCESS
        assert await points.walk(limit=50) == [f"{n:03}" for n in range(199)]
        for n in range(0, 199, 20):
            assert (await points.search(vector=at[n], limit=1)) == [f"{n:03}"]


async def test_a_frozen_server_is_not_waited_for(own: Server) -> None:
    """The client library alone would wait for ever."""
    async with opened(url=own.url, timeout=0.5, connect_timeout=0.5) as points:
        await points.store.ensure(COLLECTION)
        await points.write(points.point("k"))
        own.pause()
        for call in (points.store.ping(), points.try_write([points.point("k")]), points.walk()):
            with pytest.raises(StoreError) as refusal:
                await call
            assert refusal.value.reason is StoreReason.TIMEOUT
            assert refusal.value.retryable
        own.resume()
        assert await points.walk() == ["k"]


class Wire:
    """A server that answers as it is told, for what a real one cannot be made to say."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"[]", ""
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines if line)
        headers = {name.lower(): value for name, value in pairs}
        await reader.readexactly(int(headers.get("content-length", 0)))
        self.seen.append((request.rpartition(" ")[0], headers))
        size = f"Content-Length: {len(self.body)}\r\nConnection: close\r\n{self.headers}"
        writer.write(f"HTTP/1.1 {self.status} x\r\n{size}\r\n".encode() + self.body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    made = Wire()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (500, b'{"error": "InternalError", "message": "no"}', StoreReason.INTERRUPTED),
        (503, b"", StoreReason.UNAVAILABLE),
        (401, b"", StoreReason.MISCONFIGURED),
        (404, b"<html>", StoreReason.MISCONFIGURED),
        (429, b'{"error": "RateLimitError", "message": "slow"}', StoreReason.EXHAUSTED),
        (200, b"<html>", StoreReason.PROTOCOL),
        (200, b"", StoreReason.PROTOCOL),
        (200, b"[7]", StoreReason.PROTOCOL),
        (200, b'{"error": "InternalError", "message": "no"}', StoreReason.PROTOCOL),
    ],
)
async def test_field_29_a_failed_look_is_not_taken_for_absence(
    wire: Wire, status: int, body: bytes, reason: StoreReason
) -> None:
    """A 500 from the existence check made the collection anew, and its data was lost."""
    wire.status, wire.body, wire.headers = status, body, "Retry-After: 3\r\n"
    async with opened(url=wire.url) as points:
        for call in (points.store.ensure(COLLECTION), points.store.ping()):
            with pytest.raises(StoreError) as refusal:
                await call
            assert refusal.value.reason is reason
            if reason is StoreReason.EXHAUSTED:
                assert (refusal.value.retryable, refusal.value.retry_after) == (True, 3.0)
    assert all(request.startswith("GET ") for request, _ in wire.seen)  # nothing was made


async def test_the_credentials_of_one_store_are_not_sent_for_another(wire: Wire) -> None:
    """The client library shares one HTTP client, and its headers, within an event loop."""
    async with (
        opened(url=wire.url, token="a-1") as one,
        opened(url=wire.url, token="b-2", token_header="Authorization") as two,
        opened(url=wire.url, tenant="acme", database="d 1") as none,
    ):
        for points in (one, two, none, one):
            await points.store.ping()
    sent = [(one.get("x-chroma-token"), one.get("authorization")) for _, one in wire.seen]
    assert sent == [("a-1", None), (None, "Bearer b-2"), (None, None), ("a-1", None)]
    assert wire.seen[2][0].startswith("GET /api/v2/tenants/acme/databases/d%201/collections")


async def test_columns_that_do_not_fit_are_refused(wire: Wire) -> None:
    """An answer that lacks rows, or holds other columns than were asked for, is no answer."""
    async with opened(url=wire.url) as points:
        store = points.store
        assert isinstance(store, ChromaVectorStore)
        place = Place("memplane-semantic-00000000", "any", 8, uuid.UUID(int=7))
        store._collections._ensured[points.kind] = place
        for reply in (
            {"ids": ["a"]},
            {"ids": ["a"], "documents": []},
            {"ids": None, "documents": ["x"]},
            {"ids": ["a"], "documents": ["not a place"]},
            {"ids": ["a"], "documents": [None]},
            {"ids": ["a"], "documents": ["[1, 2]"]},
        ):
            wire.body = json.dumps(reply).encode()
            with pytest.raises(StoreError) as refusal:
                await points.page()
            assert refusal.value.reason is StoreReason.PROTOCOL, reply


def test_field_56_the_client_library_is_loaded_when_a_store_is_made() -> None:
    """It takes seconds: who only asks for the settings is not to wait for it."""
    code = (
        "import sys; from pathlib import Path; from memplane_adapters.chroma import *; "
        "settings = ChromaSettings(); assert 'chromadb' not in sys.modules; "
        "ADAPTER.connect(settings, Path()); assert 'chromadb' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("url", "keys"),
    [
        ("", {}),
        ("http://localhost:8000", {"url": "http://localhost:8000"}),
        ("https://chroma.example/", {"url": "https://chroma.example"}),
        ("//chroma:8000", {"url": "http://chroma:8000"}),
        ("chroma:8000", {"url": "http://chroma:8000"}),
        ("https://c?tenant=t&timeout=2.5", {"url": "https://c", "tenant": "t", "timeout": 2.5}),
    ],
)
def test_urls(url: str, keys: dict[str, object]) -> None:
    assert ADAPTER.from_url(url) == keys
    ChromaSettings(**keys)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://localhost"},
        {"url": "http://"},
        {"url": "http://user:secret@localhost"},
        {"url": "http://localhost?x=1"},
        {"prefix": ""},
        {"prefix": "a b"},
        {"token_header": "a: b"},
        {"token": "a\nb"},
        {"tenant": ""},
        {"timeout": 0.0},
        {"connect_timeout": -1.0},
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="should"):
        ChromaSettings(**wrong)


def test_secrets_are_not_shown() -> None:
    assert "hidden" not in repr(ChromaSettings(token="hidden"))


@pytest.mark.parametrize("sort", ["items", "keys"])
async def test_what_would_break_the_collection_is_refused(points: Points, sort: str) -> None:
    """A row of more than 5,461 list items, or keys, can never be taken over from Chroma's log."""
    items: dict[str, Fields] = {
        "items": {"a": list(range(5_450))},
        "keys": {"a": {f"n{number}": number for number in range(5_450)}},
    }
    too_much = points.point("large", fields=items[sort])
    fitting = points.point("fits", fields={"a": list(range(5_300))})
    large, fits = await points.try_write([too_much, fitting])
    assert large.status is WriteStatus.FAILED
    assert large.error is not None
    assert large.error.reason is StoreReason.ITEM_TOO_LARGE
    assert large.error.metadata["limit_values"] == "5400"
    assert fits.status is WriteStatus.APPLIED
    found = await points.search(vector=vector(1.0), filter=Condition(("a",), Op.CONTAINS, 5_299))
    assert found == ["fits"]
    assert await points.walk() == ["fits"]
