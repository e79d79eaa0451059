"""Routes over collections that others made: snapshots of a real Chroma and of Qdrant's engine."""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.foreign import BAD, FIRST, Chroma, Qdrant, text, vectors
from tests.gateway.endpoint import OPENAI, Endpoint, Reply
from tests.gateway.legacy import write

from memplane import AsyncClient, Kind, Put, Ref, Unavailable, Unimplemented, Update, attr
from memplane_adapters.conformance.local_stores import Servers, at_hand
from memplane_adapters.conformance.memories.doors import InProcess
from memplane_gateway.adopting import serving, snapshot
from memplane_gateway.config import load
from memplane_gateway.server import Gateway

ROWS = 230
"""More than a page of the vendor's."""
PATIENCE_SECONDS = 30
KEPT: dict[str, Any] = {
    "namespace": ["bot", {"field": "user_id"}],
    "attributes": {"all_but": ["user_id"]},
    "importance": "score",
    "vector": "keep",
    "embedding_identity_is": "same",
}
EPISODES: dict[str, Any] = {
    "kind": "episodic",
    "namespace": ["bot", {"field": "metadata.user_id"}],
    "text": "page_content",
    "time": {"field": "metadata.at", "format": "unix_seconds"},
    "session_id": "metadata.session",
    "attributes": ["metadata.topic"],
}


@pytest.fixture(scope="module")
def chroma(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Chroma:
    """A server."""
    for choice in at_hand("chroma"):
        assert choice.store is not None
        return Chroma(servers.url(choice.store, tmp_path_factory.mktemp("chroma")))
    pytest.skip("no Chroma is at hand")


@pytest.fixture
def filled(chroma: Chroma) -> Iterator[Chroma]:
    """The server with a collection "read-only"."""
    chroma.fill("read-only", ROWS)
    yield chroma
    for collection in chroma.client.list_collections():
        chroma.client.delete_collection(collection.name)


@pytest.fixture
def snapshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where snapshots are, and nothing else."""
    place = tmp_path / "snapshots"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@contextlib.asynccontextmanager
async def opened(
    directory: Path,
    mapping: dict[str, Any],
    *,
    embedder: str = "four",
    why: str = "",
    **store: Any,
) -> AsyncIterator[AsyncClient]:
    """A gateway that serves a collection read-only, and all else from its embedded store.

    It does when the block begins; or not, and says why.
    """
    gateway = Gateway(load(write(directory, mapping, embedder=embedder, **store), environ={}))
    await gateway.start()
    client = InProcess(gateway).client

    async def settled() -> bool:
        route = (await client.status())[mapping.get("kind", "semantic")]
        return why in route.message if why else route.serving

    try:
        await eventually(settled)
        yield client
    finally:
        await gateway.stop(grace=0)


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await holds():  # noqa: ASYNC110 (it polls)
            await asyncio.sleep(0.02)


async def notice(client: AsyncClient) -> str:
    (found,) = [each for each in (await client.status()).notices if "read-only" in each]
    return found


def left(place: Path) -> list[Path]:
    return list(place.iterdir())


def good() -> list[int]:
    return [row for row in range(ROWS) if row != BAD]


async def test_what_others_keep_in_chroma_is_found_exactly(
    filled: Chroma, tmp_path: Path, snapshots: Path
) -> None:
    before = filled.digest("read-only")
    mapping = {"source": filled.source("read-only"), **KEPT}
    async with opened(tmp_path, mapping) as client:
        scope = client.scope("bot")
        listed = {each.key: each async for each in scope.scan()}
        assert listed.keys() == {f"row-{row}" for row in good()}
        for row in good():
            memory = listed[f"row-{row}"]
            assert memory.text == text(row)
            assert memory.namespace == ("bot", f"u{row % 2}")
            score = pytest.approx(row / ROWS, rel=1e-15)  # Chroma's server rounds at the last bit
            assert memory.attributes == {"n": row, "score": score, "page": 2.5, "ok": True}
            assert memory.importance == pytest.approx(row / ROWS)
            assert memory.create_time == memory.update_time
        assert await scope.count() == ROWS - 1
        assert await client.scope("bot", "u1").count() == ROWS // 2 - 1
        for condition, holds in (
            (attr("n") >= 100, lambda row: row >= 100),
            ((attr("n") < 50) & (attr("score") > 0.1), lambda row: row < 50 and row / ROWS > 0.1),
            (~(attr("n") == 7), lambda row: row != 7),
            (attr("page") == 2.5, lambda row: True),
            (attr("nothing").exists(), lambda row: False),
        ):
            kept = {f"row-{row}" for row in good() if holds(row)}
            assert await scope.count(filter=condition) == len(kept)
            assert {each.key async for each in scope.scan(filter=condition)} == kept
        asked = vectors(ROWS, 4)
        question = np.array([1.0, 0.0, 0.0, 0.0], np.float32)
        scores = {f"row-{row}": float(np.dot(question, asked[row])) for row in good()}
        best = sorted(scores, key=lambda key: -scores[key])[:10]
        found = await scope.search(vector=question, limit=10)
        assert [hit.memory.key for hit in found] == best
        assert [hit.score for hit in found] == pytest.approx(
            [scores[key] for key in best], abs=1e-5
        )
        assert not found.approximate
        words = await scope.search("turn 77", mode="keyword", limit=1)
        assert [hit.memory.key for hit in words] == ["row-77"]
        spaces = [each async for each in client.namespaces("semantic")]
        assert spaces == [("bot", "u0"), ("bot", "u1")]
        assert (await scope.statistics("semantic"))[Kind.SEMANTIC].count == ROWS - 1
        status = (await client.status())["semantic"]
        assert (status.serving, status.rows, status.persistent) == (True, ROWS - 1, False)
        assert len(left(snapshots)) == 1
        said = await notice(client)
        assert f"chroma collection read-only: {ROWS - 1} memories, read at 2" in said
        assert "; 1 rows did not map (1 for text: " in said
    assert filled.digest("read-only") == before
    assert not left(snapshots)


async def test_episodes_of_qdrant_are_embedded_and_come_again_after_a_restart(
    tmp_path: Path,
) -> None:
    qdrant = Qdrant(tmp_path / "qdrant")
    qdrant.fill("read-only", ROWS)
    before = qdrant.digest("read-only")
    mapping = {"source": qdrant.source("read-only"), **EPISODES}
    seen: list[dict[str, Any]] = []
    for _ in range(2):
        async with opened(tmp_path / "gateway", mapping, embedder="hash") as client:
            scope = client.scope("bot")
            seen.append({each.key: each async for each in scope.scan("episodic")})
            (hit,) = await scope.search("turn 55", kind="episodic", limit=1)
            assert hit.memory.key == "55"
            turns = scope.list("episodic", filter=attr("@session_id") == "s-2")
            assert {each.key async for each in turns} == {
                str(row) for row in good() if row % 3 == 2
            }
            recent = await scope.search(kind="episodic", mode="recent", limit=2)
            assert [each.memory.key for each in recent] == [str(ROWS - 1), str(ROWS - 2)]
    first, second = seen
    assert first.keys() == {str(row) for row in good()}
    assert first["9"].episode.event_time.timestamp() == FIRST + 9
    assert first["9"].create_time == first["9"].episode.event_time
    assert first == second
    assert len({each.etag for each in first.values()}) == ROWS - 1
    assert qdrant.digest("read-only") == before


async def test_every_write_is_refused_before_anything_happens(
    filled: Chroma, tmp_path: Path
) -> None:
    before = filled.digest("read-only")
    mapping = {"source": filled.source("read-only"), **KEPT}
    ref, tone = Ref("semantic", ("bot", "u1"), "row-7"), Ref("procedural", ("bot",), "tone")
    async with opened(tmp_path, mapping, more={"require_durability": "process"}) as client:
        scope, was = client.scope("bot"), await client.get(ref)
        writes: list[Callable[[], Awaitable[object]]] = [
            lambda: client.put_many([Put(tone, value="short"), Put(ref, text="mine")]),
            lambda: client.update_many([Update(ref, text="mine")]),
            lambda: client.delete_many([ref]),
            lambda: scope.purge("semantic"),
            lambda: scope.purge("semantic", dry_run=True),
            lambda: scope.forget("semantic", older_than=1),
            lambda: scope.consolidate("semantic"),
            lambda: client.ingest([Put(ref, text="mine")]),
        ]
        for do in writes:
            with pytest.raises(Unimplemented, match=r"semantic route is read-only.*memplane adopt"):
                await do()
        assert await client.get(tone) is None
        assert await client.get(ref) == was
        swept = await client.sweep()
        assert not swept.failures
        assert await scope.count() == ROWS - 1
        assert await client.list_outbox() == ()
        (await client.put_many([Put(tone, value="short")])).raise_for_error()
    assert filled.digest("read-only") == before


async def test_a_reading_that_fails_changes_nothing_and_another_brings_what_is_new(
    filled: Chroma, tmp_path: Path, snapshots: Path
) -> None:
    mapping = {"source": filled.source("read-only"), **KEPT}
    ref, other = Ref("semantic", ("bot", "u1"), "row-7"), Ref("semantic", ("bot", "u1"), "row-9")
    async with opened(tmp_path, mapping, refresh_seconds=1) as client:
        scope = client.scope("bot")
        was, same = await client.get(ref), await client.get(other)
        assert was is not None
        assert same is not None
        collection = filled.client.get_collection("read-only", embedding_function=None)
        vector = vectors(ROWS, 4)[7:8]
        collection.update(ids=["row-7"], documents=["about coffee"], embeddings=vector)  # type: ignore[arg-type]
        collection.delete(ids=["row-8"])

        async def changed() -> bool:
            return await scope.count() == ROWS - 2

        await eventually(changed)
        now = await client.get(ref)
        assert now is not None
        assert now.text == "about coffee"
        assert now.etag != was.etag
        assert now.create_time == was.create_time
        assert now.update_time != was.update_time
        assert len(left(snapshots)) <= 2  # that before goes, another may come
        assert await client.get(other) == same

        filled.client.delete_collection("read-only")

        async def failed() -> bool:
            return "the last reading failed" in await notice(client)

        await eventually(failed)
        assert (await client.status())["semantic"].serving
        assert await scope.count() == ROWS - 2
        assert await client.get(ref) == now
        filled.fill("read-only", 5)

        async def whole() -> bool:
            return await scope.count() == 5 and "failed" not in await notice(client)

        await eventually(whole)
    assert not left(snapshots)


@pytest.mark.parametrize(
    ("store", "embedder", "why"),
    [
        ({"max_rows": 200}, "four", f"it has {ROWS} rows, and max_rows is 200"),
        ({}, "hash", "its vectors have 4 dimensions, and the route's embedder makes 512"),
    ],
)
async def test_what_cannot_be_served_says_why_with_both_numbers(
    filled: Chroma, tmp_path: Path, store: dict[str, Any], embedder: str, why: str
) -> None:
    mapping = {"source": filled.source("read-only"), **KEPT}
    async with opened(tmp_path, mapping, embedder=embedder, why=why, **store) as client:
        status = await client.status()
        assert not status["semantic"].serving
        assert why in await notice(client)
        assert status[Kind.PROCEDURAL].serving
        with pytest.raises(Exception, match=re.escape(why)):
            await client.scope("bot").count()


async def test_a_source_that_is_away_is_a_route_that_does_not_serve(tmp_path: Path) -> None:
    source = {"adapter": "chroma", "url": "http://127.0.0.1:9", "collection": "c"}
    why = "cannot be reached"
    async with opened(tmp_path, {"source": source, **KEPT}, why=why) as client:
        status = await client.status()
        assert not status["semantic"].serving
        assert status["episodic"].serving


EMBEDDED = {"namespace": ["bot", {"field": "user_id"}]}


def through(endpoint: Endpoint) -> dict[str, Any]:
    """The embedders of a configuration whose "far" asks an endpoint."""
    return {"embedders": {"far": {**OPENAI, "base_url": f"{endpoint.address}/v1/"}}}


async def test_an_embedder_that_is_busy_is_asked_again_and_a_text_that_it_refuses_is_told(
    filled: Chroma, tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_EMBEDDER_WAITS", (0.01, 0.01, 0.01))
    busy = iter([Reply(503)] * 2)
    filled.fill("few", 12)
    collection = filled.client.get_collection("few", embedding_function=None)

    def respond(request: dict[str, Any]) -> Reply:
        if text(3) in request["input"]:
            return Reply(400, {"error": {"message": "too long"}})
        return next(busy, None) or endpoint.vectors(request)

    endpoint.respond = respond
    mapping = {"source": filled.source("few"), **EMBEDDED}
    more = through(endpoint)
    store: dict[str, Any] = {"embedder": "far", "refresh_seconds": 1}
    async with opened(tmp_path, mapping, more=more, **store) as client:
        scope = client.scope("bot")
        assert await scope.count() == 11
        assert "1 for text: the embedder does not take it" in await notice(client)
        (hit,) = await scope.search(text(10), limit=1)
        assert hit.memory.key == "row-10"
        assert hit.score == pytest.approx(1.0, abs=1e-5)

        endpoint.requests.clear()
        vector = vectors(12, 4)[5:6]
        collection.update(ids=["row-5"], documents=["about coffee"], embeddings=vector)  # type: ignore[arg-type]

        async def changed() -> bool:
            found = await client.get(Ref("semantic", ("bot", "u1"), "row-5"))
            return found is not None and found.text == "about coffee"

        await eventually(changed)
        asked = {each for request in endpoint.requests for each in request["input"]}
        assert asked <= {"about coffee", text(3)}


async def test_what_is_written_during_a_reading_is_told_and_a_stop_leaves_nothing(
    filled: Chroma, tmp_path: Path, endpoint: Endpoint, snapshots: Path
) -> None:
    collection = filled.client.get_collection("read-only", embedding_function=None)
    asked = iter(range(ROWS))

    def respond(request: dict[str, Any]) -> Reply:
        number = next(asked)
        if number == 0:
            collection.delete(ids=["row-0"])
            return endpoint.vectors(request)
        return endpoint.hang(request) if "new" in request["input"] else endpoint.vectors(request)

    endpoint.respond = respond
    mapping = {"source": filled.source("read-only"), **EMBEDDED}
    more = through(endpoint)
    store: dict[str, Any] = {"embedder": "far", "refresh_seconds": 1}
    async with opened(tmp_path, mapping, more=more, **store) as client:

        async def noticed() -> bool:
            return "it was written to meanwhile" in await notice(client)

        await eventually(noticed)
        metadata, vector = {"user_id": "u1"}, vectors(1, 4)
        collection.add(ids=["n"], documents=["new"], metadatas=[metadata], embeddings=vector)  # type: ignore[arg-type]

        async def hangs() -> bool:
            return any("new" in request["input"] for request in endpoint.requests)

        await eventually(hangs)
        assert len(left(snapshots)) == 2
        assert await client.scope("bot").count() >= ROWS - 3
    assert not left(snapshots)


async def test_until_the_first_reading_is_done_the_route_does_not_serve(
    filled: Chroma,
    tmp_path: Path,
    endpoint: Endpoint,
    snapshots: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "FIRST_WAIT_SECONDS", 0.1)
    endpoint.respond = endpoint.hang
    mapping = {"source": filled.source("read-only"), **EMBEDDED}
    why, more = "is being read for the first time", through(endpoint)
    async with opened(tmp_path, mapping, more=more, embedder="far", why=why) as client:
        with pytest.raises(Unavailable, match=why):
            await client.scope("bot").count()
        with pytest.raises(Unimplemented, match="read-only"):
            await client.put_many([Put(Ref("semantic", ("bot",), "a"), text="mine")])
    assert not left(snapshots)
