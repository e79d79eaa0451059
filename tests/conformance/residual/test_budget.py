"""Filters that only the gateway evaluates, with a scan budget: a page that lacks something says so."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from memplane import AsyncScope, Capabilities, Kind, Mode, Order, Put
from memplane_adapters.conformance.memories.doors import IN_PROCESS, Door
from memplane_adapters.conformance.memories.fixtures import (
    Arrange,
    fresh_label,
    opened,
    settings_in,
)
from memplane_adapters.conformance.memories.helpers import (
    ON_THE_SESSION_LOOP,
    axis,
    dimension_of,
    put_all,
)

pytestmark = ON_THE_SESSION_LOOP

KINDS = pytest.mark.parametrize("kind", [Kind.SEMANTIC, Kind.PROCEDURAL])
BUDGET = 100
ROWS = 300
RARE = {"rare": True}


# All of these, for a fixture of the session would keep what it was first made with.
@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def door(
    no_filters: Arrange, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    """No filter is pushed down, and the budget is small."""
    settings = no_filters(settings_in(tmp_path_factory.mktemp("budget")))
    async with opened(IN_PROCESS, settings) as made:
        assert made.gateway.settings.scan_budget == BUDGET
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def abilities(door: Door) -> Capabilities:
    """What the gateway says that it can do."""
    return await door.client.capabilities()


@pytest.fixture
def space(door: Door) -> AsyncScope:
    """A namespace that no other case uses."""
    return door.client.scope(fresh_label())


@pytest.fixture
def rare() -> list[str]:
    """The keys of the rare ones: every thirtieth of those that come last."""
    return [f"{number:03}" for number in range(150, ROWS, 30)]


async def filled(
    space: AsyncScope, kind: Kind, rare: list[str], abilities: Capabilities | None = None
) -> None:
    """In the order of keys, of update times and of nearness the rare ones come late."""
    names = [f"{number:03}" for number in range(ROWS)]
    for start in range(0, ROWS, 100):
        puts = []
        for number in range(start, start + 100):
            vector = None
            if abilities is not None:
                vector = axis(dimension_of(abilities, kind), 1.0, number * 0.01)
            name = names[number]
            puts.append(
                Put(space.ref(kind, name), attributes={"rare": name in rare}, vector=vector)
            )
        await put_all(space, puts)


@KINDS
@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("descending", [False, True])
async def test_a_walk_finds_all_by_pages_that_say_when_the_budget_ran_out(
    space: AsyncScope, kind: Kind, rare: list[str], order: Order, descending: bool
) -> None:
    await filled(space, kind, rare)
    found: list[str] = []
    truncated = 0
    walk = space.list(kind, filter=RARE, order=order, descending=descending, page_size=3)
    async for page in walk.pages():
        assert page.filter is not None
        assert (page.filter.pushed, page.filter.residual) == (False, True)
        assert page.filter.scanned <= BUDGET
        if len(page) < 3 and page.next_page_token:
            assert page.filter.truncated
        if page.filter.truncated:
            assert page.next_page_token
            truncated += 1
        found += [memory.key for memory in page]
    assert sorted(found) == rare
    assert truncated


@KINDS
async def test_a_count_says_when_it_is_a_lower_bound(
    space: AsyncScope, kind: Kind, rare: list[str]
) -> None:
    await filled(space, kind, rare)
    counted = await space.count(kind, filter=RARE)
    assert counted.truncated
    assert counted.filter is not None
    assert counted.filter.scanned == BUDGET
    assert counted <= len(rare)
    everything = await space.count(kind)
    assert everything == ROWS
    assert not everything.truncated


@KINDS
async def test_recent_says_when_more_may_exist(
    space: AsyncScope, kind: Kind, rare: list[str]
) -> None:
    await filled(space, kind, rare)
    found = await space.search(kind=kind, mode=Mode.RECENT, filter=RARE, limit=10)
    assert found.filter is not None
    assert found.filter.truncated
    assert found.truncated
    assert {memory.key for memory in found.memories} <= set(rare)
    full = await space.search(kind=kind, mode=Mode.RECENT, filter={"rare": False}, limit=10)
    assert len(full) == 10
    assert full.filter is not None
    assert not full.filter.truncated
    assert not full.truncated


async def test_vector_search_says_when_more_may_exist(
    space: AsyncScope, abilities: Capabilities, rare: list[str]
) -> None:
    await filled(space, Kind.SEMANTIC, rare, abilities)
    query = axis(dimension_of(abilities, Kind.SEMANTIC), 1.0)
    found = await space.search(vector=query, filter=RARE, limit=10)
    assert found.filter is not None
    assert found.filter.truncated
    assert found.truncated
    assert len(found) == 0
    full = await space.search(vector=query, filter={"rare": False}, limit=10)
    assert [memory.key for memory in full.memories] == [f"{number:03}" for number in range(10)]
    assert full.filter is not None
    assert not full.filter.truncated
    assert not full.truncated


async def test_a_small_namespace_is_searched_whole(
    space: AsyncScope, abilities: Capabilities, rare: list[str]
) -> None:
    await filled(space, Kind.SEMANTIC, rare, abilities)
    small = space.scope("small")
    own = axis(dimension_of(abilities, Kind.SEMANTIC), -1.0)
    await small.put(Kind.SEMANTIC, "k", vector=own, attributes=RARE)
    query = axis(dimension_of(abilities, Kind.SEMANTIC), 1.0)
    found = await small.search(vector=query, filter=RARE)
    assert [memory.key for memory in found.memories] == ["k"]
    assert found.filter is not None
    assert not found.filter.truncated
