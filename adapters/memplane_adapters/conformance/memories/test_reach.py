"""Filters that hold in every mode and every page, however the store goes about it."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime

import pytest

from memplane import (
    AsyncScope,
    Capabilities,
    FilterLike,
    InvalidArgument,
    Kind,
    Mode,
    Order,
    Put,
    Ref,
    SearchResult,
    attr,
)
from memplane_adapters.conformance.memories.doors import GRPC, Door
from memplane_adapters.conformance.memories.helpers import (
    EVERY_STORE,
    ON_THE_SESSION_LOOP,
    SEARCHED,
    at,
    axis,
    dimension_of,
    keys_listed,
    keys_recent,
    needs,
    put_all,
)

pytestmark = ON_THE_SESSION_LOOP

_CROWD = 800
_MATCHING = 160
"""The last so many of the crowd match, and all others are nearer."""
_PAGE = 150


def _keys(found: SearchResult) -> list[str]:
    return [memory.key for memory in found.memories]


@EVERY_STORE
async def test_field_2_bounds_and_alternatives_all_count(space: AsyncScope, kind: Kind) -> None:
    """Of two bounds on one field only the first counted; OR was compiled to AND."""
    await put_all(
        space, (Put(space.ref(kind, f"{n}"), attributes={"n": n, "m": -n}) for n in range(10))
    )
    right: list[tuple[FilterLike, str]] = [
        ((attr("n") > 2) & (attr("n") < 5), "34"),
        ({"n": {"$gt": 2, "$lte": 5}}, "345"),
        ({"n": {"$gte": 7}, "m": {"$gt": -9}}, "78"),
        ((attr("n") < 2) | (attr("n") > 7), "0189"),
        ({"$or": [{"n": 1}, {"m": -3}, {"n": {"$in": [5, 6]}}]}, "1356"),
        (~((attr("n") < 2) | (attr("n") > 7)), "234567"),
        (~((attr("n") >= 2) & (attr("m") <= -4)), "0123"),
        (((attr("n") < 5) & (attr("m") > -2)) | ((attr("n") > 5) & (attr("m") < -8)), "019"),
        ((attr("n") > 5) & (attr("n") < 3), ""),
        ((attr("absent") > 5) | (attr("absent") <= 5), ""),
    ]
    for tree, keys in right:
        assert await keys_listed(space, kind, tree) == list(keys), tree
        assert sorted(await keys_recent(space, kind, tree)) == list(keys), tree
        assert await space.count(kind, filter=tree) == len(keys), tree


@SEARCHED
@pytest.mark.parametrize("mode", [Mode.VECTOR, Mode.KEYWORD, Mode.HYBRID])
async def test_field_12_the_filter_holds_in_every_mode(
    space: AsyncScope, abilities: Capabilities, kind: Kind, mode: Mode
) -> None:
    """The local engine ignored the outer filter of a fused query."""
    needs(bool(getattr(abilities[kind], mode.name.lower())), f"{mode} search")
    await put_all(
        space,
        (
            Put(
                Ref(kind, (*space.namespace, f"room-{n % 2}"), f"{n:02}"),
                text=f"green tea number {n}",
                attributes={"owner": f"u{n % 4}", "n": n},
            )
            for n in range(40)
        ),
    )
    every = [f"{n:02}" for n in range(40)]
    cases: list[tuple[AsyncScope, FilterLike | None, list[str]]] = [
        (space, None, every),
        (space, {"owner": "u2"}, every[2::4]),
        (space, {"owner": {"$ne": "u2"}}, [key for key in every if int(key) % 4 != 2]),
        (space, (attr("owner") == "u2") & (attr("n") > 20), every[22::4]),
        (space, {"owner": "nobody"}, []),
        (space.scope("room-1"), None, every[1::2]),
        (space.scope("room-1"), {"owner": "u2"}, []),
        (space.scope("room-0"), {"owner": "u2"}, every[2::4]),
    ]
    for where, tree, keys in cases:
        found = await where.search("green tea", kind=kind, mode=mode, filter=tree, limit=100)
        assert found.mode is mode
        assert sorted(_keys(found)) == keys, tree


@SEARCHED
async def test_field_39_the_page_is_full_however_near_the_others_are(
    space: AsyncScope, abilities: Capabilities, kind: Kind
) -> None:
    """Over-fetching ten times the limit passed the backend's cap of 100 and returned []."""
    needs(abilities[kind].vector, "VECTOR search")
    length = dimension_of(abilities, kind)
    first = _CROWD - _MATCHING
    await put_all(
        space,
        (
            Put(
                space.ref(kind, f"{n:03}"),
                vector=axis(length, 1.0, n / 100),
                attributes={
                    "n": n,
                    "name": f"{'far' if n >= first else 'near'}-{n}",
                    "tags": ["far", n] if n >= first else ["near"],
                    **({"rare": None} if n >= first else {}),
                },
            )
            for n in range(_CROWD)
        ),
    )
    matching = [f"{n:03}" for n in range(first, _CROWD)]
    trees: list[FilterLike] = [
        attr("n") >= first,
        attr("name").starts_with("far-"),
        attr("tags").contains("far"),
        attr("tags") != ["near"],
        attr("rare").exists(),
        ~(attr("n") < first),
        (attr("n") >= first) & attr("name").starts_with("far"),
    ]
    query = axis(length, 1.0)
    for tree in trees:
        found = await space.search(vector=query, kind=kind, filter=tree, limit=_PAGE)
        assert found.filter is not None
        assert not found.filter.truncated
        if abilities[kind].approximate:
            assert len(found) == _PAGE, tree
            assert set(_keys(found)) <= set(matching), tree
        else:
            assert _keys(found) == matching[:_PAGE], tree
    assert len(await space.search(vector=query, kind=kind, limit=1000)) == _CROWD


@SEARCHED
async def test_field_44_filtered_hits_come_best_first(
    space: AsyncScope, abilities: Capabilities, kind: Kind
) -> None:
    """Filtered matches came out of score order."""
    needs(abilities[kind].vector, "VECTOR search")
    length = dimension_of(abilities, kind)
    numbers = list(range(120))
    random.Random(44).shuffle(numbers)
    await put_all(
        space,
        (
            Put(
                space.ref(kind, f"{n:03}"),
                vector=axis(length, 1.0, n / 20),
                attributes={"even": n % 2 == 0, "label": f"l{n % 3}"},
            )
            for n in numbers
        ),
    )
    for tree, step in [
        (attr("even") == True, 2),  # noqa: E712 (an expression)
        ((attr("even") != False) & (attr("label") == "l0"), 6),  # noqa: E712 (as above)
        (attr("label").starts_with("l0"), 3),
    ]:
        found = await space.search(vector=axis(length, 1.0), kind=kind, filter=tree, limit=120)
        assert _keys(found) == [f"{n:03}" for n in range(0, 120, step)]
        relevances = [hit.relevance for hit in found]
        assert relevances == sorted(relevances, reverse=True)
        by_key = await keys_listed(space, kind, tree, descending=True)
        assert by_key == [f"{n:03}" for n in reversed(range(0, 120, step))]


@EVERY_STORE
async def test_field_25_times_are_instants_and_naive_ones_are_refused(
    space: AsyncScope, kind: Kind
) -> None:
    """A time without zone worked on the server and failed in local mode."""
    noon = datetime(2024, 5, 17, 12, tzinfo=UTC)
    await space.put(kind, "instant", attributes={"t": noon})
    await space.put(kind, "zoned", attributes={"t": "2024-05-17T14:00:00+02:00"})
    await space.put(kind, "plain", attributes={"t": "2024-05-17T12:00:00"})
    await space.put(kind, "date", attributes={"t": "2024-05-17"})
    at_noon = ["instant", "plain", "zoned"]
    for bound in (noon, "2024-05-17T12:00:00Z", "2024-05-17T12:00:00", "2024-05-17T07:00:00-05:00"):
        assert await keys_listed(space, kind, attr("t") >= bound) == at_noon, bound
        assert await keys_listed(space, kind, attr("t") < bound) == ["date"], bound
    assert await keys_listed(space, kind, attr("t") <= "2024-05-17") == ["date"]
    naive = noon.replace(tzinfo=None)
    with pytest.raises(InvalidArgument):
        await space.put(kind, "naive", attributes={"t": naive})
    with pytest.raises(InvalidArgument):
        await space.count(kind, filter={"t": {"$gt": naive}})
    with pytest.raises(InvalidArgument):
        await space.search(kind=kind, time_from=naive)
    with pytest.raises(InvalidArgument):
        await space.put(kind, "naive", expire_time=naive)


@SEARCHED
async def test_field_50_a_thousand_calls_on_one_session(
    door: Door, space: AsyncScope, kind: Kind
) -> None:
    """A first async call closed the session for all later ones."""
    await space.put(kind, "k", text="green tea", attributes={"n": 7})
    for turn in range(20):
        got, counted, listed = await asyncio.gather(
            asyncio.gather(*(space.get(kind, "k") for _ in range(48))),
            space.count(kind, filter={"n": 7}),
            space.list(kind, order=Order.KEY).page(),
        )
        assert all(memory is not None and memory.attributes["n"] == 7 for memory in got), turn
        assert (counted, [memory.key for memory in listed.memories]) == (1, ["k"])
    assert door.name != GRPC or await door.client.health() is not None
    assert (await space.put(kind, "k", text="tea", if_present=True)).ok
    assert (await space.search(kind=kind, time_from=at(0))).memories[0].text == "tea"
