"""Filters: what the planner takes for exact agrees with the reference evaluator, row by row."""

from __future__ import annotations

from typing import Any

import pytest

from memplane_adapters.conformance.stores.fixtures import (
    NOW,
    Points,
    Subject,
    some_vectors,
)
from memplane_adapters.conformance.strategies import (
    NUMBERS,
    drawn,
    filters,
    population,
    simple_conditions,
)
from memplane_adapters.contract import (
    All,
    AnyOf,
    Condition,
    Entry,
    Filter,
    Negation,
    Op,
    Value,
    compile_filter,
)
from memplane_gateway.memory.planning import plan

_ROWS = population()
_VECTORS = some_vectors(len(_ROWS), seed=4)


async def _populate(subject: Subject) -> None:
    """The rows, beside ones that must never be found."""
    made: list[Entry] = []
    for number, fields in enumerate(_ROWS):
        options: dict[str, Any] = {"namespace": ("rows",), "time": NOW + number, "fields": fields}
        if isinstance(subject, Points):
            made.append(subject.point(f"{number:02}", _VECTORS[number], **options))
        else:
            made.append(subject.entry(f"{number:02}", **options))
    await subject.write(*made)
    await subject.write(
        subject.entry("sibling", namespace=("rows-2",), fields=_ROWS[1]),
        subject.entry("expired", namespace=("rows",), fields=_ROWS[1], expire_time=NOW),
    )


async def _found(subject: Subject, tree: Filter) -> set[str]:
    """What a scan finds, after a look whether a query and a count say the same."""
    scope = subject.scope("rows")
    page = await subject.page(scope, filter=tree, limit=1000)
    assert page.next is None
    keys = [row.record.decode() for row in page.rows]
    assert keys == sorted(keys)
    assert await subject.count(scope, tree) == len(keys)
    if isinstance(subject, Points) and subject.capabilities.vector:
        hits = await subject.search(scope, vector=_VECTORS[0], filter=tree, limit=1000)
        assert len(hits) == len(set(hits))
        assert set(hits) == set(keys)
    return set(keys)


def _right(tree: Filter) -> set[str]:
    matches = compile_filter(tree)
    return {f"{number:02}" for number, fields in enumerate(_ROWS) if matches(fields)}


async def _holds(subject: Subject, tree: Filter) -> None:
    """Planned for the store, it finds no row too few, and none too many that nobody checks again."""
    planned = plan(tree, subject.capabilities)
    if planned.pushed is None:
        return
    found, right = await _found(subject, planned.pushed), _right(tree)
    assert found >= right, (tree, planned.pushed)
    if planned.residual is None:
        assert found == right, tree


@pytest.mark.asyncio
async def test_field_2_random_trees_agree_with_the_oracle(
    subject: Subject, random_filters: int
) -> None:
    """Of two bounds only the first counted; OR was compiled to AND (also 1, 3, 5, 6)."""
    await _populate(subject)
    for tree in drawn(filters(), random_filters):
        await _holds(subject, tree)


@pytest.mark.asyncio
async def test_single_conditions_agree_with_the_oracle(
    subject: Subject, random_filters: int
) -> None:
    """In trees a condition that is pushed wrongly often changes nothing; alone it does."""
    await _populate(subject)
    for tree in drawn(simple_conditions(), random_filters // 4):
        await _holds(subject, tree)
        await _holds(subject, Negation(tree))


@pytest.mark.parametrize("op", [Op.GT, Op.GTE, Op.LT, Op.LTE])
@pytest.mark.asyncio
async def test_field_4_bounds_alone_and_in_pairs(
    subject: Subject, op: Op, random_filters: int
) -> None:
    """A one-sided date filter set all four range ends and always found 0 rows."""
    await _populate(subject)
    some = 1 if random_filters >= 500 else 3  # where filters are dear
    bounds: list[Value] = [*NUMBERS[::some], "2026-01-01", "2026-01-01T00:00:00.000001Z"]
    for bound in bounds:
        tree = Condition(("n",), op, bound)
        await _holds(subject, tree)
        await _holds(subject, All((tree, Condition(("n",), op, 9))))


@pytest.mark.parametrize(
    "tree",
    [
        All(()),
        AnyOf(()),
        Negation(All(())),
        Condition(("n",), Op.IN, []),
        Condition(("n",), Op.NOT_IN, []),
        Condition(("n",), Op.IN, [None]),
        Condition(("tags",), Op.CONTAINS_ANY, []),
        Condition(("tags",), Op.CONTAINS_ALL, []),
        Condition(("a",), Op.IN, [*(f"x{n}" for n in range(999)), "10"]),
        Condition(("absent",), Op.NE, 1),
        Condition(("absent",), Op.NOT_IN, [1]),
        Condition(("absent",), Op.EQ, None),
        Condition(("absent",), Op.IS_NULL),
        Condition(("absent",), Op.EXISTS, operand=False),
        Condition(("absent",), Op.LT, 5),
        Negation(Condition(("absent",), Op.LT, 5)),
        Condition(("a",), Op.STARTS_WITH, ""),
        Condition(("a",), Op.STARTS_WITH, "%"),
        AnyOf(tuple(Condition(("n",), Op.EQ, n) for n in range(64))),
    ],
    ids=repr,
)
@pytest.mark.asyncio
async def test_edges(subject: Subject, tree: Filter) -> None:
    await _populate(subject)
    await _holds(subject, tree)
