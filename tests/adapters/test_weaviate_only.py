"""What only Weaviate does, or does otherwise than it says."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from tests.adapters import opening

from memplane_adapters.conformance.local_stores import Servers, choices
from memplane_adapters.conformance.servers import Server
from memplane_adapters.conformance.stores import BackendFactory
from memplane_adapters.conformance.stores.fixtures import (
    COLLECTION,
    DIMENSION,
    NOW,
    Points,
    eventually,
    some_vectors,
    vector,
)
from memplane_adapters.contract import (
    All,
    AnyOf,
    Condition,
    Delete,
    Durability,
    FieldType,
    Filter,
    Kind,
    Negation,
    Op,
    Order,
    Query,
    Scan,
    Scope,
    StoreError,
    StoreReason,
    WriteStatus,
)
from memplane_adapters.kit.expressions import Comparison, Range
from memplane_adapters.weaviate import ADAPTER, WeaviateSettings, filters, ranges, rows
from memplane_adapters.weaviate.collections import Place, tenant_name
from memplane_adapters.weaviate.store import WeaviateVectorStore

(WEAVIATE,) = (choice for choice in choices() if choice.adapter_name == "weaviate")
pytestmark = pytest.mark.timeout(120)
SCOPE = Scope("tenant", Kind.SEMANTIC, NOW, ("a",))
N = ("n",)


@pytest.fixture
def backend_factory(servers: Servers, tmp_path: Path) -> BackendFactory:
    return WEAVIATE.backend_factory(servers, tmp_path)


def opened(**settings: Any) -> AbstractAsyncContextManager[Points]:
    """A store of its own, open."""
    return opening.opened_points(ADAPTER, **settings)


def keys(servers: Servers, place: Path) -> dict[str, Any]:
    """The settings of an empty store on the session's server."""
    return dict(WEAVIATE.keys(servers, place)[1])


@pytest.fixture
def own(servers: Servers, tmp_path: Path) -> Any:
    """A server of the case's own, which it may treat badly."""
    with opening.own_server(WEAVIATE, servers, tmp_path) as server:
        yield server


def inside(points: Points) -> WeaviateVectorStore:
    """The store itself."""
    assert isinstance(points.store, WeaviateVectorStore)
    return points.store


def place_of(points: Points) -> Place:
    """The collection that it uses."""
    return inside(points)._collections.ensured(points.kind)


async def rest(points: Points, method: str, path: str, body: object = None) -> Any:
    """Something done behind the store's back."""
    return await inside(points)._client.rest(method, path, body)


async def test_a_collection_that_vanished_is_missed_by_every_call(points: Points) -> None:
    """A server makes a collection of what it is sent (auto schema), if it is let."""
    await points.write(points.point("k"))
    await rest(points, "DELETE", f"/schema/{place_of(points).called}")
    store, scope, address = points.store, points.scope(), points.address("k")
    for call in (
        store.ping(),
        points.try_write([points.point("k")]),
        points.read(address),
        store.delete([Delete(address)]),
        store.scan(Scan(scope=scope)),
        store.scan(Scan(scope=scope, order=Order.TIME)),
        store.count(scope),
        store.delete_where(scope, max_revision=1),
        store.query(Query(scope=scope, vector=vector(1.0))),
        store.query(Query(scope=scope, terms=("tea",))),
        store.stats(points.kind),
        store.ensure(COLLECTION),
        store.ensure(dataclasses.replace(COLLECTION, made=True)),
    ):
        with pytest.raises(StoreError) as refusal:
            await call
        assert refusal.value.reason is StoreReason.COLLECTION_MISSING
        assert not refusal.value.retryable


async def test_a_collection_of_others_is_not_taken(servers: Servers, tmp_path: Path) -> None:
    async with opened(**keys(servers, tmp_path)) as points:
        await points.store.ensure(COLLECTION)
        called = place_of(points).called
        await rest(points, "DELETE", f"/schema/{called}")
        await rest(points, "POST", "/schema", {"class": called, "description": "of others"})
        for call in (points.store.ping(), points.store.ensure(COLLECTION)):
            with pytest.raises(StoreError) as refusal:
                await call
            assert refusal.value.reason is StoreReason.MISCONFIGURED


async def test_a_declared_attribute_has_a_property_of_its_own(
    servers: Servers, tmp_path: Path
) -> None:
    """And what is declared later is found all the same, by tokens."""
    declared = {("price",): FieldType.NUMBER, ("Due", "at"): FieldType.TIME, ("b",): FieldType.BOOL}
    one = dataclasses.replace(COLLECTION, index=declared)
    two = dataclasses.replace(COLLECTION, index={**declared, ("size",): FieldType.NUMBER})
    due = "2026-03-01T00:00:00Z"
    fields = [{"price": n, "size": n, "Due": {"at": f"2026-0{n}-01"}, "b": True} for n in (2, 3, 4)]
    async with opened(**keys(servers, tmp_path)) as points:
        await points.store.ensure(one)
        own = {path for _, path in place_of(points).ranges if not path.startswith("@")}
        assert own == {"price", "Due.at"}
        before = await rest(points, "GET", f"/schema/{place_of(points).called}")
        await points.write(*(points.point(f"{n}", fields=each) for n, each in enumerate(fields)))
        await points.store.ensure(two)
        await points.write(points.point("3", fields={"price": 5, "size": 5}))
        for tree, expected in (
            (Condition(("price",), Op.GT, 2), ["1", "2", "3"]),
            (Condition(("size",), Op.GTE, 3), ["1", "2", "3"]),
            (Condition(("Due", "at"), Op.LT, due), ["0"]),
            (Condition(("Due", "at"), Op.GTE, due), ["1", "2"]),
            (Negation(Condition(("price",), Op.LT, 4)), ["2", "3"]),
        ):
            assert await points.walk(filter=tree) == expected, tree
        # The schema was made once, and writes leave it alone.
        assert await rest(points, "GET", f"/schema/{place_of(points).called}") == before
    async with opened(**keys(servers, tmp_path)) as again:
        await again.store.ensure(COLLECTION)
        again.tenant = points.tenant
        assert await again.walk(filter=Condition(("price",), Op.GT, 4)) == ["3"]


async def test_text_is_not_trimmed(points: Points) -> None:
    """Weaviate takes spaces off both ends of what is to be compared as a whole."""
    values = ["x", " x", "x ", " ", "", "\tx", "X", "?", "*"]
    await points.write(*(points.point(f"{n}", fields={"a": v}) for n, v in enumerate(values)))
    for number, value in enumerate(values):
        assert await points.walk(filter=Condition(("a",), Op.EQ, value)) == [f"{number}"]
    await points.write(points.point("name", fields={" a": "x", "a ": "x"}))
    assert await points.walk(filter=Condition((" a",), Op.EXISTS)) == ["name"]
    assert await points.count(tree=Condition(("a",), Op.EQ, "x")) == 1


async def test_times_beyond_what_a_double_holds_keep_their_order(points: Points) -> None:
    far = 2**53 + 4_000
    times = [far + n % 5 for n in range(10)]
    await points.write(*(points.point(f"{n}", time=time) for n, time in enumerate(times)))
    order = sorted(range(10), key=lambda n: (times[n], n))
    for limit in (1, 3, 50):
        walked = await points.walk(order=Order.TIME, limit=limit)
        assert walked == [f"{n}" for n in order]
    down = sorted(range(10), key=lambda n: (-times[n], n))
    assert await points.walk(order=Order.TIME, descending=True, limit=3) == [f"{n}" for n in down]


@pytest.mark.parametrize("comparison", ["gt", "gte", "lt", "lte"])
def test_a_number_is_in_a_range_by_one_token_exactly(comparison: Comparison) -> None:
    inf = float("inf")
    numbers = [-inf, -1e300, -2.5, -1.0, -5e-324, -0.0, 0.0, 5e-324, 0.5, 1.0, 2.0**53, 1e300, inf]
    compare = {
        "gt": float.__gt__,
        "gte": float.__ge__,
        "lt": float.__lt__,
        "lte": float.__le__,
    }[comparison]
    for bound in numbers:
        wanted = ranges.wanted(Range("number", ("a", "b"), comparison, bound))
        assert len(wanted) == len(set(wanted)) <= 241
        for number in numbers:
            held = set(ranges.tokens("number", "a.b", number))
            assert len(held & set(wanted)) == compare(number, bound), (number, bound)


@pytest.mark.parametrize(
    "tree",
    [AnyOf(()), Negation(All(())), All((AnyOf(()), Condition(N, Op.EXISTS))), Condition(N, Op.IN, [])],
    ids=repr,
)  # fmt: skip
def test_what_matches_nothing_is_never_asked(tree: Filter) -> None:
    """Weaviate refuses a list of alternatives without any."""
    assert filters.select(SCOPE, tree, {}) is None


def test_names_of_tenants() -> None:
    """What Weaviate would refuse, or a file system would mix up, is a digest."""
    plain = ["default", "a", "acme-1", "user_42", "x" * 64]
    odd = ["", "Acme", "a b", "日本", "a/b", "..", "x" * 65, "hashed-1", "ä"]
    assert [tenant_name(name) for name in plain] == plain
    hashed = [tenant_name(name) for name in odd]
    assert len({*hashed, *plain}) == len(odd) + len(plain)
    assert all(name.startswith("hashed-") and len(name) <= 64 for name in hashed)


def test_places_sort_as_hex_digits_do() -> None:
    places = [
        ((), ""),
        ((), "a"),
        (("a",), ""),
        (("a",), "K"),
        (("a",), "k"),
        (("a", "b"), "a"),
        (("a!",), "a"),
        (("b",), "\x01"),
        (("日",), "本"),
        (("\U0001f600",), "x"),
    ]
    assert places == sorted(places)
    digits = [rows.place_of(*place) for place in places]
    assert digits == sorted(digits)
    assert [rows._unplaced(each) for each in digits] == places


async def test_tenants_of_a_collection_are_weaviates_own(points: Points) -> None:
    odd = dataclasses.replace(points, tenant="Acme & Söhne")
    assert await odd.count() == 0
    assert await odd.delete(odd.address("k")) == ["missing"]
    await points.write(points.point("k"))
    await odd.write(odd.point("k"), odd.point("l"))
    names = await inside(points)._client.tenants(place_of(points).called)
    assert sorted(names) == sorted([points.tenant, tenant_name(odd.tenant)])
    assert (await points.count(), await odd.count()) == (1, 2)
    assert (await points.store.stats(points.kind)).rows == 3


async def test_hnsw_is_said_to_be_approximate(servers: Servers, tmp_path: Path) -> None:
    at = some_vectors(200, seed=5)
    async with opened(**keys(servers, tmp_path), index="hnsw", ef=128) as points:
        assert points.capabilities.approximate
        assert not points.capabilities.exact_search
        await points.store.ensure(COLLECTION)
        made = await rest(points, "GET", f"/schema/{place_of(points).called}")
        config = made["vectorConfig"][rows.VECTOR]
        assert (config["vectorIndexType"], config["vectorIndexConfig"]["ef"]) == ("hnsw", 128)
        await points.write(*(points.point(f"{n}", one) for n, one in enumerate(at)))
        result = await points.store.query(Query(scope=points.scope(), vector=at[7], limit=3))
        assert result.approximate
        assert result.hits[0].record == b"7"
        for hit in result.hits:
            cosine = float(at[7].astype("f8") @ at[int(hit.record)].astype("f8"))
            assert hit.score == pytest.approx(cosine, abs=1e-6)
        exact = Query(scope=points.scope(), vector=at[7], exact=True)
        with pytest.raises(StoreError) as refusal:
            await points.store.query(exact)
        assert refusal.value.reason is StoreReason.UNSUPPORTED


async def test_reads_are_whole_while_vectors_change(points: Points) -> None:
    """A row with another vector gets another number, and a read in between loses it."""
    number, writing = 40, True
    keys = [f"{n:02}" for n in range(number)]
    await points.write(*(points.point(key, vector(1.0, 1.0), terms="tea") for key in keys))

    async def disturb() -> None:
        revision = 1
        while writing:
            revision += 1
            at = vector(1.0, revision)
            await points.write(
                *(points.point(key, at, terms="tea", revision=revision) for key in keys)
            )

    disturbing = asyncio.ensure_future(disturb())
    try:
        for _ in range(20):
            assert None not in await points.read(*map(points.address, keys))
            assert sorted(await points.search(terms=("tea",), limit=100)) == keys
            assert await points.walk(limit=15) == keys
            assert await points.count() == number
    finally:
        writing = False
        await disturbing


async def test_a_purge_and_a_write_do_not_meet(points: Points) -> None:
    """A server deletes by id what it has found by a filter, even if it is newer by then."""
    keys = [f"{n:02}" for n in range(30)]
    for _ in range(10):
        await points.write(*(points.point(key, revision=1) for key in keys))
        written = asyncio.gather(
            *(points.write(points.point(key, vector(0.0, 1.0), revision=3)) for key in keys)
        )
        await points.store.delete_where(points.scope(), max_revision=2)
        await written
        assert await points.walk() == keys
        assert await points.store.delete_where(points.scope(), max_revision=3) == len(keys)


async def test_a_killed_server_keeps_what_it_acknowledged(own: Server) -> None:
    at = some_vectors(200, seed=7)
    async with opened(**ADAPTER.from_url(own.url)) as points:
        await points.store.ensure(COLLECTION)
        for start in range(0, 200, 20):
            part = range(start, start + 20)
            await points.write(*(points.point(f"{n:03}", at[n], terms="tea") for n in part))
        await points.delete(points.address("199"))
        own.kill()
        for call in (points.store.ping(), points.count(), points.try_write([points.point("k")])):
            with pytest.raises(StoreError) as refusal:
                await call
            assert refusal.value.reason in (StoreReason.UNAVAILABLE, StoreReason.INTERRUPTED)
            assert refusal.value.retryable
        own.start()
        await eventually(lambda: _serves(points))  # a channel waits half a second at most
        kept = [f"{n:03}" for n in range(199)]
        assert await points.walk(limit=50) == kept
        assert sorted(await points.search(terms=("tea",), limit=500)) == kept
        for n in range(0, 199, 20):
            assert (await points.search(vector=at[n], limit=1)) == [f"{n:03}"]


async def _serves(points: Points) -> bool:
    try:
        return await points.store.ping() is Durability.PROCESS
    except StoreError:
        return False


async def test_a_frozen_server_is_not_waited_for(own: Server) -> None:
    """The vendor's client would try for a minute."""
    async with opened(**ADAPTER.from_url(own.url), timeout=0.5) as points:
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


def test_field_56_the_client_library_is_not_loaded_at_all() -> None:
    """It takes seconds, and warns of itself. Who wants it besides gets all of it."""
    code = (
        "import sys; from pathlib import Path; from memplane_adapters.weaviate import *; "
        "settings = WeaviateSettings(); assert not any('weaviate.' in n and n[0] == 'w' for n in "
        "sys.modules); ADAPTER.connect(settings, Path()); assert 'weaviate.proto' in sys.modules; "
        "assert 'weaviate' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert done.stderr == b""
    both = "from memplane_adapters.weaviate import stubs; import weaviate; weaviate.WeaviateClient"
    subprocess.run([sys.executable, "-W", "ignore", "-c", both], check=True)


@pytest.mark.parametrize(
    ("url", "keys"),
    [
        ("", {}),
        ("http://localhost:8080", {"url": "http://localhost:8080"}),
        ("https://w.example/", {"url": "https://w.example"}),
        ("weaviate:8080", {"url": "http://weaviate:8080"}),
        (
            "http://w?grpc_port=1&ef=64&timeout=2.5&index=hnsw&grpc_host=g",
            {
                "url": "http://w",
                "grpc_port": 1,
                "ef": 64,
                "timeout": 2.5,
                "index": "hnsw",
                "grpc_host": "g",
            },
        ),
    ],
)
def test_urls(url: str, keys: dict[str, object]) -> None:
    assert ADAPTER.from_url(url) == keys
    WeaviateSettings(**keys)  # type: ignore[arg-type]


def test_where_grpc_is() -> None:
    targets = {
        ("http://w:8080", ""): "w:50051",
        ("https://w", "grpc-w"): "grpc-w:50051",
        ("http://[::1]:8080", ""): "[::1]:50051",
    }
    for (url, host), target in targets.items():
        assert WeaviateSettings(url=url, grpc_host=host).grpc_target == target


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://localhost"},
        {"url": "http://"},
        {"url": "http://user:secret@localhost"},
        {"url": "http://localhost?x=1"},
        {"prefix": ""},
        {"prefix": "a b"},
        {"prefix": "A"},
        {"prefix": "a_b"},
        {"prefix": "1a"},
        {"api_key": "a\nb"},
        {"grpc_port": 0},
        {"ef": 1},
        {"timeout": 0.0},
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="should"):
        WeaviateSettings(**wrong)


def test_an_identity_stands_in_plain() -> None:
    from memplane_adapters.weaviate.collections import _schema

    made: Any = _schema("Memplane_semantic_00000000", COLLECTION, WeaviateSettings())
    said = json.loads(made["description"])
    assert said["identity"].startswith("conformance/made-up/8 (cosine, normalized)")
    assert said["dimension"] == DIMENSION


async def test_what_grows_by_its_tokens_goes_in_several_requests(
    points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen tokens for each number, with its path in each: a server takes 100 MB at once."""
    sizes: list[int] = []
    write = inside(points)._client.write

    async def counted(request: Any) -> Any:
        sizes.append(request.ByteSize())
        return await write(request)

    monkeypatch.setattr(inside(points)._client, "write", counted)
    monkeypatch.setattr("memplane_adapters.weaviate.store._REQUEST_BYTES", 2**18)
    fields: dict[str, Any] = {"n" * 128: {f"{number}": number for number in range(20)}}
    small = [points.point(f"{number}", fields=fields) for number in range(10)]
    twice = [points.point("0", record=b"first"), *small]
    assert {each.status for each in await points.try_write(twice)} == {WriteStatus.APPLIED}
    assert len(sizes) > 1
    assert max(sizes) <= 2**18 + 2**10
    assert await points.walk() == [f"{number}" for number in range(10)]
    assert await points.count(tree=Condition(("n" * 128, "7"), Op.GT, 6)) == 10
    huge = points.point("huge", fields={"n" * 128: {f"{n}": float(n) for n in range(45_000)}})
    (refused, written) = await points.try_write([huge, points.point("beside")])
    assert refused.error is not None
    assert refused.error.reason is StoreReason.ITEM_TOO_LARGE
    assert written.status is WriteStatus.APPLIED
