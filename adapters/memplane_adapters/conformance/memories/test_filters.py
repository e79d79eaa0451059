"""Filters against the one oracle: 2,000 random trees, and every operator on every type.

However a store evaluates a filter, list, count and search answer what the reference evaluator says
of the memories as they are read back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import pytest
import pytest_asyncio
from hypothesis import strategies as st

from memplane import (
    AsyncClient,
    AsyncScope,
    Capabilities,
    FilterLike,
    FilterReport,
    Kind,
    Memory,
    Mode,
    Order,
    Pushdown,
    Query,
)
from memplane_adapters.conformance.memories.fixtures import fresh_label
from memplane_adapters.conformance.memories.helpers import (
    ON_THE_SESSION_LOOP,
    at,
    axis,
    dimension_of,
    put_all,
)
from memplane_adapters.conformance.memories.trees import (
    ROOMS,
    expression,
    peopled,
    seen_by_filters,
)
from memplane_adapters.conformance.strategies import SCALARS, VALUES, drawn, filters, operands
from memplane_adapters.contract import (
    All,
    AnyOf,
    Condition,
    Filter,
    Negation,
    Op,
    Value,
    compile_filter,
    conditions,
    is_rounded,
    problem,
)

pytestmark = ON_THE_SESSION_LOOP

KINDS = (Kind.SEMANTIC, Kind.EPISODIC, Kind.PROCEDURAL)
_ROOMS_IN_TURN = (ROOMS, ("0",), ("1",), ("2",), ("1",))


@dataclass(frozen=True)
class Crowd:
    """Memories to filter, as they were read back."""

    space: AsyncScope
    memories: dict[Kind, list[Memory]]
    vector: list[float]
    abilities: Capabilities

    def expected(self, kind: Kind, tree: Filter, rooms: Sequence[str] = ROOMS) -> list[str]:
        """The keys that match, in order."""
        predicate = compile_filter(tree)
        return sorted(
            memory.key
            for memory in self.memories[kind]
            if memory.namespace[-1] in rooms and predicate(seen_by_filters(memory))
        )

    async def check(self, kind: Kind, trees: Sequence[Filter]) -> None:
        """Each tree through count over all, and list and search over all or over one room."""
        for start in range(0, len(trees), 16):
            part = trees[start : start + 16]
            written = [expression(tree) for tree in part]
            rooms = [_ROOMS_IN_TURN[number % len(_ROOMS_IN_TURN)] for number in range(len(part))]
            queries = [
                self._query(kind, filter_, number, room)
                for number, (filter_, room) in enumerate(zip(written, rooms, strict=True))
            ]
            found, answers = await asyncio.gather(
                self.space.search_many(queries),
                asyncio.gather(*map(self._list_and_count, repeat(kind), written, rooms)),
            )
            for tree, room, query, result, (listed, counted, report) in zip(
                part, rooms, queries, found, answers, strict=True
            ):
                expected = self.expected(kind, tree, room)
                assert listed == expected, ("list", kind, tree)
                assert counted == len(self.expected(kind, tree)), ("count", kind, tree)
                mode = Mode.RECENT if query.vector is None else Mode.VECTOR
                assert result.mode is mode
                keys = sorted(memory.key for memory in result.memories)
                assert keys == expected, ("search", mode, kind, tree)
                self._check_report(kind, tree, report)

    def _inside(self, room: Sequence[str]) -> AsyncScope:
        return self.space if len(room) > 1 else self.space.scope(*room)

    def _query(self, kind: Kind, filter_: FilterLike, number: int, room: Sequence[str]) -> Query:
        vector = self.vector if kind is not Kind.PROCEDURAL and number % 2 else None
        namespace = self._inside(room).namespace
        return Query(kind=kind, namespace=namespace, vector=vector, filter=filter_, limit=1000)

    async def _list_and_count(
        self, kind: Kind, filter_: FilterLike, room: Sequence[str]
    ) -> tuple[list[str], int, FilterReport | None]:
        page, counted = await asyncio.gather(
            self._inside(room).list(kind, filter=filter_, page_size=1000).page(),
            self.space.count(kind, filter=filter_),
        )
        return sorted(memory.key for memory in page), counted, page.filter

    def _check_report(self, kind: Kind, tree: Filter, report: FilterReport | None) -> None:
        assert report is not None
        assert not report.truncated
        assert report.pushed or report.residual
        exact = self.abilities[kind].filters
        if not all(exact[op.value] is Pushdown.EXACT for op in ops_of(tree)):  # type: ignore[index]
            assert report.residual
        elif all(map(is_plain, conditions(tree))):
            assert (report.pushed, report.residual) == (True, False)


def ops_of(tree: Filter) -> set[Op]:
    """The operators of a tree as it is sent."""
    if isinstance(tree, Condition):
        return {tree.op}
    if isinstance(tree, Negation):
        return ops_of(tree.part)
    return {op for part in tree.parts for op in ops_of(part)} or {Op.EXISTS}


def is_plain(condition: Condition) -> bool:
    """Whether a store that compares only scalars, and numbers as floats, is asked no more than that."""
    operand = condition.operand
    if condition.op in (Op.GT, Op.GTE, Op.LT, Op.LTE):
        return not is_rounded(operand)
    items = operand if isinstance(operand, list) else [operand]
    listed = condition.op in (Op.IN, Op.NOT_IN, Op.CONTAINS_ANY, Op.CONTAINS_ALL)
    return isinstance(operand, list) == listed and not any(
        isinstance(item, list | dict) for item in items
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def crowd(client: AsyncClient, abilities: Capabilities) -> Crowd:
    """Some sixty memories of each kind, the same in each."""
    space = client.scope(fresh_label())
    vector = axis(dimension_of(abilities, Kind.SEMANTIC), 1.0)
    memories = {}
    for kind in KINDS:
        own = None if kind is Kind.PROCEDURAL else vector
        await put_all(space, peopled(space, kind, vector=own))
        memories[kind] = [memory async for memory in space.list(kind, page_size=1000)]
    return Crowd(space, memories, vector, abilities)


_SYSTEM_FIELDS = st.sampled_from(
    ["@key", "@importance", "@pinned", "@session_id", "@agent_id", "@episode_type", "@event_time"]
)
_SYSTEM_VALUES = st.sampled_from(
    [None, True, 0, 0.5, 1, "m007", "m", "s-1", "a", "action", at(1), "2024-05-17T12:00:01Z"]
)


@st.composite
def system_conditions(draw: st.DrawFn) -> Condition:
    """A valid condition on a system field."""
    op = draw(st.sampled_from(list(Op)))
    if op in (Op.IN, Op.NOT_IN, Op.CONTAINS_ANY, Op.CONTAINS_ALL):
        operand: Value = list(draw(st.lists(_SYSTEM_VALUES, max_size=3)))
    else:
        operand = draw(_SYSTEM_VALUES)
    condition = Condition((draw(_SYSTEM_FIELDS),), op, operand)
    if problem(condition) is not None:
        condition = Condition(condition.path, op, draw(operands(op)))
    return condition


@st.composite
def trees(draw: st.DrawFn) -> Filter:
    """Trees over attributes, some with a condition on a system field beside."""
    tree = draw(filters(depth=draw(st.sampled_from([1, 2, 3, 4, 7]))))
    match draw(st.integers(0, 5)):
        case 0:
            return All((tree, draw(system_conditions())))
        case 1:
            return AnyOf((draw(system_conditions()), tree))
        case 2:
            return draw(system_conditions())
    return tree


# In four cases, none of which takes minutes.
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("kind", KINDS)
async def test_random_filters_answer_as_the_oracle(
    crowd: Crowd, kind: Kind, part: int, random_filters: int
) -> None:
    await crowd.check(kind, drawn(trees(), random_filters // 4, first=part))


def every_condition(op: Op, path: tuple[str, ...]) -> list[Condition]:
    """A condition for each operand of the pool that the operator takes, alone or in a list."""
    pool: list[Value] = [*VALUES] if path == ("a",) else [*VALUES[::8]]
    if op in (Op.IN, Op.NOT_IN, Op.CONTAINS_ANY, Op.CONTAINS_ALL):
        pool = [[], *([value] for value in SCALARS[::2]), list(SCALARS[:20]), [[], {}], [None]]
    made = [Condition(path, op, operand) for operand in pool]
    return [condition for condition in made if problem(condition) is None]


@pytest.mark.parametrize("kind", [Kind.SEMANTIC, Kind.PROCEDURAL])
@pytest.mark.parametrize("op", list(Op), ids=lambda op: op.value)
async def test_every_operator_on_every_type_and_on_what_is_missing(
    crowd: Crowd, kind: Kind, op: Op, sample: int
) -> None:
    conditions = every_condition(op, ("a",))
    matched = [bool(crowd.expected(kind, condition)) for condition in conditions]
    assert any(matched), "the memories have something to find"
    await crowd.check(kind, conditions[::sample])
    elsewhere = every_condition(op, ("absent",)) + every_condition(op, ("m", "y", "z"))
    await crowd.check(kind, elsewhere[::sample])
    await crowd.check(kind, [Negation(condition) for condition in conditions[:: 5 * sample]])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_filtered_walk_is_whole_in_every_order(crowd: Crowd, kind: Kind) -> None:
    some: list[Filter] = [
        Condition(("n",), Op.GTE, 0),
        Condition(("a",), Op.NE, None),
        Negation(Condition(("tags",), Op.CONTAINS, "a")),
        AnyOf((Condition(("@pinned",), Op.EQ, True), Condition(("m", "x"), Op.EXISTS, True))),
    ]
    for tree in some:
        expected = crowd.expected(kind, tree)
        assert 0 < len(expected) < len(crowd.memories[kind])
        for order in Order:
            for descending in (False, True):
                walk = crowd.space.list(
                    kind, filter=expression(tree), order=order, descending=descending, page_size=7
                )
                keys = [memory.key async for memory in walk]
                assert sorted(keys) == expected
