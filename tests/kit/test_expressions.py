"""Expressions over typed names agree with the reference evaluator wherever the planner says exact."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.thorough import THOROUGH

from memplane_adapters.conformance.strategies import filters, population, simple_conditions
from memplane_adapters.contract import (
    AnyOf,
    Capabilities,
    Condition,
    Fields,
    Filter,
    Negation,
    Op,
    StoreError,
    StoreReason,
    compile_filter,
)
from memplane_adapters.kit import typed
from memplane_adapters.kit.expressions import (
    ALWAYS,
    NEVER,
    PUSHED,
    AllOf,
    Expression,
    Has,
    Not,
    OneOf,
    Range,
    express,
    negations_at_tokens,
    simplified,
)
from memplane_gateway.memory.planning import plan

TYPED = Capabilities(filters=PUSHED, scalar_operands=True, float_ranges=True)

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


@dataclass
class _Row:
    """A row as a store over typed names keeps it."""

    tokens: set[str]
    numbers: dict[str, float]
    instants: dict[str, float]

    def matches(self, expression: Expression) -> bool:
        if isinstance(expression, Has):
            return bool(self.tokens & set(expression.tokens))
        if isinstance(expression, Range):
            kept = self.numbers if expression.sort == "number" else self.instants
            compare = _COMPARE[expression.comparison]
            return expression.name in kept and compare(kept[expression.name], expression.bound)
        if isinstance(expression, Not):
            return not self.matches(expression.part)
        join = all if isinstance(expression, AllOf) else any
        return join(map(self.matches, expression.parts))


def _row(fields: Fields) -> _Row:
    found = typed.indexed(fields)
    return _Row(set(found.tokens), found.numbers, found.instants)


ROWS = [(fields, _row(fields)) for fields in population(200)]


@settings(max_examples=2000 if THOROUGH else 600)
@given(tree=filters() | simple_conditions() | simple_conditions().map(Negation))
def test_expressions_agree_with_the_reference_evaluator(tree: Filter) -> None:
    planned = plan(tree, TYPED)
    if planned.pushed is None:
        return
    expression = express(planned.pushed)
    shapes = (
        expression,
        simplified(expression),
        negations_at_tokens(expression),
        simplified(negations_at_tokens(expression)),
    )
    matches = compile_filter(tree)
    for fields, row in ROWS:
        found = {row.matches(shape) for shape in shapes}
        assert len(found) == 1, "the same whatever its shape"
        assert found == {True} or not matches(fields), fields
        if planned.residual is None:
            assert found == {matches(fields)}, fields


@given(tree=filters())
def test_negations_stand_at_tokens(tree: Filter) -> None:
    pushed = plan(tree, TYPED).pushed
    if pushed is None:
        return
    open_ends: list[Expression] = [negations_at_tokens(express(pushed))]
    while open_ends:
        here = open_ends.pop()
        if isinstance(here, Not):
            assert isinstance(here.part, Has)
        elif isinstance(here, AllOf | OneOf):
            open_ends += here.parts


FOOD = Has(("topic=s:=food",))
DEAR = Range("number", ("price",), "gt", 3.0)


@pytest.mark.parametrize(
    ("expression", "simple"),
    [
        (AllOf((FOOD,)), FOOD),
        (AllOf((FOOD, AllOf((DEAR, FOOD)))), AllOf((FOOD, DEAR, FOOD))),
        (OneOf((FOOD, NEVER)), FOOD),
        (OneOf((FOOD, ALWAYS)), ALWAYS),
        (AllOf((FOOD, NEVER)), NEVER),
        (AllOf((FOOD, Not(NEVER))), FOOD),
        (Not(ALWAYS), NEVER),
        (AllOf((OneOf(()), FOOD)), NEVER),
        (
            OneOf((OneOf((FOOD, DEAR)), AllOf((FOOD, DEAR)))),
            OneOf((FOOD, DEAR, AllOf((FOOD, DEAR)))),
        ),
    ],
)
def test_simplified(expression: Expression, simple: Expression) -> None:
    assert simplified(expression) == simple


def test_what_is_not_in_a_range_is_beside_it_or_of_another_type() -> None:
    no_number = Not(Has(("price#n",)))
    beside = Range("number", ("price",), "lte", 3.0)
    assert negations_at_tokens(Not(DEAR)) == OneOf((no_number, beside))


@pytest.mark.parametrize(
    "tree",
    [
        Condition(("a",), Op.STARTS_WITH, "x"),
        Condition(("a",), Op.EQ, [1]),
        AnyOf((Condition(("a",), Op.CONTAINS, {"x": 1}),)),
    ],
    ids=repr,
)
def test_what_cannot_be_expressed_is_refused(tree: Filter) -> None:
    with pytest.raises(StoreError) as refusal:
        express(tree)
    assert refusal.value.reason is StoreReason.UNSUPPORTED


NAMES = st.text(st.sampled_from(".=?~#\\ab"), min_size=1, max_size=4)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(tuple)


@given(PATHS, PATHS)
def test_no_two_paths_share_a_token(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """["a","b:c"] and ["a","b","c"] were one key (FIELD 14)."""
    marks = (typed.present, lambda path: typed.equals(path, "x"), lambda path: typed.holds(path, 1))
    for left in marks:
        for right in marks:
            assert (left(one) == right(other)) is (one == other and left is right)


@given(st.text(max_size=200).filter(lambda text: "\ud800" not in text), st.text(max_size=200))
def test_no_two_strings_share_a_token(one: str, other: str) -> None:
    assert (typed.equals(("a",), one) == typed.equals(("a",), other)) is (one == other)
    long = "x" * 60
    assert (typed.equals(("a",), long + one) == typed.equals(("a",), long + other)) is (
        one == other
    )
