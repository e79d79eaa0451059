"""Recency, importance and diversity: what else than the match ranks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from memplane import AsyncScope, Capabilities, Episode, Hit, Kind, Mode, Put, SearchResult
from memplane_adapters.conformance.memories.helpers import (
    ON_THE_SESSION_LOOP,
    SEARCHED,
    Vectors,
    axis,
    dimension_of,
    needs,
    put_all,
    refused,
    unit_vectors,
)

pytestmark = [ON_THE_SESSION_LOOP, SEARCHED]

DAY = timedelta(days=1)


def keys(result: SearchResult) -> list[str]:
    return [memory.key for memory in result.memories]


def needs_exact(abilities: Capabilities, kind: Kind) -> None:
    """Skips a case where weights cannot be asked to rank all that matches."""
    needs(abilities[kind].vector, "VECTOR search")
    needs(abilities[kind].exact_search, "exact search")


async def filled(
    space: AsyncScope, kind: Kind, vectors: Vectors, importances: Sequence[float | None]
) -> datetime:
    """Memories, of which each episode is a day older than the one before; returns when it is now."""
    now = datetime.now(UTC)
    puts = [
        Put(
            space.ref(kind, f"{n:03}"),
            vector=vector,
            importance=important,
            episode=Episode(event_time=now - n * DAY) if kind is Kind.EPISODIC else None,
        )
        for n, (vector, important) in enumerate(zip(vectors, importances, strict=True))
    ]
    await put_all(space, puts)
    return now


def rank(hit: Hit, relevance: float) -> tuple[Any, ...]:
    memory = hit.memory
    time = memory.episode.event_time if memory.episode is not None else memory.update_time
    assert time is not None
    return -round(relevance, 6), -time.timestamp(), memory.namespace, memory.key


@pytest.mark.parametrize(("recent", "important"), [(0.0, 0.7), (0.6, 0.0), (0.3, 1.0), (1.0, 0.2)])
async def test_relevance_and_order_are_what_the_formula_says(
    space: AsyncScope, kind: Kind, abilities: Capabilities, recent: float, important: float
) -> None:
    needs_exact(abilities, kind)
    chance = random.Random(3)
    count = 300
    importances = [chance.choice([None, chance.random()]) for _ in range(count)]
    now = await filled(
        space, kind, unit_vectors(count, dimension_of(abilities, kind), 6), importances
    )
    question: dict[str, Any] = {
        "vector": unit_vectors(1, dimension_of(abilities, kind), 7)[0],
        "kind": kind,
        "exact": True,
    }
    plain = await space.search(limit=1000, **question)
    assert len(plain) == count
    expected: dict[str, float] = {}
    for hit in plain:
        age = now - (hit.memory.episode.event_time if hit.memory.episode else now)  # type: ignore[operator]
        share = 0.5 if hit.memory.importance is None else hit.memory.importance
        made = hit.relevance * (1 - recent * (1 - 0.5 ** (age / (30 * DAY))))
        expected[hit.memory.key] = made * (1 - important * (1 - share))
    question |= {"recency_weight": recent, "importance_weight": important, "explain": True}
    if recent:
        question["recency_half_life"] = 30 * DAY
    found = await space.search(limit=1000, **question)
    assert set(keys(found)) == set(expected)
    for hit in found:
        assert hit.relevance == pytest.approx(expected[hit.memory.key], abs=1e-5)
        assert hit.explanation is not None
        assert (hit.explanation.recency is None) == (recent == 0.0)
        assert (hit.explanation.importance is None) == (important == 0.0)
    ranks = [rank(hit, hit.relevance) for hit in found]
    assert ranks == sorted(ranks)
    for limit in (1, 10, 100):
        top = await space.search(limit=limit, **question)
        assert not top.truncated
        assert [hit.relevance for hit in top] == pytest.approx(
            [hit.relevance for hit in found][:limit], abs=1e-5
        )
        assert keys(top) == keys(found)[:limit]


@pytest.mark.parametrize("option", [{"importance_weight": 1.0}, {"diversity": 1e-9}])
async def test_without_exact_the_first_hundred_are_ranked_anew(
    space: AsyncScope, kind: Kind, abilities: Capabilities, option: dict[str, Any]
) -> None:
    needs(not abilities[kind].approximate, "exact search by itself")
    length = dimension_of(abilities, kind)
    angles = np.linspace(0.1, 1.5, 130)
    vectors = np.array([axis(length, np.cos(a), np.sin(a)) for a in angles], np.float32)
    await filled(space, kind, vectors, [0.5] * 90 + [1.0] * 40)
    question: dict[str, Any] = {"vector": axis(length, 1.0), "kind": kind, **option}
    found = await space.search(limit=10, **question)
    first = 90 if "importance_weight" in option else 0
    assert keys(found) == [f"{n:03}" for n in range(first, first + 10)]
    assert not found.truncated
    rest = await space.search(limit=1000, page_token=found.next_page_token, **question)
    assert sorted(keys(found) + keys(rest)) == [f"{n:03}" for n in range(100)]
    assert rest.truncated
    assert not rest.next_page_token
    deeper = await space.search(limit=120, **question)
    assert sorted(keys(deeper)) == [f"{n:03}" for n in range(120)]
    every = await space.search(limit=1000, **question)
    assert len(every) == 130
    assert not every.truncated


async def test_what_matters_rises_from_far_below(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    """The best by weights are the last by the match: nobody may stop looking before."""
    needs_exact(abilities, kind)
    length = dimension_of(abilities, kind)
    angles = np.linspace(0.1, 1.5, 500)
    vectors = np.array([axis(length, np.cos(a), np.sin(a)) for a in angles], np.float32)
    importances = [0.0] * 490 + [1.0] * 10
    await filled(space, kind, vectors, importances)
    found = await space.search(
        vector=axis(length, 1.0), kind=kind, limit=10, exact=True, importance_weight=1.0
    )
    assert keys(found) == [f"{n:03}" for n in range(490, 500)]
    assert not found.truncated
    with_floor = await space.search(
        vector=axis(length, 1.0),
        kind=kind,
        exact=True,
        importance_weight=1.0,
        min_relevance=round(found[4].relevance, 6),
    )
    assert keys(with_floor) == keys(found)[:5]


async def test_a_half_life_alone_counts_by_half(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs(abilities[kind].vector, "VECTOR search")
    own = axis(dimension_of(abilities, kind), 1.0)
    await filled(space, kind, np.array([own] * 3, np.float32), [None] * 3)
    found = await space.search(vector=own, kind=kind, recency_half_life=DAY)
    if kind is Kind.EPISODIC:
        assert keys(found) == ["000", "001", "002"]
        assert [hit.relevance for hit in found] == pytest.approx([1.0, 0.75, 0.625], abs=1e-2)
    else:
        assert [hit.relevance for hit in found] == pytest.approx([1.0] * 3, abs=1e-2)


@pytest.mark.parametrize("mode", [Mode.KEYWORD, Mode.HYBRID])
async def test_keyword_and_hybrid_are_weighed_too(
    space: AsyncScope, kind: Kind, abilities: Capabilities, mode: Mode
) -> None:
    needs(bool(getattr(abilities[kind], mode.value)), f"{mode.name} search")
    await put_all(
        space,
        [
            Put(space.ref(kind, f"{n}"), text="green tea", importance=n / 4, value=n)
            for n in range(5)
        ],
    )
    plain = await space.search("tea", kind=kind, mode=mode)
    found = await space.search("tea", kind=kind, mode=mode, importance_weight=0.8)
    assert keys(found) == ["4", "3", "2", "1", "0"]
    base = plain[0].relevance
    assert [hit.relevance for hit in found] == pytest.approx(
        [base * (1 - 0.8 * (1 - n / 4)) for n in (4, 3, 2, 1, 0)]
    )


async def test_diversity_puts_what_says_the_same_behind(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs(abilities[kind].vector, "VECTOR search")
    length = dimension_of(abilities, kind)
    vectors = {
        "a1": (1.0, 0.10),
        "a2": (1.0, 0.11),
        "a3": (1.0, 0.12),
        "b": (1.0, 0.0, 0.9),
    }
    await put_all(
        space, [Put(space.ref(kind, name), vector=axis(length, *v)) for name, v in vectors.items()]
    )
    own = axis(length, 1.0)
    plain = await space.search(vector=own, kind=kind)
    assert keys(plain) == ["a1", "a2", "a3", "b"]
    diverse = await space.search(vector=own, kind=kind, diversity=0.6)
    assert keys(diverse)[:2] == ["a1", "b"]
    relevances = {hit.memory.key: hit.relevance for hit in plain}
    assert {hit.memory.key: hit.relevance for hit in diverse} == relevances
    assert keys(await space.search(vector=own, kind=kind, diversity=0.6, limit=2)) == ["a1", "b"]
    assert all(memory.vector is None for memory in diverse.memories)
    with_vectors = await space.search(vector=own, kind=kind, diversity=0.6, with_vectors=True)
    assert all(memory.vector is not None for memory in with_vectors.memories)


@pytest.mark.parametrize(
    ("option", "fields"),
    [
        ({"recency_half_life": 0}, {"recency_half_life"}),
        ({"recency_half_life": -1}, {"recency_half_life"}),
        ({"recency_weight": 0.5}, {"recency_weight"}),
        ({"recency_half_life": 1, "recency_weight": 1.1}, {"recency_weight"}),
        ({"importance_weight": -0.1}, {"importance_weight"}),
        ({"importance_weight": 2}, {"importance_weight"}),
        ({"diversity": 1.5}, {"diversity"}),
        ({"vector_share": -1}, {"vector_share"}),
    ],
)
async def test_what_is_no_weight_is_refused(
    space: AsyncScope, kind: Kind, option: dict[str, Any], fields: set[str]
) -> None:
    with refused() as refusal:
        await space.search("tea", kind=kind, **option)
    assert refusal.fields == {f"queries[0].{field}" for field in fields}


@pytest.mark.parametrize(
    "option", [{"recency_half_life": DAY}, {"importance_weight": 0.1}, {"diversity": 0.1}]
)
async def test_recent_takes_no_weights(
    space: AsyncScope, kind: Kind, option: dict[str, Any]
) -> None:
    with refused():
        await space.search(kind=kind, mode=Mode.RECENT, **option)
