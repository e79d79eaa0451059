"""KEYWORD, RECENT and AUTO; what a mode takes and what it refuses."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from memplane import (
    AsyncScope,
    Capabilities,
    FailedPrecondition,
    InvalidArgument,
    Kind,
    MemplaneError,
    Mode,
    Put,
    Query,
    SearchResult,
    Unimplemented,
)
from memplane.v1 import memory_service_pb2 as pb
from memplane.v1 import search_pb2
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    KIND_NUMBERS,
    ON_THE_SESSION_LOOP,
    SEARCHED,
    at,
    axis,
    dimension_of,
    keys_recent,
    needs,
    needs_texts,
    put_all,
    refused,
    there,
)

pytestmark = ON_THE_SESSION_LOOP

TEXTS = {
    "tea": "Ada prefers green tea in the morning",
    "coffee": "Bob drinks coffee, and Ada drinks water",
    "both": "tea and coffee, and more TEA",
    "bike": "Bob repaired his bicycle",
    "none": "",
    "signs": "!!! ...",
}


def keys(result: SearchResult) -> list[str]:
    return [memory.key for memory in result.memories]


async def filled(space: AsyncScope, kind: Kind) -> None:
    await put_all(space, [Put(space.ref(kind, name), text=text) for name, text in TEXTS.items()])


@SEARCHED
@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("tea", {"tea", "both"}),
        ("TEA", {"tea", "both"}),
        ("tea coffee", {"tea", "both", "coffee"}),
        ("bicycles", {"bike"}),
        ("repairing a bicycle", {"bike"}),
        ("Who drinks the coffee?", {"coffee", "both"}),
        ("zebra", set()),
        ("zebra tea", {"tea", "both"}),
        ("!!!", set()),
        ("te", set()),
        ('"green tea" OR zebra*', {"tea", "both"}),
        ("tea NOT coffee", {"tea", "both", "coffee"}),
        ("(((", set()),
    ],
)
async def test_keyword_finds_what_holds_a_word(
    space: AsyncScope, kind: Kind, abilities: Capabilities, question: str, expected: set[str]
) -> None:
    needs(abilities[kind].keyword, "KEYWORD search")
    await filled(space, kind)
    found = await space.search(question, kind=kind, mode=Mode.KEYWORD)
    assert found.mode is Mode.KEYWORD
    assert set(keys(found)) == expected
    assert len(found) == len(expected)


@SEARCHED
async def test_keyword_ranks_by_relevance_and_has_no_score(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs(abilities[kind].keyword, "KEYWORD search")
    await filled(space, kind)
    found = await space.search("tea coffee", kind=kind, mode=Mode.KEYWORD)
    assert found[0].memory.key == "both"
    relevances = [hit.relevance for hit in found]
    assert all(0.0 <= relevance < 1.0 for relevance in relevances)
    assert relevances == sorted(relevances, reverse=True)
    assert [hit.score for hit in found] == [None] * 3


@SEARCHED
async def test_field_45_keyword_s_min_relevance_keeps_the_best(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs(abilities[kind].keyword, "KEYWORD search")
    await filled(space, kind)
    question = "green tea coffee"
    found = await space.search(question, kind=kind, mode=Mode.KEYWORD)
    for bound in [0.0, *(hit.relevance for hit in found)]:
        kept = await space.search(question, kind=kind, mode=Mode.KEYWORD, min_relevance=bound)
        assert keys(kept) == [hit.memory.key for hit in found if hit.relevance >= bound]
    nothing = await space.search(question, kind=kind, mode=Mode.KEYWORD, min_relevance=1.0)
    assert len(nothing) == 0


@SEARCHED
async def test_keyword_goes_with_filter_namespace_and_page_size(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs(abilities[kind].keyword, "KEYWORD search")
    puts = [
        Put(space.scope(f"n{n % 3}").ref(kind, f"{n:03}"), text="tea", attributes={"n": n})
        for n in range(300)
    ]
    await put_all(space, puts)
    search = space.scope("n1").search
    found = await search("tea", kind=kind, mode=Mode.KEYWORD, limit=1000)
    assert sorted(keys(found)) == [f"{n:03}" for n in range(1, 300, 3)]
    found = await search("tea", kind=kind, mode=Mode.KEYWORD, filter={"n": {"$lt": 30}}, limit=10)
    assert sorted(keys(found)) == [f"{n:03}" for n in range(1, 30, 3)]
    assert len(await search("tea", kind=kind, mode=Mode.KEYWORD, limit=7)) == 7
    assert len(await search("tea", kind=kind, mode=Mode.KEYWORD)) == 50


@SEARCHED
async def test_keyword_searches_other_scripts(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs(abilities[kind].keyword, "KEYWORD search")
    texts = {"ja": "東京で緑茶を飲む", "he": "היא שותה תה", "de": "Grüner Tee", "ru": "Зелёный чай"}
    await put_all(space, [Put(space.ref(kind, name), text=text) for name, text in texts.items()])
    for question, name in (("緑茶", "ja"), ("תה", "he"), ("grüner", "de"), ("ЧАЙ", "ru")):
        assert keys(await space.search(question, kind=kind, mode=Mode.KEYWORD)) == [name]


@SEARCHED
async def test_keyword_or_hybrid_that_a_store_lacks_is_refused(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    await space.put(kind, "k", text="tea")
    lacking = [
        mode
        for mode in (Mode.VECTOR, Mode.KEYWORD, Mode.HYBRID)
        if not getattr(abilities[kind], mode.value)
    ]
    for mode in lacking:
        with refused(Unimplemented, "CAPABILITY_MISSING") as refusal:
            await space.search("tea", kind=kind, mode=mode)
        assert refusal.error.metadata == {"capability": mode.value, "route": kind.value}
    if not lacking:
        pytest.skip("the store has every mode")


@pytest.mark.parametrize("mode", [Mode.VECTOR, Mode.KEYWORD, Mode.HYBRID])
async def test_key_values_are_not_searched(
    space: AsyncScope, abilities: Capabilities, mode: Mode
) -> None:
    await space.put(Kind.PROCEDURAL, "k", text="tea")
    with refused(Unimplemented, "CAPABILITY_MISSING") as refusal:
        await space.search("tea", kind=Kind.PROCEDURAL, mode=mode)
    assert refusal.error.metadata == {"capability": mode.value, "route": "procedural"}
    able = abilities[Kind.PROCEDURAL]
    assert (able.vector, able.keyword, able.hybrid) == (False, False, False)


async def test_key_values_are_not_searched_by_vector(
    space: AsyncScope, abilities: Capabilities
) -> None:
    own = axis(dimension_of(abilities, Kind.SEMANTIC), 1.0)
    for mode in (Mode.AUTO, Mode.VECTOR):
        with refused(Unimplemented, "CAPABILITY_MISSING"):
            await space.search(vector=own, kind=Kind.PROCEDURAL, mode=mode)


async def test_auto_with_a_text_is_refused_for_key_values(space: AsyncScope) -> None:
    with pytest.raises((InvalidArgument, Unimplemented)):
        await space.search("tea", kind=Kind.PROCEDURAL)


@EVERY_KIND
async def test_auto_without_a_question_is_recent(space: AsyncScope, kind: Kind) -> None:
    await space.put(kind, "k", text="tea")
    found = await space.search(kind=kind)
    assert found.mode is Mode.RECENT
    assert keys(found) == ["k"]
    assert [(hit.relevance, hit.score) for hit in found] == [(0.0, None)]


@SEARCHED
async def test_auto_with_a_vector_is_vector(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    found = await space.search(vector=axis(dimension_of(abilities, kind), 1.0), kind=kind)
    assert found.mode is Mode.VECTOR


@SEARCHED
async def test_auto_with_a_text_is_what_the_route_says(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs_texts(abilities, kind)
    await space.put(kind, "k", text="green tea")
    able = abilities[kind]
    for mode in (Mode.AUTO, "auto"):
        found = await space.search("green tea", kind=kind, mode=mode)
        assert found.mode is able.auto_mode
        assert keys(found) == ["k"]
    assert able.embedding is not None
    knows_meaning = able.embedding.provider != "hash"
    expected = Mode.VECTOR if knows_meaning or not able.keyword else Mode.KEYWORD
    assert able.auto_mode in (expected, Mode.HYBRID)


@SEARCHED
async def test_hash_says_that_it_knows_no_meaning(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    embedding = abilities[kind].embedding
    needs(embedding is not None and embedding.provider == "hash", "embedder without meaning")
    assert "meaning" in (await space.search("tea", kind=kind)).notice
    assert "meaning" in (await space.search("tea", kind=kind, mode=Mode.VECTOR)).notice
    assert (await space.search(kind=kind)).notice == ""


@EVERY_KIND
async def test_recent_goes_from_the_newest_to_the_oldest(space: AsyncScope, kind: Kind) -> None:
    for name in ("a", "b", "c", "d"):
        await space.put(kind, name, text=name)
    await space.update(kind, "b", pinned=True)
    order = ["d", "c", "b", "a"] if kind is Kind.EPISODIC else ["b", "d", "c", "a"]
    assert await keys_recent(space, kind) == order
    assert await keys_recent(space, kind, limit=2) == order[:2]


async def test_recent_of_episodes_goes_by_event_time(space: AsyncScope) -> None:
    for name, second in (("b", 2), ("d", 4), ("a", 1), ("c", 3), ("c2", 3)):
        await space.record(name, key=name, event_time=at(second))
    assert await keys_recent(space, Kind.EPISODIC) == ["d", "c", "c2", "b", "a"]
    assert keys(await space.recent()) == ["d", "c", "c2", "b", "a"]


@EVERY_KIND
async def test_recent_takes_no_question(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    with refused(InvalidArgument, "INVALID_REQUEST"):
        await space.search("tea", kind=kind, mode=Mode.RECENT)
    own = axis(dimension_of(abilities, Kind.SEMANTIC), 1.0)
    if kind is not Kind.PROCEDURAL:
        with refused(InvalidArgument, "INVALID_REQUEST"):
            await space.search(vector=own, kind=kind, mode=Mode.RECENT)
    with refused(InvalidArgument, "INVALID_REQUEST"):
        await space.search(kind=kind, mode=Mode.RECENT, min_relevance=0.5)


@SEARCHED
async def test_the_other_modes_need_a_question_that_they_take(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    own = axis(dimension_of(abilities, kind), 1.0)
    with refused(InvalidArgument, "INVALID_REQUEST"):
        await space.search(kind=kind, mode=Mode.VECTOR)
    with refused(InvalidArgument, "INVALID_REQUEST"):
        await space.search(kind=kind, mode=Mode.KEYWORD)
    with refused(InvalidArgument, "INVALID_REQUEST"):
        await space.search(vector=own, kind=kind, mode=Mode.KEYWORD)


@EVERY_KIND
@pytest.mark.parametrize("mode", list(Mode)[:-1])
async def test_an_empty_question_is_refused(
    door: Door, space: AsyncScope, kind: Kind, mode: Mode
) -> None:
    query = search_pb2.SearchQuery(
        kind=KIND_NUMBERS[kind],
        namespace=space.namespace,
        text="",
        mode=search_pb2.SearchMode.Value(f"SEARCH_MODE_{mode.name}"),
    )
    with refused() as refusal:
        await call(
            door,
            "SearchMemories",
            pb.SearchMemoriesRequest(queries=[query]),
            pb.SearchMemoriesResponse,
        )
    assert "queries[0].text" in refusal.fields


async def test_an_embedder_that_takes_no_text_says_so(
    space: AsyncScope, abilities: Capabilities
) -> None:
    embedding = abilities[Kind.SEMANTIC].embedding
    needs(embedding is not None and embedding.provider == "client", "route without an embedder")
    with refused(FailedPrecondition, "EMBEDDER_MISSING"):
        await space.search("tea", mode=Mode.VECTOR)


async def test_one_bad_question_fails_the_call(space: AsyncScope) -> None:
    with refused() as refusal:
        await space.search_many([Query(), Query(limit=-1), Query("x\0")])
    assert refusal.fields == {"queries[1].page_size", "queries[2].text"}


async def test_one_question_that_a_route_cannot_answer_fails_the_call(space: AsyncScope) -> None:
    with pytest.raises(MemplaneError) as caught:
        await space.search_many([Query(), Query("tea", kind=Kind.PROCEDURAL, mode=Mode.KEYWORD)])
    assert (type(caught.value), caught.value.reason) == (Unimplemented, "CAPABILITY_MISSING")


MOMENTS = [at(-1), at(-0.000001), at(0), at(0.000001), at(1)]


@pytest.mark.parametrize(
    ("start", "end"),
    list(itertools.product([None, at(-0.000001), at(0)], [None, at(0), at(0.000002)])),
)
async def test_a_window_over_events_holds_its_start_and_not_its_end(
    space: AsyncScope, abilities: Capabilities, start: object, end: object
) -> None:
    own = axis(dimension_of(abilities, Kind.EPISODIC), 1.0)
    for number, moment in enumerate(MOMENTS):
        await space.record("green tea", key=f"{number}", event_time=moment, vector=own)
    inside = [
        f"{number}"
        for number, moment in enumerate(MOMENTS)
        if (start is None or moment >= start) and (end is None or moment < end)  # type: ignore[operator]
    ]
    window = {"kind": Kind.EPISODIC, "time_from": start, "time_to": end}
    assert keys(await space.search(**window)) == inside[::-1]  # type: ignore[arg-type]
    assert sorted(keys(await space.search(vector=own, **window))) == inside  # type: ignore[arg-type]
    if abilities[Kind.EPISODIC].keyword:
        found = await space.search("tea", mode=Mode.KEYWORD, **window)  # type: ignore[arg-type]
        assert sorted(keys(found)) == inside
    few = await space.search(filter={"@key": {"$in": ["0", "3"]}}, **window)  # type: ignore[arg-type]
    assert sorted(keys(few)) == [name for name in inside if name in "03"]


@pytest.mark.parametrize("kind", [Kind.SEMANTIC, Kind.PROCEDURAL])
async def test_a_window_over_what_is_no_event_goes_by_the_last_change(
    space: AsyncScope, kind: Kind
) -> None:
    first = (await space.put(kind, "a", text="t")).update_time
    last = first
    while last is None or first is None or last <= first:  # another microsecond
        last = (await space.put(kind, "b", text=str(last))).update_time
    assert first is not None
    assert keys(await space.search(kind=kind, time_from=last)) == ["b"]
    assert keys(await space.search(kind=kind, time_to=last)) == ["a"]
    assert keys(await space.search(kind=kind, time_from=first)) == ["b", "a"]
    assert keys(await space.search(kind=kind, time_from=first, time_to=first)) == []
    after = last + timedelta(microseconds=1)
    assert keys(await space.search(kind=kind, time_from=after)) == []
    assert keys(await space.search(kind=kind, time_to=after)) == ["b", "a"]


async def test_a_window_s_ends_are_instants(door: Door, space: AsyncScope) -> None:
    query = search_pb2.SearchQuery(kind=KIND_NUMBERS[Kind.SEMANTIC], namespace=space.namespace)
    query.time_from.nanos = 1
    query.time_to.seconds = 253_402_300_800
    with refused(InvalidArgument, "INVALID_REQUEST", "queries[0].time_from", "queries[0].time_to"):
        await call(
            door,
            "SearchMemories",
            pb.SearchMemoriesRequest(queries=[query]),
            pb.SearchMemoriesResponse,
        )


@EVERY_KIND
async def test_a_filter_and_a_window_are_reported_on_and_nothing_else(
    space: AsyncScope, kind: Kind
) -> None:
    await space.put(kind, "k", text="tea")
    assert (await space.search(kind=kind)).filter is None
    assert (await space.list(kind).page()).filter is None
    assert (await space.count(kind)).filter is None
    for report in (
        (await space.search(kind=kind, time_from=at(0))).filter,
        (await space.search(kind=kind, filter={"@key": "k"})).filter,
        (await space.list(kind, filter={"@key": "k"}).page()).filter,
        (await space.count(kind, filter={"@key": "k"})).filter,
    ):
        assert report is not None
        assert report.pushed or report.residual
        assert report.scanned >= 1
        assert not report.truncated


@SEARCHED
async def test_a_hit_is_the_whole_memory(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs_texts(abilities, kind)
    await space.put(
        kind, "k", text="green tea", value={"x": [1]}, attributes={"a": None}, importance=0.5
    )
    memory = await there(space, kind, "k")
    assert (await space.search("green tea", kind=kind)).memories == (memory,)
    assert (await space.search(kind=kind)).memories == (memory,)
    assert [each async for each in space.list(kind)] == [memory]
