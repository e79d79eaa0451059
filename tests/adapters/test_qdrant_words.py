"""Words in Qdrant: where they stand in its sparse vectors, what they weigh, and where there are none."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from qdrant_client import models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from tests.adapters.qdrant_double import Double
from tests.adapters.qdrant_grpc_double import GrpcDouble

from memplane_adapters.conformance.stores.fixtures import COLLECTION, Points, vector
from memplane_adapters.contract import (
    RELEVANCE_DIGITS,
    Durability,
    Query,
    Reached,
    StoreError,
    StoreReason,
    WriteStatus,
    keyword_relevance,
)
from memplane_adapters.qdrant import QdrantSettings, rows, words
from memplane_adapters.qdrant.store import QdrantVectorStore

SHARED = ("w82644", "w97348")
"""Two terms that stand at one index for the tenant "acme"."""


@pytest_asyncio.fixture
async def points(tmp_path: Path) -> AsyncIterator[Points]:
    store = QdrantVectorStore(QdrantSettings(path=":memory:"), tmp_path)
    await store.open()
    await store.ensure(COLLECTION)
    yield Points(store, tenant="acme")
    await store.close()


def _engine(points: Points) -> Any:
    assert isinstance(points.store, QdrantVectorStore)
    assert points.store._opened is not None
    return points.store._opened.engine


async def _vectors(points: Points, key: str) -> dict[str, Any]:
    """The names and vectors of a point, as the engine has them."""
    (collection,) = (await _engine(points).call("get_collections")).collections
    (point,) = await _engine(points).call(
        "retrieve",
        collection_name=collection.name,
        ids=[rows.id_of(points.address(key))],
        with_vectors=True,
    )
    assert isinstance(point.vector, dict)
    return point.vector


def test_a_term_stands_at_the_same_index_for_ever() -> None:
    """Another one, and everything that is stored is found by no word."""
    assert words.indexes("acme", ["tea", "日本"]) == [2970507735, 2445331035]


def test_tenants_share_no_index() -> None:
    terms = [f"w{n}" for n in range(1000)]
    assert not set(words.indexes("acme", terms)) & set(words.indexes("other", terms))
    assert words.indexes("ab", ["c"]) != words.indexes("a", ["bc"])


def test_weights_are_bm25() -> None:
    made = words.of_row("acme", ["tea"] * 3 + ["milk"])
    assert made is not None
    by_index = dict(zip(made.indices, made.values, strict=True))
    tea, milk = words.indexes("acme", ["tea", "milk"])
    damped = 1.2 * (0.25 + 0.75 * 4 / 32)
    assert by_index == {
        tea: pytest.approx(3 * 2.2 / (3 + damped)),
        milk: pytest.approx(1 * 2.2 / (1 + damped)),
    }
    assert made.indices == sorted(made.indices)
    asked = words.of_question("acme", ["tea", "milk", "tea"])
    assert (asked.indices, asked.values) == (sorted(by_index), [1.0, 1.0])


def test_a_row_without_terms_has_no_words() -> None:
    assert words.of_row("acme", []) is None


def test_terms_that_share_an_index_count_together() -> None:
    made = words.of_row("acme", [*SHARED, "tea"])
    assert made is not None
    alone = words.of_row("acme", [SHARED[0], "tea", "tea"])
    assert alone is not None
    (index,) = set(words.indexes("acme", SHARED))
    weight = dict(zip(alone.indices, alone.values, strict=True))[index]
    assert dict(zip(made.indices, made.values, strict=True))[index] == pytest.approx(2 * weight)
    assert len(made.indices) == len(set(made.indices)) == 2
    assert max(words.of_question("acme", SHARED).values) == 2.0


@pytest.mark.asyncio
async def test_a_term_that_shares_an_index_is_found_with_the_other(points: Points) -> None:
    """What docs/search.md says of it; another tenant has other pairs."""
    await points.write(points.point("k", terms=SHARED[0]), points.point("other", terms="tea"))
    assert await points.search(terms=(SHARED[1],)) == ["k"]
    neighbour = Points(points.store, tenant="neighbour")
    await neighbour.write(neighbour.point("k", terms=SHARED[0]))
    assert await neighbour.search(terms=(SHARED[1],)) == []


def test_words_are_the_same_over_grpc(points: Points) -> None:
    made = rows.to_point(points.point("k", terms="red tea and tea"), "write", None)
    back = GrpcToRest.convert_point_struct(RestToGrpc.convert_point_struct(made))
    assert isinstance(made.vector, dict)
    assert isinstance(back.vector, dict)
    sent, got = made.vector[rows.WORDS], back.vector[rows.WORDS]
    assert isinstance(sent, models.SparseVector)
    assert isinstance(got, models.SparseVector)
    assert got.indices == sent.indices
    assert got.values == pytest.approx(sent.values)


@pytest.mark.asyncio
async def test_the_score_is_the_bm25_sum(points: Points) -> None:
    texts = {"a": "red tea", "b": "tea tea and more tea", "c": "red wine", "d": "milk"}
    await points.write(*(points.point(key, terms=text) for key, text in texts.items()))
    await points.write(points.point("bare"))  # it has no words, and is no memory among so many

    def bm25(text: str) -> float:
        terms, sum_ = text.split(), 0.0
        for term in ("red", "tea"):
            holding = sum(term in other.split() for other in texts.values())
            rare = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
            count = terms.count(term)
            sum_ += rare * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * len(terms) / 32))
        return sum_

    hits = await points.query(terms=("red", "tea"))
    found = {hit.record.decode(): hit.score for hit in hits}
    expected = {key: bm25(text) for key, text in texts.items() if bm25(text)}
    assert found == pytest.approx(expected, rel=1e-6)
    assert list(found) == sorted(expected, key=lambda key: -expected[key])


@pytest.mark.asyncio
async def test_no_words_stay_behind(points: Points) -> None:
    """Neither of what was written before, nor of what was deleted, to be found or to be counted."""
    await points.write(points.point("k", terms="old tea"), points.point("l", terms="tea"))
    before = [hit.score for hit in await points.query(terms=("tea",))]
    assert set(await _vectors(points, "k")) == {rows.VECTOR, rows.WORDS}
    await points.write(points.point("m", terms="tea"), points.point("n", terms="tea old"))
    await points.delete(points.address("m"))
    await points.write(points.point("n", revision=2))
    assert set(await _vectors(points, "n")) == {rows.VECTOR}
    assert [hit.score for hit in await points.query(terms=("tea",))] == before
    await points.write(points.point("k", terms="new", revision=2))
    assert await points.search(terms=("old",)) == []


@pytest.mark.asyncio
async def test_a_delete_under_way_is_not_found_by_words(points: Points) -> None:
    await points.write(points.point("k", terms="tea"), points.point("l", terms="tea"))
    engine = _engine(points)
    (collection,) = (await engine.call("get_collections")).collections
    address = points.address("k")
    (there,) = await engine.call(
        "retrieve", collection_name=collection.name, ids=[rows.id_of(address)]
    )
    mark = rows.to_mark(address, "mark", rows.version_of(there.payload))
    await engine.call("upsert", collection_name=collection.name, points=[mark])
    assert await points.search(terms=("tea",)) == ["l"]


@pytest.mark.asyncio
async def test_a_collection_of_an_earlier_version_refuses_words_and_takes_the_rest(
    tmp_path: Path,
) -> None:
    """An empty answer would be a lie, and so would one of what was written since."""
    settings = QdrantSettings(path="here")
    store = QdrantVectorStore(settings, tmp_path)
    await store.open()
    await store.ensure(COLLECTION)
    points = Points(store, tenant="acme")
    engine = _engine(points)
    (made,) = (await engine.call("get_collections")).collections
    info = await engine.call("get_collection", collection_name=made.name)
    await engine.call("delete_collection", collection_name=made.name)
    await engine.call(
        "create_collection",
        collection_name=made.name,
        vectors_config=info.config.params.vectors,
        metadata=info.config.metadata,
    )
    await store.close()

    await store.open()
    await store.ensure(COLLECTION)
    await points.write(points.point("k", terms="tea"))
    await points.write(points.point("k", terms="tea again", revision=2))
    with pytest.raises(StoreError) as refusal:
        await points.search(terms=("tea",))
    assert refusal.value.reason is StoreReason.UNSUPPORTED
    assert not refusal.value.retryable
    assert made.name in str(refusal.value)
    assert "write the memories anew" in refusal.value.metadata["why"]
    assert await points.search(vector=vector(1.0)) == ["k"]
    assert await store.ping() == Reached(Durability.PROCESS, wordless=frozenset({COLLECTION.kind}))
    assert await points.delete(points.address("k")) == [WriteStatus.APPLIED]
    await store.close()


@pytest.fixture(params=["grpc", "rest"])
def double(request: pytest.FixtureRequest) -> Iterator[Double]:
    made = Double()
    made.start()
    behind = GrpcDouble(made)
    behind.start()
    made.transport, made.grpc_port = request.param, behind.port
    yield made
    behind.stop()
    made.stop()


@pytest.mark.parametrize("version", ["1.18.3", "1.19.0"])
@pytest.mark.asyncio
async def test_what_other_tenants_write_makes_no_word_common(double: Double, version: str) -> None:
    """Before 1.19 a server counts the rows of all tenants: every word becomes rarer by others' rows.

    Which words the others have is not to be seen on any.
    """
    double.version = version
    settings = QdrantSettings(
        url=double.url, transport=double.transport, grpc_port=double.grpc_port
    )
    store = QdrantVectorStore(settings, Path("unused"))
    await store.open()
    await store.ensure(COLLECTION)
    points, other = Points(store, tenant="acme"), Points(store, tenant="other")

    async def scores() -> list[float]:
        return [hit.score for hit in await points.query(terms=("tea",))]

    async def others(terms: str) -> None:
        await other.write(*(other.point(f"{n}", terms=terms, revision=1) for n in range(20)))

    await points.write(*(points.point(f"{n}", terms="tea" if n < 3 else "milk") for n in range(9)))
    alone = await scores()
    await others("milk")
    among = await scores()
    await others("tea tea tea")
    assert await scores() == among
    if version == "1.19.0":
        assert among == alone
    else:
        assert all(now > before for now, before in zip(among, alone, strict=True))
    await store.close()


@pytest.mark.asyncio
async def test_ties_beyond_the_first_answer_go_by_time(double: Double) -> None:
    """Over the wire scores are float32; equal rows have equal ones all the same."""
    settings = QdrantSettings(
        url=double.url, transport=double.transport, grpc_port=double.grpc_port
    )
    store = QdrantVectorStore(settings, Path("unused"))
    await store.open()
    await store.ensure(COLLECTION)
    points = Points(store, tenant="acme")
    await points.write(
        *(points.point(f"{n:02}", terms="tea time", time=n % 7 + 1) for n in range(40)),
        points.point("best", terms="tea"),
    )
    query = Query(scope=points.scope(), terms=("tea",), limit=9)
    answers = await asyncio.gather(*(store.query(query) for _ in range(3)))
    expected = ["best", *sorted((f"{n:02}" for n in range(40)), key=lambda k: (-(int(k) % 7), k))]
    for answer in answers:
        assert [hit.record.decode() for hit in answer.hits] == expected[:9]
        assert not answer.approximate
    relevances = {round(keyword_relevance(hit.score), RELEVANCE_DIGITS) for hit in answers[0].hits}
    assert len(relevances) == 2
    await store.close()
