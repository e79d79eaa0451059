"""The filter plan: what is pushed may over-answer, never under-answer; the residual decides."""

from __future__ import annotations

import pytest

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
)
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
