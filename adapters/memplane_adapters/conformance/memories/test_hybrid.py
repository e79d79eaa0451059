"""HYBRID: both lists fused by their ranks, and what a hit's relevance is made of."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from memplane import (
    AsyncScope,
    Capabilities,
    Explanation,
    Hit,
    Kind,
    Mode,
    Put,
    SearchResult,
)
from memplane_adapters.conformance.memories.helpers import (
    ON_THE_SESSION_LOOP,
    SEARCHED,
    axis,
    dimension_of,
    needs,
    needs_texts,
    put_all,
    refused,
)

pytestmark = [ON_THE_SESSION_LOOP, SEARCHED]

WORDS = ["tea", "coffee", "water", "milk", "juice", "wine", "beer", "cocoa"]
QUESTION = "green tea and coffee"


def keys(result: SearchResult) -> list[str]:
    return [memory.key for memory in result.memories]


@pytest_asyncio.fixture(loop_scope="session")
async def filled(space: AsyncScope, kind: Kind, abilities: Capabilities) -> AsyncScope:
    """Sixty memories, most of which share a word with the question."""
    needs(abilities[kind].hybrid, "HYBRID search")
    needs_texts(abilities, kind)
    texts = [f"green {WORDS[n % 8]} and {WORDS[n * 5 % 7]} number {n}" for n in range(60)]
    await put_all(
        space,
        [
            Put(space.ref(kind, f"{n:02}"), text=text, attributes={"n": n})
            for n, text in enumerate(texts)
        ],
    )
    return space


def parts(hit: Hit) -> Explanation:
    assert hit.explanation is not None
    return hit.explanation


def expected(relevances: dict[str, float]) -> dict[str, int]:
    """From relevance in a list to rank in it."""
    rounded = {name: round(each, 6) for name, each in relevances.items()}
    return {name: 1 + sum(o > each for o in rounded.values()) for name, each in rounded.items()}


def reciprocal(rank: int | None) -> float:
    return 0.0 if rank is None else 11 / (10 + rank)


async def listed(space: AsyncScope, kind: Kind, mode: Mode, **options: Any) -> dict[str, float]:
    found = await space.search(QUESTION, kind=kind, mode=mode, limit=1000, **options)
    return {hit.memory.key: hit.relevance for hit in found}


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
async def test_relevance_is_what_both_ranks_make(
    filled: AsyncScope, kind: Kind, share: float
) -> None:
    by_vector = expected(await listed(filled, kind, Mode.VECTOR))
    by_words = expected(await listed(filled, kind, Mode.KEYWORD))
    found = await filled.search(
        QUESTION, kind=kind, mode=Mode.HYBRID, limit=1000, explain=True, vector_share=share
    )
    assert found.mode is Mode.HYBRID
    assert set(keys(found)) == set(by_vector) | set(by_words)
    for hit in found:
        made, name = parts(hit), hit.memory.key
        assert made.vector_rank == by_vector.get(name)
        assert made.keyword_rank == by_words.get(name)
        right = share * reciprocal(made.vector_rank) + (1 - share) * reciprocal(made.keyword_rank)
        assert made.fused == pytest.approx(right)
        assert hit.relevance == made.fused
        assert made.vector_score == hit.score
        assert (made.keyword_relevance is None) == (made.keyword_rank is None)
    ranked = [round(hit.relevance, 6) for hit in found]
    assert ranked == sorted(ranked, reverse=True)
    assert not found.truncated


async def test_the_best_come_first_whatever_the_page(filled: AsyncScope, kind: Kind) -> None:
    every = keys(await filled.search(QUESTION, kind=kind, mode=Mode.HYBRID, limit=1000))
    for limit in (1, 7, 50):
        found = await filled.search(QUESTION, kind=kind, mode=Mode.HYBRID, limit=limit)
        assert keys(found) == every[:limit]


async def test_ranks_count_what_the_filter_lets_through(filled: AsyncScope, kind: Kind) -> None:
    where: dict[str, Any] = {"filter": {"n": {"$gte": 30}}}
    by_words = expected(await listed(filled, kind, Mode.KEYWORD, **where))
    found = await filled.search(QUESTION, kind=kind, mode=Mode.HYBRID, explain=True, **where)
    assert len(found) == 30
    assert min(parts(hit).vector_rank or 99 for hit in found) == 1
    assert {hit.memory.key: rank for hit in found if (rank := parts(hit).keyword_rank)} == by_words


async def test_min_relevance_keeps_the_best_of_the_fused(filled: AsyncScope, kind: Kind) -> None:
    found = await filled.search(QUESTION, kind=kind, mode=Mode.HYBRID, limit=1000)
    for bound in (0.0, found[10].relevance, found[40].relevance, 1.0):
        kept = await filled.search(
            QUESTION, kind=kind, mode=Mode.HYBRID, limit=1000, min_relevance=bound
        )
        assert keys(kept) == [
            hit.memory.key for hit in found if round(hit.relevance, 6) >= round(bound, 6)
        ]
        assert not kept.truncated


async def test_what_one_list_alone_has_is_found(
    filled: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    """A vector of its own and no text, and words that no vector stands for."""
    own = axis(dimension_of(abilities, kind), 1.0)
    await filled.put(kind, "no-text", vector=own)
    found = await filled.search(QUESTION, kind=kind, mode=Mode.HYBRID, limit=1000, explain=True)
    (hit,) = [hit for hit in found if hit.memory.key == "no-text"]
    assert parts(hit).keyword_rank is None
    assert parts(hit).vector_rank is not None
    assert hit.score is not None


async def test_a_question_without_words_that_count_is_answered(
    filled: AsyncScope, kind: Kind
) -> None:
    nothing = await filled.search("!!!", kind=kind, mode=Mode.HYBRID)
    assert nothing.mode is Mode.HYBRID
    assert not any(parts(hit).keyword_rank for hit in nothing if hit.explanation)
    deep = await filled.scope("nowhere").search(QUESTION, kind=kind, mode=Mode.HYBRID)
    assert len(deep) == 0
    assert not deep.truncated


async def test_other_modes_explain_themselves(filled: AsyncScope, kind: Kind) -> None:
    for mode, list_of in ((Mode.VECTOR, "vector_rank"), (Mode.KEYWORD, "keyword_rank")):
        ranks = expected(await listed(filled, kind, mode))
        found = await filled.search(QUESTION, kind=kind, mode=mode, explain=True)
        assert len(found) > 10
        for hit in found:
            made = parts(hit)
            assert getattr(made, list_of) == ranks[hit.memory.key]
            assert (made.fused, made.recency, made.importance) == (None, None, None)
            assert made.vector_score == hit.score
            if mode is Mode.KEYWORD:
                assert made.keyword_relevance == hit.relevance
    silent = await filled.search(QUESTION, kind=kind, mode=Mode.VECTOR)
    assert {hit.explanation for hit in silent} == {None}


async def test_hybrid_needs_a_text(space: AsyncScope, kind: Kind, abilities: Capabilities) -> None:
    needs(abilities[kind].hybrid, "HYBRID search")
    own = axis(dimension_of(abilities, kind), 1.0)
    await space.put(kind, "k", vector=own)
    for question in ({}, {"vector": own}, {"like": space.ref(kind, "k")}):
        with refused() as refusal:
            await space.search(kind=kind, mode=Mode.HYBRID, **question)
        assert refusal.fields == {"query"}


async def test_hybrid_is_had_where_both_lists_are(kind: Kind, abilities: Capabilities) -> None:
    able = abilities[kind]
    assert able.hybrid == (able.vector and able.keyword)


async def test_hybrid_says_when_there_was_more_than_it_fuses(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs(abilities[kind].hybrid, "HYBRID search")
    needs_texts(abilities, kind)
    puts = [Put(space.ref(kind, f"{n:03}"), text=f"tea number {n}") for n in range(230)]
    await put_all(space, puts)
    found = await space.search("tea 7", kind=kind, mode=Mode.HYBRID, limit=10)
    assert not found.truncated
    pages = [found]
    while pages[-1].next_page_token:
        token = pages[-1].next_page_token
        pages.append(
            await space.search("tea 7", kind=kind, mode=Mode.HYBRID, limit=90, page_token=token)
        )
    assert 100 <= sum(map(len, pages)) <= 200
    assert [page.truncated for page in pages] == [*([False] * (len(pages) - 1)), True]
    floor = found[5].relevance
    some = await space.search("tea 7", kind=kind, mode=Mode.HYBRID, min_relevance=floor)
    assert not some.truncated
    every = await space.search("tea 7", kind=kind, mode=Mode.HYBRID, limit=1000)
    assert len(every) == 230
    assert not every.truncated
