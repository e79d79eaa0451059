"""What only Qdrant does: its filters, its payload, its collections, and its engine in the process."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from qdrant_client import models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

from memplane_adapters.conformance.stores.fixtures import (
    COLLECTION,
    DIMENSION,
    NOW,
    Points,
    some_vectors,
    vector,
)
from memplane_adapters.contract import (
    All,
    AnyOf,
    Condition,
    Durability,
    EmbeddingIdentity,
    Filter,
    Kind,
    Negation,
    Op,
    Scope,
    StoreError,
    StoreReason,
    WriteStatus,
)
from memplane_adapters.qdrant import ADAPTER, QdrantSettings, filters, rows
from memplane_adapters.qdrant.collections import INDEXES
from memplane_adapters.qdrant.settings import from_url
from memplane_adapters.qdrant.store import QdrantVectorStore, capabilities
from memplane_gateway.config.stores import AdapterError, find_adapter

APPLIED, CONFLICT, MISSING, FAILED = WriteStatus
SCOPE = Scope("tenant", Kind.SEMANTIC, NOW, ("a",))
N, TAGS = ("n",), ("tags",)


@pytest_asyncio.fixture
async def points(tmp_path: Path) -> AsyncIterator[Points]:
    store = QdrantVectorStore(QdrantSettings(path=":memory:"), tmp_path)
    await store.open()
    await store.ensure(COLLECTION)
    yield Points(store)
    await store.close()


def _engine(points: Points) -> Any:
    assert isinstance(points.store, QdrantVectorStore)
    assert points.store._opened is not None
    return points.store._opened.engine


async def _name(points: Points) -> str:
    (collection,) = (await _engine(points).call("get_collections")).collections
    return str(collection.name)


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (
            Condition(N, Op.EQ, 3),
            {"key": "tokens", "match": {"value": "n=n:3"}},
        ),
        (
            Condition(N, Op.IN, ["a", True]),
            {"key": "tokens", "match": {"any": ["n=s:=a", "n=b:1"]}},
        ),
        (
            Condition(N, Op.NE, 3),
            {"must_not": [{"key": "tokens", "match": {"value": "n=n:3"}}]},
        ),
        (
            Condition(N, Op.GT, 3),
            {
                "nested": {
                    "key": "numbers",
                    "filter": {
                        "must": [
                            {"key": "path", "match": {"value": "n"}},
                            {"key": "value", "range": {"gt": 3.0}},
                        ]
                    },
                }
            },
        ),
        (
            AnyOf((Condition(N, Op.EXISTS), Condition(TAGS, Op.CONTAINS, "x"))),
            {
                "should": [
                    {"key": "tokens", "match": {"value": "n?"}},
                    {"key": "tokens", "match": {"value": "tags~s:=x"}},
                ]
            },
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_filters(tree: Filter, expected: dict[str, Any]) -> None:
    selected = filters.select(SCOPE, tree)
    assert selected is not None
    assert isinstance(selected.must, list)
    assert selected.must[2].model_dump(exclude_none=True) == expected


@pytest.mark.parametrize(
    "tree",
    [AnyOf(()), Negation(All(())), All((AnyOf(()), Condition(N, Op.EXISTS))), Condition(N, Op.IN, [])],
    ids=repr,
)  # fmt: skip
def test_what_matches_nothing_is_never_asked(tree: Filter) -> None:
    """To Qdrant a list of alternatives without any is no condition at all."""
    assert filters.select(SCOPE, tree) is None


def test_what_matches_all_adds_nothing() -> None:
    assert filters.select(SCOPE, All(())) == filters.select(SCOPE, None)


def _trees() -> list[Filter]:
    conditions = [
        Condition(N, op, ["a", 1] if "in" in op or op in (Op.CONTAINS_ANY, Op.CONTAINS_ALL) else 3)
        for op in Op
        if op not in (Op.STARTS_WITH, Op.EXISTS, Op.IS_NULL, Op.CONTAINS)
    ]
    return [*conditions, Negation(AnyOf(tuple(conditions))), All(tuple(conditions))]


def _keys(selected: object, above: str = "") -> set[str]:
    if isinstance(selected, list):
        return set().union(*(_keys(part, above) for part in selected))
    if not isinstance(selected, dict):
        return set()
    if "nested" in selected:
        return _keys(selected["nested"]["filter"], f"{selected['nested']['key']}[].")
    if "key" in selected:
        return {f"{above}{selected['key']}"}
    return _keys(list(selected.values()), above)


@pytest.mark.parametrize("tree", _trees(), ids=repr)
def test_field_10_every_field_of_a_filter_has_its_index(tree: Filter) -> None:
    """The cloud refused a filter on a field without an index."""
    selected = filters.select(SCOPE, tree)
    assert selected is not None
    assert _keys(selected.model_dump(exclude_none=True)) <= INDEXES.keys()


@pytest.mark.parametrize("tree", _trees(), ids=repr)
def test_filters_are_the_same_over_grpc(tree: Filter) -> None:
    selected = filters.select(SCOPE, tree)
    assert selected is not None
    back = GrpcToRest.convert_filter(RestToGrpc.convert_filter(selected))
    assert _told(back.model_dump()) == _told(selected.model_dump())


def _told(selected: Any) -> Any:
    """Without what says nothing: over gRPC an empty list is none."""
    if isinstance(selected, list):
        return [_told(part) for part in selected]
    if isinstance(selected, dict):
        return {name: _told(part) for name, part in selected.items() if part not in (None, [])}
    return selected


def test_points_are_the_same_over_grpc(points: Points) -> None:
    entry = points.point(
        "k", vector(1.0, 2.0), revision=2**62 + 1, expire_time=NOW, fields={"n": 2**63 - 1, "t": [1]}
    )  # fmt: skip
    made = rows.to_point(entry, "write", rows.Version(2**53 + 1, "before", ("a", "b")))
    back = GrpcToRest.convert_point_struct(RestToGrpc.convert_point_struct(made))
    assert back.payload == made.payload
    assert made.payload is not None
    assert rows.version_of(back.payload) == rows.Version(2**62 + 1, "write", ("before", "a", "b"))


def test_a_point_knows_the_last_sixteen_writes(points: Points) -> None:
    version: rows.Version | None = None
    for number in range(40):
        made = rows.to_point(points.point("k"), f"{number}", version)
        version = rows.version_of(made.payload)
    assert version is not None
    assert [number for number in range(40) if version.has(f"{number}")] == list(range(24, 40))


@pytest.mark.asyncio
async def test_a_mark_of_a_delete_is_no_row(points: Points) -> None:
    """What a gateway leaves behind that dies in the middle of a delete."""
    await points.write(points.entry("k"), points.entry("other"))
    address, name, engine = points.address("k"), await _name(points), _engine(points)
    (there,) = await engine.call("retrieve", collection_name=name, ids=[rows.id_of(address)])
    mark = rows.to_mark(address, "mark", rows.version_of(there.payload))
    await engine.call("upsert", collection_name=name, points=[mark])

    assert await points.record(address) is None
    assert await points.walk() == ["other"]
    assert await points.search(vector=vector(1.0)) == ["other"]
    assert (await points.store.stats(Kind.SEMANTIC)).rows == await points.count() == 1
    assert await points.delete(address) == [MISSING]
    assert await points.delete(address, expected=1) == [CONFLICT]
    (result,) = await points.try_write([points.entry("k", revision=2)], expected=1)
    assert result.status is CONFLICT
    (result,) = await points.try_write([points.entry("k", revision=2)], expected=0)
    assert result.status is APPLIED
    assert await points.walk() == ["k", "other"]


@pytest.mark.asyncio
async def test_a_delete_leaves_nothing_behind(points: Points) -> None:
    await points.write(points.entry("k"), points.entry("l"))
    assert await points.delete(points.address("k"), points.address("l")) == [APPLIED] * 2
    counted = await _engine(points).call("count", collection_name=await _name(points), exact=True)
    assert counted.count == 0


@pytest.mark.asyncio
async def test_a_stale_memory_of_a_version_does_no_harm(points: Points) -> None:
    """Another gateway has written the same revision: what this one remembers is another write."""
    await points.write(points.entry("k", revision=1))
    assert await points.record(points.address("k")) == b"k"
    theirs = rows.to_point(points.as_point(points.entry("k", revision=1)), "theirs", None)
    await _engine(points).call("upsert", collection_name=await _name(points), points=[theirs])
    (result,) = await points.try_write([points.entry("k", revision=2, record=b"2")], expected=1)
    assert result.status is APPLIED
    assert await points.record(points.address("k")) == b"2"
    (result,) = await points.try_write([points.entry("k", revision=3)], expected=1)
    assert result.status is CONFLICT


@pytest.mark.asyncio
async def test_an_empty_collection_gives_way_and_is_kept(points: Points) -> None:
    other = dataclasses.replace(
        COLLECTION, embedding=EmbeddingIdentity("conformance", "another", DIMENSION + 1)
    )
    await points.store.ensure(other)
    names = {one.name for one in (await _engine(points).call("get_collections")).collections}
    assert len(names) == 2
    assert all(name.startswith("memplane-semantic-") for name in names)
    await points.store.ensure(COLLECTION)
    await points.write(points.entry("k"))
    with pytest.raises(StoreError) as refusal:
        await points.store.ensure(other)
    assert refusal.value.reason is StoreReason.IDENTITY_MISMATCH
    assert "made-up" in refusal.value.metadata["stored"]
    assert "another" in refusal.value.metadata["configured"]


@pytest.mark.asyncio
async def test_vectors_come_back_bit_by_bit(points: Points) -> None:
    """Asked for the cosine, Qdrant would normalise once more what is normalised."""
    written = some_vectors(50)
    await points.write(*(points.point(f"{n:02}", at) for n, at in enumerate(written)))
    for at, row in zip(written, await points.walk_rows(vectors=True), strict=True):
        assert row.vector is not None
        assert row.vector.tobytes() == at.tobytes()


@pytest.mark.asyncio
async def test_prefixes_do_not_see_each_other(tmp_path: Path) -> None:
    for prefix in ("p", "p-semantic", "P"):
        settings = QdrantSettings(path="shared", prefix=prefix)
        store = QdrantVectorStore(settings, tmp_path)
        await store.open()
        embedding = EmbeddingIdentity("conformance", prefix, DIMENSION)
        await store.ensure(dataclasses.replace(COLLECTION, embedding=embedding))
        points = Points(store, tenant="t")
        assert await points.count() == 0
        await points.write(points.entry("k"))
        await store.close()


@pytest.mark.asyncio
async def test_one_process_owns_a_directory(tmp_path: Path) -> None:
    first = QdrantVectorStore(QdrantSettings(path="here"), tmp_path)
    await first.open()
    second = QdrantVectorStore(QdrantSettings(path="here"), tmp_path)
    with pytest.raises(StoreError) as refusal:
        await second.open()
    assert refusal.value.reason is StoreReason.MISCONFIGURED
    await first.close()
    await second.open()
    await second.close()


@pytest.mark.asyncio
async def test_field_51_the_engine_has_a_thread_of_its_own(points: Points) -> None:
    """Async methods ran blocking calls on the loop."""
    working, go_on = threading.Event(), threading.Event()

    def block() -> int:
        working.set()
        go_on.wait()
        return threading.get_ident()

    blocked = asyncio.ensure_future(_engine(points)._run(block))
    await asyncio.to_thread(working.wait)
    waiting = asyncio.ensure_future(points.count())
    for _ in range(100):  # the loop turns while the engine works
        await asyncio.sleep(0)
    assert not waiting.done()
    go_on.set()
    assert await blocked != threading.get_ident()
    assert await waiting == 0


@pytest.mark.asyncio
async def test_a_close_waits_for_calls_under_way(points: Points) -> None:
    writing = asyncio.ensure_future(points.try_write([points.entry("k")], expected=0))
    await asyncio.sleep(0)
    await points.store.close()
    (result,) = await writing
    assert result.status is APPLIED


@pytest.mark.parametrize(
    ("url", "keys"),
    [
        ("", {}),
        (":memory:", {"path": ":memory:"}),
        ("/some/dir", {"path": "/some/dir"}),
        ("./dir", {"path": "./dir"}),
        ("~/dir", {"path": "~/dir"}),
        ("file:///some/dir", {"path": "/some/dir"}),
        ("http://localhost:6333", {"url": "http://localhost:6333"}),
        ("https://host:443/base", {"url": "https://host:443/base"}),
        ("localhost:6333", {"url": "http://localhost:6333"}),
        ("//localhost:6333", {"url": "http://localhost:6333"}),
        ("http://[::1]:6333?grpc_port=7", {"url": "http://[::1]:6333", "grpc_port": 7}),
        (
            "http://h:1?transport=rest&prefix=p",
            {"url": "http://h:1", "transport": "rest", "prefix": "p"},
        ),
    ],
)
def test_urls(url: str, keys: dict[str, object]) -> None:
    assert from_url(url) == keys
    QdrantSettings(**keys)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "keys",
    [
        {"url": "localhost:6333"},
        {"url": "ftp://localhost"},
        {"url": "http://user:password@localhost:6333"},
        {"prefix": ""},
        {"prefix": "a/b"},
        {"prefix": "-a"},
        {"grpc_port": 0},
        {"timeout": 0},
    ],
    ids=repr,
)
def test_wrong_settings_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="should") as refusal:
        QdrantSettings(**keys)
    assert "password" not in str(refusal.value)


def test_levels_are_what_can_be_promised() -> None:
    levels = {"": Durability.PROCESS, "dir": Durability.PROCESS, ":memory:": Durability.BUFFERED}
    for path, level in levels.items():
        declared = capabilities(QdrantSettings(path=path))
        assert declared.durability == (level,)
        assert declared.approximate is (path == "")


def test_the_client_library_is_loaded_when_a_store_is_connected() -> None:
    """It takes seconds, which nobody should wait for who only lists the adapters."""
    assert ADAPTER.settings() == QdrantSettings()
    code = (
        "import sys, memplane_adapters.qdrant as q; assert 'qdrant_client' not in sys.modules;"
        "assert 'grpc' not in sys.modules; assert q.ADAPTER.name == 'qdrant'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_client_library_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "memplane_gateway.config.stores.find_spec",
        lambda name: None if name == "qdrant_client" else find_spec(name),
    )
    with pytest.raises(AdapterError, match='needs the module "qdrant_client"') as caught:
        find_adapter("qdrant")
    assert caught.value.suggestion == "pip install 'memplane-gateway[qdrant]'"


def test_every_index_is_one_that_the_server_knows() -> None:
    for schema in INDEXES.values():
        assert RestToGrpc.convert_payload_schema_params(schema) is not None
        assert isinstance(schema, models.KeywordIndexParams | models.IntegerIndexParams | models.FloatIndexParams)  # fmt: skip
