"""The loose store is loose indeed: without the gateway's second look the answers would be wrong."""

from __future__ import annotations

import pytest

from memplane import AsyncScope, Capabilities, Kind, Mode, Op, Pushdown, Put, attr
from memplane_adapters.conformance.memories.helpers import (
    ON_THE_SESSION_LOOP,
    keys_listed,
    keys_recent,
    put_all,
)

pytestmark = ON_THE_SESSION_LOOP


@pytest.mark.parametrize("kind", [Kind.SEMANTIC, Kind.PROCEDURAL])
async def test_pushed_and_residual_are_told_apart(
    space: AsyncScope, abilities: Capabilities, kind: Kind
) -> None:
    await put_all(
        space, [Put(space.ref(kind, f"{n}"), attributes={"n": n, "s": "x"}) for n in range(10)]
    )
    declared = abilities[kind].filters
    superset = declared[Op.EQ] is Pushdown.SUPERSET
    s_in, n_is, n_is_not = attr("s").is_in(["x"]), attr("n") == 3, attr("n") != 3
    for filter_, pushed, residual, keys in (
        (s_in, superset, not superset, "0123456789"),
        (n_is, superset, True, "3"),
        (n_is_not, False, True, "012456789"),
        (s_in & n_is, superset, True, "3"),
        (s_in & n_is_not, superset, True, "012456789"),
        (n_is | n_is_not, False, True, "0123456789"),
        (~n_is, False, True, "012456789"),
        (~s_in, superset, not superset, ""),
    ):
        page = await space.list(kind, filter=filter_).page()
        assert [memory.key for memory in page] == list(keys), filter_
        assert page.filter is not None
        assert (page.filter.pushed, page.filter.residual) == (pushed, residual), filter_
        assert await space.count(kind, filter=filter_) == len(keys)
        assert sorted(await keys_recent(space, kind, filter_)) == list(keys)


async def test_the_stores_are_what_they_are_called(
    request: pytest.FixtureRequest, abilities: Capabilities
) -> None:
    name = request.node.callspec.id
    expected = {"no-pushdown": {Pushdown.NONE}, "superset": set(Pushdown) - {Pushdown.UNKNOWN}}
    for able in abilities.routes.values():
        assert set(able.filters.values()) == expected[name]


async def test_a_loose_answer_fills_its_page(space: AsyncScope, abilities: Capabilities) -> None:
    """The store answers all 400 rows to a filter that 8 of them meet."""
    kind = Kind.SEMANTIC
    await put_all(
        space,
        [Put(space.ref(kind, f"{n:03}"), text="tea", attributes={"n": n}) for n in range(400)],
    )
    filter_ = attr("n") >= 392
    assert await keys_listed(space, kind, filter_, page_size=5) == [f"{n}" for n in range(392, 400)]
    modes = [Mode.RECENT, Mode.VECTOR] + [Mode.KEYWORD] * abilities[kind].keyword
    for mode in modes:
        text = None if mode is Mode.RECENT else "tea"
        found = await space.search(text, kind=kind, mode=mode, filter=filter_, limit=8)
        assert [memory.key for memory in found.memories] == [f"{n}" for n in range(392, 400)]
        assert found.filter is not None
        assert not found.filter.truncated
        assert found.filter.scanned >= 392
