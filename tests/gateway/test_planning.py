"""The filter plan: what is pushed may over-answer, never under-answer; the residual decides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memplane_adapters.conformance.strategies import filters, population
from memplane_adapters.contract import (
    EVERY_OP_EXACT,
    All,
    AnyOf,
    Capabilities,
    Condition,
    Filter,
    Negation,
    Op,
    Pushdown,
    Value,
    compile_filter,
)
from memplane_adapters.kit.expressions import PUSHED
from memplane_gateway.memory.planning import plan

EXACT = Condition(("a",), Op.EQ, 1)
LOOSE = Condition(("b",), Op.GT, 2)
UNKNOWN = Condition(("c",), Op.STARTS_WITH, "x")

CAPABILITIES = Capabilities(filters={Op.EQ: Pushdown.EXACT, Op.GT: Pushdown.SUPERSET})


@pytest.mark.parametrize(
    ("tree", "pushed", "residual"),
    [
        pytest.param(EXACT, EXACT, False, id="exact: pushed whole"),
        pytest.param(LOOSE, LOOSE, True, id="superset: pushed and checked again"),
        pytest.param(UNKNOWN, None, True, id="unknown: checked here"),
        pytest.param(All((EXACT, LOOSE)), All((EXACT, LOOSE)), True, id="and: all of it"),
        pytest.param(All((EXACT, UNKNOWN)), EXACT, True, id="and: the part that can"),
        pytest.param(All((UNKNOWN, UNKNOWN)), None, True, id="and: nothing can"),
        pytest.param(AnyOf((EXACT, EXACT)), AnyOf((EXACT, EXACT)), False, id="or: exact"),
        pytest.param(AnyOf((EXACT, LOOSE)), AnyOf((EXACT, LOOSE)), True, id="or: superset"),
        pytest.param(AnyOf((EXACT, UNKNOWN)), None, True, id="or: one part cannot, so none"),
        pytest.param(Negation(EXACT), Negation(EXACT), False, id="not: exact"),
        pytest.param(Negation(LOOSE), None, True, id="not: of a superset would lose rows"),
        pytest.param(
            All((EXACT, Negation(LOOSE))), EXACT, True, id="not: of a superset, beside exact"
        ),
    ],
)
def test_what_is_pushed_and_what_is_checked_again(
    tree: Filter, pushed: Filter | None, residual: bool
) -> None:
    planned = plan(tree, CAPABILITIES)
    assert planned.pushed == pushed
    assert (planned.residual is not None) is residual


def test_no_filter_needs_no_plan() -> None:
    planned = plan(None, Capabilities())
    assert planned.pushed is None
    assert planned.residual is None


def test_a_store_that_evaluates_everything_gets_everything() -> None:
    tree = AnyOf((Negation(All((EXACT, UNKNOWN))), LOOSE))
    planned = plan(tree, Capabilities(filters=EVERY_OP_EXACT))
    assert planned.pushed is tree
    assert planned.residual is None


def test_the_residual_is_the_whole_filter() -> None:
    residual = plan(All((EXACT, UNKNOWN)), CAPABILITIES).residual
    assert residual is not None
    assert residual({"a": 1, "c": "xy"})
    assert not residual({"a": 2, "c": "xy"})
    assert not residual({"a": 1, "c": "y"})


TYPED = Capabilities(filters=PUSHED, scalar_operands=True, float_ranges=True)
"""A store over typed names."""
EXISTS = Condition(("p",), Op.EXISTS, operand=True)
BIG = 2**53


def condition(op: Op, operand: Value = None) -> Condition:
    return Condition(("p",), op, operand)


@pytest.mark.parametrize(
    ("tree", "pushed", "residual"),
    [
        pytest.param(condition(Op.EQ, [1]), EXISTS, True, id="a list is somewhere"),
        pytest.param(condition(Op.NE, [1]), None, True, id="not a list: anything"),
        pytest.param(Negation(condition(Op.NE, {})), EXISTS, True, id="not not a map: somewhere"),
        pytest.param(Negation(condition(Op.EQ, [1])), None, True, id="not a list, negated"),
        pytest.param(condition(Op.IN, [1, "a"]), condition(Op.IN, [1, "a"]), False, id="scalars"),
        pytest.param(condition(Op.IN, [1, []]), EXISTS, True, id="one of them a list"),
        pytest.param(condition(Op.IN, [None, []]), None, True, id="a list or missing"),
        pytest.param(Negation(condition(Op.NOT_IN, [[]])), EXISTS, True, id="not not in"),
        pytest.param(condition(Op.CONTAINS, {}), EXISTS, True, id="contains a map"),
        pytest.param(condition(Op.CONTAINS_ANY, [[], 1]), EXISTS, True, id="contains one of"),
        pytest.param(
            condition(Op.CONTAINS_ALL, [[], 1]),
            condition(Op.CONTAINS_ALL, [1]),
            True,
            id="contains all: of the scalars",
        ),
        pytest.param(condition(Op.CONTAINS_ALL, [[]]), EXISTS, True, id="contains all, no scalar"),
        pytest.param(condition(Op.STARTS_WITH, "x"), EXISTS, True, id="what nobody evaluates"),
        pytest.param(
            Negation(condition(Op.STARTS_WITH, "x")), None, True, id="what nobody evaluates, not"
        ),
        pytest.param(condition(Op.GT, 5), condition(Op.GT, 5), False, id="a bound on a step"),
        pytest.param(condition(Op.GT, BIG), condition(Op.GTE, BIG), True, id="gt, rounded"),
        pytest.param(condition(Op.LT, -BIG), condition(Op.LTE, -BIG), True, id="lt, rounded"),
        pytest.param(condition(Op.GTE, BIG), condition(Op.GTE, BIG), True, id="gte, rounded"),
        pytest.param(Negation(condition(Op.GT, BIG)), None, True, id="not gt, rounded"),
        pytest.param(
            condition(Op.LT, "2026-01-01"), condition(Op.LT, "2026-01-01"), False, id="a date"
        ),
        pytest.param(
            condition(Op.LT, "2026-01-01T00:00:00.0000001Z"),
            condition(Op.LTE, "2026-01-01T00:00:00.0000001Z"),
            True,
            id="between two microseconds",
        ),
        pytest.param(
            condition(Op.GT, "2200-01-01"), condition(Op.GTE, "2200-01-01"), True, id="far away"
        ),
        pytest.param(condition(Op.EQ, BIG + 1), condition(Op.EQ, BIG + 1), False, id="eq is exact"),
        pytest.param(
            Negation(All((EXACT, condition(Op.EQ, [1])))),
            None,
            True,
            id="not and: or, of which one part is anything",
        ),
        pytest.param(
            Negation(AnyOf((EXACT, condition(Op.EQ, [1])))),
            Negation(EXACT),
            True,
            id="not or: and, of the part that can",
        ),
        pytest.param(
            Negation(AnyOf((EXACT, Negation(condition(Op.EQ, [1]))))),
            All((Negation(EXACT), EXISTS)),
            True,
            id="not or not: and",
        ),
        pytest.param(AnyOf(()), AnyOf(()), False, id="nothing at all"),
    ],
)
def test_what_a_store_over_typed_names_is_asked_for(
    tree: Filter, pushed: Filter | None, residual: bool
) -> None:
    planned = plan(tree, TYPED)
    assert planned.pushed == pushed
    assert (planned.residual is not None) is residual


@given(
    tree=filters(),
    declared=st.dictionaries(st.sampled_from(Op), st.sampled_from(Pushdown)),
    scalar_operands=st.booleans(),
    float_ranges=st.booleans(),
)
def test_nothing_that_matches_is_left_out_whatever_a_store_declares(
    tree: Filter, declared: dict[Op, Pushdown], scalar_operands: bool, float_ranges: bool
) -> None:
    """A field with two bounds lost one, OR became AND (FIELD 1, 2)."""
    capabilities = Capabilities(
        filters=declared, scalar_operands=scalar_operands, float_ranges=float_ranges
    )
    planned = plan(tree, capabilities)
    if planned.pushed is None:
        return
    matches, pushed = compile_filter(tree), compile_filter(planned.pushed)
    for fields in ROWS:
        assert pushed(fields) or not matches(fields), planned.pushed
        if planned.residual is None:
            assert pushed(fields) == matches(fields)


ROWS = population()
