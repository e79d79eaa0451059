"""Further texts: a memory is found by the best of them, shown once, and never by what it had before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memplane import (
    AsyncScope,
    Capabilities,
    IndexedText,
    Kind,
    Memory,
    Mode,
    Outcome,
    Put,
    SearchResult,
)
from memplane.v1 import indexed_text_pb2, memory_pb2
from memplane.v1 import memory_service_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.helpers import (
    ON_THE_SESSION_LOOP,
    SEARCHED,
    axis,
    dimension_of,
    expired,
    keys_listed,
    needs,
    needs_texts,
    put_all,
    ref_message,
    refused,
    there,
    unit_vectors,
)

pytestmark = [ON_THE_SESSION_LOOP, SEARCHED]

CLOSE = 1e-3


@pytest.fixture
def length(abilities: Capabilities, kind: Kind) -> int:
    """How many dimensions the kind has."""
    needs(abilities[kind].vector, "VECTOR search")
    return dimension_of(abilities, kind)


@pytest.fixture
def exact(abilities: Capabilities, kind: Kind) -> bool:
    """What `exact` is set to so that rows are the same everywhere."""
    able = abilities[kind]
    needs(able.exact_search or not able.approximate, "exact search")
    return able.exact_search


def shown(result: SearchResult) -> list[tuple[str, str]]:
    """Which memories were found, and by what."""
    return [(hit.memory.key, hit.matched_path) for hit in result]


async def test_the_best_of_all_counts_and_is_named(
    space: AsyncScope, kind: Kind, length: int
) -> None:
    await put_all(
        space,
        [
            Put(
                space.ref(kind, "a"),
                vector=axis(length, 1.0),
                indexed_texts={"side": axis(length, 1.0, 1.0), "up": axis(length, 0.0, 1.0)},
            ),
            Put(space.ref(kind, "b"), vector=axis(length, 0.2, 1.0)),
            Put(space.ref(kind, "c"), indexed_texts={"up": axis(length, 0.1, 1.0)}),
        ],
    )
    for asked, expected in {
        (0.0, 1.0): [("a", "up"), ("c", "up"), ("b", "")],
        (1.0, 0.0): [("a", ""), ("b", ""), ("c", "up")],
        (1.0, 1.0): [("a", "side"), ("b", ""), ("c", "up")],
    }.items():
        found = await space.search(vector=axis(length, *asked), kind=kind, explain=True)
        assert shown(found) == expected
        assert found[0].score == pytest.approx(1.0, abs=CLOSE)
        for hit in found:
            assert hit.score is not None
            assert hit.relevance == pytest.approx((1 + hit.score) / 2, abs=1e-9)
            assert hit.explanation is not None
            assert hit.explanation.vector_score == hit.score
    last = await space.search(vector=axis(length, 0.0, 1.0), kind=kind, limit=1)
    assert shown(last) == [("a", "up")]


async def test_of_equals_its_own_comes_first_and_then_the_order_of_the_list(
    space: AsyncScope, kind: Kind, length: int
) -> None:
    one, other = axis(length, 1.0), axis(length, 0.0, 1.0)
    texts = [IndexedText(name, vector=other) for name in ("z", "a", "m")]
    await space.put(kind, "k", vector=one, indexed_texts=[IndexedText("0", vector=one), *texts])
    assert shown(await space.search(vector=one, kind=kind)) == [("k", "")]
    assert shown(await space.search(vector=other, kind=kind)) == [("k", "z")]


async def test_a_memory_comes_once_and_leaves_room_for_others(
    space: AsyncScope, kind: Kind, length: int, exact: bool
) -> None:
    near = {f"{n:02}": axis(length, 1.0, n / 1000) for n in range(16)}
    await put_all(
        space,
        [
            *(Put(space.ref(kind, f"many-{n}"), indexed_texts=near) for n in range(3)),
            *(Put(space.ref(kind, f"one-{n}"), vector=axis(length, 1.0, 1 + n)) for n in range(9)),
        ],
    )
    expected = [*(f"many-{n}" for n in range(3)), *(f"one-{n}" for n in range(9))]
    for limit in (1, 4, 12, 13, 1000):
        found = await space.search(vector=axis(length, 1.0), kind=kind, limit=limit, exact=exact)
        got = [hit.memory.key for hit in found]
        assert sorted(got[:3]) == expected[: len(got[:3])] or limit < 3
        assert got[3:] == expected[3:limit]
        assert len(got) == min(limit, 12)
        assert not found.truncated
    token, seen = "", list[str]()
    for _ in range(12):
        page = await space.search(
            vector=axis(length, 1.0), kind=kind, limit=5, exact=exact, page_token=token
        )
        seen += [hit.memory.key for hit in page]
        token = page.next_page_token
        if not token:
            break
    assert sorted(seen) == expected
    above = await space.search(vector=axis(length, 1.0), kind=kind, exact=exact, min_relevance=0.99)
    assert sorted(hit.memory.key for hit in above) == expected[:3]


async def test_what_it_had_before_finds_it_no_more(
    space: AsyncScope, kind: Kind, length: int
) -> None:
    old, new = axis(length, 0.0, 1.0), axis(length, 0.0, 0.0, 1.0)

    async def seen(vector: Any) -> list[tuple[str, str]]:
        found = await space.search(vector=vector, kind=kind, min_relevance=0.9)
        return shown(found)

    for key in ("updated", "put", "bare", "emptied", "deleted", "purged"):
        await space.put(kind, key, vector=axis(length, 1.0), indexed_texts={"p": old})
    await expired(space, kind, "expired", vector=axis(length, 1.0), indexed_texts={"p": old})
    assert len(await seen(old)) == 6
    await space.update(kind, "updated", indexed_texts={"q": new})
    await space.put(kind, "put", vector=axis(length, 1.0), indexed_texts={"p": new, "r": new})
    await space.put(kind, "bare", vector=axis(length, 1.0))
    await space.update(kind, "emptied", indexed_texts=[])
    await space.delete(kind, "deleted")
    assert [key for key, _ in await seen(old)] == ["purged"]
    await space.purge(kind, filter={"@key": "purged"})
    assert await seen(old) == []
    assert sorted(await seen(new)) == [("put", "p"), ("updated", "q")]
    # Under the same keys again, without them.
    for key in ("deleted", "purged", "expired"):
        written = await space.put(kind, key, vector=axis(length, 1.0))
        assert written.outcome is Outcome.CREATED
    assert await seen(old) == []
    assert await space.count(kind) == 7
    assert len(await keys_listed(space, kind)) == 7


async def test_filters_and_namespaces_hold_for_them(
    space: AsyncScope, kind: Kind, length: int
) -> None:
    up = axis(length, 0.0, 1.0)
    for label in ("x", "y"):
        await space.scope(label).put(
            kind,
            "k",
            vector=axis(length, 1.0),
            attributes={"place": label, "n": 1},
            indexed_texts={"p": up},
        )
    options: dict[str, Any] = {"kind": kind, "min_relevance": 0.9}
    assert len(await space.search(vector=up, **options)) == 2
    assert len(await space.search(vector=up, exact_namespace=True, **options)) == 0
    assert shown(await space.scope("x").search(vector=up, **options)) == [("k", "p")]
    for tree in (
        {"place": "y"},
        {"@key": "k", "place": {"$ne": "x"}},
        {"$not": {"place": {"$starts_with": "x"}}},
    ):
        found = await space.search(vector=up, filter=tree, **options)
        assert [hit.memory.namespace[-1] for hit in found] == ["y"]
    await space.scope("y").update(kind, "k", attributes={"place": "z"})
    assert len(await space.search(vector=up, filter={"place": "y"}, **options)) == 0
    assert shown(await space.search(vector=up, filter={"place": "z"}, **options)) == [("k", "p")]


async def test_a_change_beside_them_keeps_them(space: AsyncScope, kind: Kind, length: int) -> None:
    vectors = unit_vectors(3, length, seed=4)
    texts = {str(n): vector for n, vector in enumerate(vectors)}
    first = await space.put(kind, "k", text="tea", indexed_texts=texts)
    before = await there(space, kind, "k", with_vectors=True)
    for change in ({"attributes": {"a": 1}}, {"text": "milk"}, {"ttl": 3600}, {"pinned": True}):
        written = await space.update(kind, "k", **change)
        assert written.outcome is Outcome.UPDATED
        assert written.revision > first.revision
        now = await there(space, kind, "k", with_vectors=True)
        assert now.indexed_texts == before.indexed_texts
        for number, vector in enumerate(vectors):
            found = await space.search(vector=vector, kind=kind, limit=1)
            assert shown(found) == [("k", str(number))]
            assert found[0].score == pytest.approx(1.0, abs=CLOSE)


async def test_they_are_part_of_the_content(space: AsyncScope, kind: Kind, length: int) -> None:
    texts = [IndexedText("t", "tea"), IndexedText("v", vector=axis(length, 3.0, 4.0))]
    changed = [
        [],
        texts[:1],
        texts[::-1],
        [IndexedText("u", "tea"), texts[1]],
        [IndexedText("t", "milk"), texts[1]],
        [texts[0], IndexedText("v", vector=axis(length, 4.0, 3.0))],
    ]
    await space.put(kind, "k", indexed_texts=texts)
    for other in changed:
        for again, outcome in ((texts, Outcome.UNCHANGED), (other, Outcome.UPDATED)):
            assert (await space.put(kind, "k", indexed_texts=again)).outcome is outcome
        for again, outcome in ((other, Outcome.UNCHANGED), (texts, Outcome.UPDATED)):
            assert (await space.update(kind, "k", indexed_texts=again)).outcome is outcome


async def test_they_are_read_with_it_and_their_vectors_on_demand(
    space: AsyncScope, kind: Kind, length: int, abilities: Capabilities
) -> None:
    needs_texts(abilities, kind)
    vector = unit_vectors(1, length, seed=6)[0]
    texts = [IndexedText("b", "tea with milk"), IndexedText("a", vector=3 * vector)]
    await space.put(kind, "k", indexed_texts=texts)

    async def read(**options: Any) -> list[Memory]:
        listed = [memory async for memory in space.list(kind, **options)]
        nearest = await space.search(vector=vector, kind=kind, **options)
        newest = await space.search(kind=kind, mode=Mode.RECENT, **options)
        return [
            await there(space, kind, "k", **options),
            *listed,
            *nearest.memories,
            *newest.memories,
        ]

    for memory in await read():
        assert memory.indexed_texts == (IndexedText("b", "tea with milk"), IndexedText("a"))
    memories = await read(with_vectors=True)
    assert len(memories) == 4
    for memory in memories:
        assert [(each.path, each.text) for each in memory.indexed_texts] == [
            ("b", "tea with milk"),
            ("a", ""),
        ]
        made, given = (each.vector for each in memory.indexed_texts)
        assert np.asarray(made).shape == (length,)
        np.testing.assert_allclose(np.asarray(given), vector, atol=1e-6)
        assert memory.vector is None
        assert memory.searchable
        assert memory.embedding is not None
    assert (await space.put(kind, "k", indexed_texts=texts)).outcome is Outcome.UNCHANGED
    await put_all(space, [Put.of(memories[0])])
    written = await there(space, kind, "k")
    assert written.indexed_texts == (IndexedText("b", "tea with milk"), IndexedText("a"))


async def test_texts_are_embedded_and_their_words_are_found(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs_texts(abilities, kind)
    await put_all(
        space,
        [
            Put(
                space.ref(kind, "k"),
                text="a note about nothing much",
                indexed_texts={"title": "the harvest of barley", "question": "who ate the figs?"},
            ),
            Put(space.ref(kind, "l"), text="barley soup is warm"),
        ],
    )
    found = await space.search("the harvest of barley", kind=kind, mode=Mode.VECTOR)
    assert shown(found)[0] == ("k", "title")
    assert found[0].score == pytest.approx(1.0, abs=CLOSE)
    if not abilities[kind].keyword:
        return
    for words, keys in {
        "figs": ["k"],
        "nothing": ["k"],
        "barley": ["k", "l"],
        "figs barley nothing": ["k", "l"],
    }.items():
        by_words = await space.search(words, kind=kind, mode=Mode.KEYWORD)
        assert sorted(shown(by_words)) == [(key, "") for key in keys]
    both = await space.search("the harvest of barley", kind=kind, mode=Mode.HYBRID, explain=True)
    # By words either may be first: that goes by how long the other memories of the store are.
    assert sorted(shown(both)) == [("k", "title"), ("l", "")]
    await space.update(kind, "k", indexed_texts={"title": "rye"})
    assert shown(await space.search("figs", kind=kind, mode=Mode.KEYWORD)) == []


async def test_streams_carry_them(space: AsyncScope, kind: Kind, length: int) -> None:
    up = axis(length, 0.0, 1.0)
    puts = [
        Put(space.ref(kind, "right"), indexed_texts={"p": up}),
        Put(space.ref(kind, "wrong"), indexed_texts={"p": [1.0]}),
    ]
    ingested = await space.ingest(puts)
    assert (ingested.created, [each.index for each in ingested.failures]) == (1, [1])
    assert shown(await space.search(vector=up, kind=kind)) == [("right", "p")]
    (memory,) = [memory async for memory in space.scan(kind, with_vectors=True)]
    (text,) = memory.indexed_texts
    np.testing.assert_allclose(np.asarray(text.vector), up, atol=1e-6)


async def test_likeness_goes_by_the_memorys_own_vector(
    space: AsyncScope, kind: Kind, length: int
) -> None:
    up = axis(length, 0.0, 1.0)
    await space.put(kind, "like", vector=axis(length, 1.0), indexed_texts={"p": up})
    await space.put(kind, "other", vector=axis(length, 0.5, 0.5), indexed_texts={"q": up})
    found = await space.search(like=space.ref(kind, "like"), kind=kind)
    assert shown(found) == [("other", "")]
    apart = await space.search(vector=up, kind=kind, diversity=0.5)
    assert sorted(shown(apart)) == [("like", "p"), ("other", "q")]


@pytest.mark.parametrize("update", [False, True])
async def test_limits(
    door: Door, space: AsyncScope, kind: Kind, length: int, *, update: bool
) -> None:
    vector = np.array(axis(length, 1.0), "<f4").tobytes()
    where = "updates[0].indexed_texts.texts" if update else "puts[0].memory.indexed_texts"

    async def write(texts: list[tuple[str, str, bytes]], of: Kind = kind) -> None:
        messages = [
            indexed_text_pb2.IndexedText(path=path, text=text, vector=vector)
            for path, text, vector in texts
        ]
        ref = ref_message(space.ref(of, "k"))
        if update:
            change = pb.MemoryUpdate(
                ref=ref, indexed_texts=indexed_text_pb2.IndexedTexts(texts=messages)
            )
            request = pb.UpdateMemoriesRequest(updates=[change])
            await call(door, "UpdateMemories", request, pb.UpdateMemoriesResponse)
            return
        memory = memory_pb2.Memory(ref=ref, indexed_texts=messages)
        puts = pb.PutMemoriesRequest(puts=[pb.MemoryPut(memory=memory)])
        await call(door, "PutMemories", puts, pb.PutMemoriesResponse)

    await space.put(kind, "k", text="there")
    await write([(f"{n:064}", "", vector) for n in range(16)])
    for texts, field in (
        ([(str(n), "t", b"") for n in range(17)], ""),
        ([("", "t", b"")], "[0].path"),
        ([("p" * 65, "t", b"")], "[0].path"),
        ([("a\0", "t", b"")], "[0].path"),
        ([("e\u0301", "t", b"")], "[0].path"),
        ([("a", "t", b""), ("a", "u", b"")], "[1].path"),
        ([("a", "t", vector)], "[0].vector"),
        ([("a", "", b"")], "[0].text"),
        ([("a", "t\0", b"")], "[0].text"),
        ([("a", "t" * 65_537, b"")], "[0].text"),
        ([("a", "", vector[:-1])], "[0].vector"),
        ([("a", "", bytes(len(vector)))], "[0].vector"),
    ):
        with refused() as refusal:
            await write(texts)
        assert refusal.fields == {f"{where}{field}"}, (texts, refusal.error)
    with refused(reason="DIMENSION_MISMATCH") as refusal:
        await write([("a", "", vector), ("b", "", vector + vector)])
    assert refusal.fields == {f"{where}[1].vector"}
    with refused() as refusal:
        await write([("a", "t", b"")], of=Kind.PROCEDURAL)
    assert refusal.fields == {where}
    assert len((await there(space, kind, "k")).indexed_texts) == 16


async def test_it_finds_what_an_oracle_finds(
    space: AsyncScope, kind: Kind, length: int, exact: bool
) -> None:
    """Random memories, written over, changed and deleted; then each answer row by row."""
    random = np.random.default_rng(11)
    drawn = iter(unit_vectors(400, length, seed=12))
    known: dict[str, dict[str, Any]] = {}
    for _ in range(3):
        puts: list[Put] = []
        for number in random.choice(30, size=16, replace=False):
            key = f"{number:02}"
            texts = {str(n): next(drawn) for n in range(random.integers(0, 4))}
            own = next(drawn) if random.random() < 0.7 or not texts else None
            known[key] = {"": own, **texts}
            puts.append(Put(space.ref(kind, key), vector=own, indexed_texts=texts))
        await put_all(space, puts)
        for key in random.choice(sorted(known), size=3, replace=False):
            await space.delete(kind, str(key))
            del known[str(key)]
        for key in random.choice(sorted(known), size=3, replace=False):
            texts = {str(n): next(drawn) for n in range(random.integers(0, 3))}
            known[str(key)] = {"": known[str(key)][""], **texts}
            await space.update(kind, str(key), attributes={"n": 1}, indexed_texts=texts)
    for vector in unit_vectors(4, length, seed=13):
        expected: list[tuple[float, str, str]] = []
        for key, each in known.items():
            scores = [(float(v @ vector), p) for p, v in each.items() if v is not None]
            if scores:
                score, path = max(scores)
                expected.append((-score, key, path))
        expected.sort()
        for limit in (1, 5, 1000):
            found = await space.search(vector=vector, kind=kind, limit=limit, exact=exact)
            assert shown(found) == [(key, path) for _, key, path in expected[:limit]]
            for hit, (score, *_) in zip(found, expected, strict=False):
                assert hit.score == pytest.approx(-score, abs=CLOSE)
