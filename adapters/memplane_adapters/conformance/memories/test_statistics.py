"""Statistics are those of the memories that a list shows, on every store."""

from __future__ import annotations

from typing import Any

from memplane import AsyncScope, Episode, InvalidArgument, Kind, Put, Ref, Statistics, attr
from memplane.v1 import memory_pb2
from memplane.v1 import statistics_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    ON_THE_SESSION_LOOP,
    at,
    expired,
    key,
    put_all,
    refused,
)

pytestmark = ON_THE_SESSION_LOOP

FILTERS = [
    None,
    attr("n") >= 3,
    attr("n") != 3,
    attr("tags") == ["a", 1],
    attr("tags").contains("a") | (attr("n") > 2**53),
    attr("nowhere").exists(),
]


async def filled(space: AsyncScope, kind: Kind) -> None:
    """Memories of several times; some have an importance."""
    await put_all(
        space,
        [
            Put(
                Ref(kind, (*space.namespace, f"{number % 2}"), f"{number}"),
                attributes={"n": number, "tags": ["a", number % 3]},
                importance=None if number % 3 == 0 else number / 16,
                episode=Episode(event_time=at(100 - number)) if kind is Kind.EPISODIC else None,
            )
            for number in range(12)
        ],
    )
    await expired(space, kind, "gone", importance=1.0)


async def expected(space: AsyncScope, kind: Kind, **question: Any) -> dict[str, Any]:
    """The figures, made of a list."""
    found = [memory async for memory in space.list(kind, **question)]
    times = [
        memory.episode.event_time if memory.episode is not None else memory.update_time
        for memory in found
    ]
    instants = sorted(time for time in times if time is not None)
    important = [memory.importance for memory in found if memory.importance is not None]
    return {
        "count": len(found),
        "oldest": instants[0] if instants else None,
        "newest": instants[-1] if instants else None,
        "mean_importance": sum(important) / len(important) if important else None,
        "importance_count": len(important),
    }


def shown(figures: Statistics) -> dict[str, Any]:
    """What is compared."""
    names = ("count", "oldest", "newest", "mean_importance", "importance_count")
    return {name: getattr(figures, name) for name in names}


@EVERY_KIND
async def test_the_figures_are_those_of_a_list(space: AsyncScope, kind: Kind) -> None:
    await filled(space, kind)
    for place in (space, space.scope("1")):
        for given in FILTERS:
            figures = await place.statistics(kind, filter=given)
            assert list(figures) == [kind]
            wanted = await expected(place, kind, filter=given)
            assert shown(figures[kind]) == wanted, given
            assert not figures[kind].truncated
            assert not figures[kind].incomplete
            assert (figures[kind].filter is None) == (given is None)


@EVERY_KIND
async def test_an_exact_namespace_leaves_out_what_is_below(space: AsyncScope, kind: Kind) -> None:
    await filled(space, kind)
    await space.put(kind, "here", importance=0.25)
    figures = (await space.statistics(kind, exact_namespace=True))[kind]
    assert (figures.count, figures.mean_importance, figures.importance_count) == (1, 0.25, 1)
    assert figures.oldest == figures.newest is not None


async def test_all_kinds_come_in_one_order(space: AsyncScope) -> None:
    assert {kind: each.count for kind, each in (await space.statistics()).items()} == dict.fromkeys(
        Kind, 0
    )
    await space.put(Kind.EPISODIC, "k")
    figures = await space.statistics(Kind.PROCEDURAL, "episodic")
    assert list(figures) == [Kind.PROCEDURAL, Kind.EPISODIC]
    assert [each.count for each in figures.values()] == [0, 1]
    assert figures[Kind.PROCEDURAL].oldest is None
    assert figures[Kind.EPISODIC].mean_importance is None


async def test_what_is_wrong_is_said(door: Door) -> None:
    async def ask(**fields: Any) -> None:
        request = pb.GetStatisticsRequest(**fields)
        await call(door, "GetStatistics", request, pb.GetStatisticsResponse)

    wrong = InvalidArgument, "INVALID_REQUEST"
    semantic = memory_pb2.KIND_SEMANTIC
    with refused(*wrong, "kinds[1]", "namespace[0]", "consistency_token"):
        await ask(kinds=[semantic, semantic], namespace=[""], consistency_token=key())
    with refused(*wrong, "kinds"):
        await ask(kinds=[semantic, memory_pb2.KIND_EPISODIC, memory_pb2.KIND_PROCEDURAL, 9])
