"""The truth table of filters, row by row, written by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memplane_adapters.conformance.strategies import fields, filters
from memplane_adapters.contract import (
    All,
    AnyOf,
    Condition,
    Fields,
    Filter,
    Negation,
    Op,
    Value,
    compile_filter,
    conditions,
    equal,
    identical,
    problem,
)

_MISSING = object()
_NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def holds(op: Op, operand: Value, value: object) -> bool:
    some: Fields = {} if value is _MISSING else {"v": value}  # type: ignore[dict-item]
    condition = Condition(("v",), op, operand)
    assert problem(condition) is None
    return compile_filter(condition)(some)


_EQ: list[tuple[Value, object, bool]] = [
    # operand, value, whether EQ holds
    (1, 1, True),
    (1, 1.0, True),
    (1.0, 1, True),
    (1, True, False),
    (True, True, True),
    (True, 1, False),
    (True, 1.0, False),
    (True, "true", False),
    (False, 0, False),
    (False, None, False),
    (0, 0.0, True),
    (0, -0.0, True),
    (10, "10", False),
    ("10", 10, False),
    ("10", "10", True),
    ("a", "A", False),
    ("a", "a ", False),
    ("Verified", "Not Verified", False),
    ("\u00e9", "e\u0301", False),
    ("", "", True),
    ("", None, False),
    ("", _MISSING, False),
    (None, None, True),
    (None, _MISSING, True),
    (None, 0, False),
    (None, "", False),
    (None, [], False),
    (None, {}, False),
    (None, False, False),
    (2**53, 2**53 + 1, False),
    (float(2**53), 2**53 + 1, False),
    (float(2**53), 2**53, True),
    (2**63 - 1, 2**63 - 2, False),
    (float(2**63), 2**63 - 1, False),
    (0.1, 0.1, True),
    (b"10", b"10", True),
    (b"10", "10", False),
    ("10", b"10", False),
    (_NEW_YEAR, _NEW_YEAR, True),
    (_NEW_YEAR, _NEW_YEAR.astimezone(timezone(timedelta(hours=5))), True),
    (_NEW_YEAR, "2026-01-01T00:00:00Z", False),
    ("2026-01-01", _NEW_YEAR, False),
    ("2026-01-01", "2026-01-01T00:00:00Z", False),
    ([], [], True),
    ([], None, False),
    ([], {}, False),
    ([1, 2], [1, 2], True),
    ([1, 2], [2, 1], False),
    ([1, 2], [1, 2, 2], False),
    ([1], [1.0], True),
    ([1], [True], False),
    ([1], 1, False),
    (1, [1], False),
    ([[]], [[]], True),
    ([None], [None], True),
    ([None], [], False),
    ({}, {}, True),
    ({"a": 1, "b": [1]}, {"b": [1.0], "a": 1}, True),
    ({"a": 1}, {"a": 1, "b": 2}, False),
    ({"a": None}, {}, False),
    ({"$gt": 5}, {"$gt": 5}, True),
    ({"$gt": 5}, 6, False),
]


@pytest.mark.parametrize(("operand", "value", "result"), _EQ)
def test_eq_ne_in_not_in(operand: Value, value: object, result: bool) -> None:
    assert holds(Op.EQ, operand, value) is result
    assert holds(Op.NE, operand, value) is not result
    assert holds(Op.IN, [operand], value) is result
    assert holds(Op.IN, ["something else", operand, b"x"], value) is result
    assert holds(Op.NOT_IN, [operand], value) is not result
    assert holds(Op.CONTAINS_ALL, [operand], [7, value]) is (result and value is not _MISSING)


_ORDER: list[tuple[Value, object, str]] = [
    # bound, value, how the value stands to the bound: < = > or nothing
    (9, 10, ">"),
    (10, 9, "<"),
    (10, 10.0, "="),
    (10.0, 10, "="),
    (10, "9", ""),
    (10, "10", ""),
    (10, True, ""),
    (0, False, ""),
    (0, True, ""),
    (10, None, ""),
    (10, _MISSING, ""),
    (10, [11], ""),
    (10, {"x": 11}, ""),
    (10, b"11", ""),
    (10, _NEW_YEAR, ""),
    (10, "2026-01-01", ""),
    (2**53, 2**53 + 1, ">"),
    (float(2**53), 2**53 + 1, ">"),
    (2**53 + 1, float(2**53), "<"),
    (float(2**63), 2**63 - 1, "<"),
    (-0.0, 0, "="),
    (_NEW_YEAR, _NEW_YEAR + timedelta(microseconds=1), ">"),
    (_NEW_YEAR, _NEW_YEAR, "="),
    (_NEW_YEAR, "2026-01-01", "="),
    (_NEW_YEAR, "2026-01-01T00:00:00", "="),
    (_NEW_YEAR, "2026-01-01T01:00:00+01:00", "="),
    (_NEW_YEAR, "2025-12-31T23:59:59.999999999Z", "<"),
    (_NEW_YEAR, "2026-01-02", ">"),
    (_NEW_YEAR, "2026-13-01", ""),
    (_NEW_YEAR, "tomorrow", ""),
    (_NEW_YEAR, 1_767_225_600, ""),
    (_NEW_YEAR, None, ""),
    (_NEW_YEAR, _MISSING, ""),
    (_NEW_YEAR, [_NEW_YEAR], ""),
    ("2026-01-01", _NEW_YEAR, "="),
    ("2026-01-01", "2026-01-01T00:00:00.000000001Z", ">"),
    ("2026-01-01T00:00:00-05:00", "2026-01-01T05:00:00Z", "="),
    ("2026-01-01", "2026-01-01 ", ""),
    ("2026-01-01", 5, ""),
]


@pytest.mark.parametrize(("bound", "value", "stands"), _ORDER)
def test_gt_gte_lt_lte(bound: Value, value: object, stands: str) -> None:
    assert holds(Op.GT, bound, value) is (stands == ">")
    assert holds(Op.GTE, bound, value) is (stands in (">", "="))
    assert holds(Op.LT, bound, value) is (stands == "<")
    assert holds(Op.LTE, bound, value) is (stands in ("<", "="))


_TABLE: list[tuple[Op, Value, object, bool]] = [
    (Op.IN, [], 1, False),
    (Op.IN, [], None, False),
    (Op.IN, [], _MISSING, False),
    (Op.NOT_IN, [], 1, True),
    (Op.NOT_IN, [], _MISSING, True),
    (Op.NOT_IN, [1], _MISSING, True),
    (Op.NOT_IN, [None], _MISSING, False),
    (Op.IN, [None], _MISSING, True),
    (Op.IN, [["a"]], ["a"], True),
    (Op.IN, ["a"], ["a"], False),
    (Op.CONTAINS, "a", ["b", "a"], True),
    (Op.CONTAINS, "a", ["A"], False),
    (Op.CONTAINS, "a", "a", False),
    (Op.CONTAINS, "a", "bab", False),
    (Op.CONTAINS, "a", {"a": 1}, False),
    (Op.CONTAINS, "a", [], False),
    (Op.CONTAINS, "a", [["a"]], False),
    (Op.CONTAINS, None, [None], True),
    (Op.CONTAINS, None, [], False),
    (Op.CONTAINS, None, None, False),
    (Op.CONTAINS, None, _MISSING, False),
    (Op.CONTAINS, 1, [1.0], True),
    (Op.CONTAINS, 1, [True], False),
    (Op.CONTAINS, 1, ["1"], False),
    (Op.CONTAINS, {"x": 1}, [{"x": 1.0}], True),
    (Op.CONTAINS_ANY, ["a", "b"], ["b", "c"], True),
    (Op.CONTAINS_ANY, ["a", "b"], ["c"], False),
    (Op.CONTAINS_ANY, [], ["a"], False),
    (Op.CONTAINS_ANY, [["a"]], [["a"], "b"], True),
    (Op.CONTAINS_ANY, ["a"], "a", False),
    (Op.CONTAINS_ANY, ["a"], _MISSING, False),
    (Op.CONTAINS_ALL, ["a", "b"], ["b", "c", "a"], True),
    (Op.CONTAINS_ALL, ["a", "b"], ["b"], False),
    (Op.CONTAINS_ALL, ["a", "a"], ["a"], True),
    (Op.CONTAINS_ALL, [], ["a"], True),
    (Op.CONTAINS_ALL, [], [], True),
    (Op.CONTAINS_ALL, [], None, False),
    (Op.CONTAINS_ALL, [], _MISSING, False),
    (Op.CONTAINS_ALL, ["a"], "a", False),
    (Op.STARTS_WITH, "tea", "tea time", True),
    (Op.STARTS_WITH, "tea", "tea", True),
    (Op.STARTS_WITH, "tea", "Tea", False),
    (Op.STARTS_WITH, "tea", "green tea", False),
    (Op.STARTS_WITH, "", "", True),
    (Op.STARTS_WITH, "", None, False),
    (Op.STARTS_WITH, "", _MISSING, False),
    (Op.STARTS_WITH, "%", "100", False),
    (Op.STARTS_WITH, "t_a", "tea", False),
    (Op.STARTS_WITH, "1", 10, False),
    (Op.STARTS_WITH, "a", ["a"], False),
    (Op.STARTS_WITH, "a", b"a", False),
    (Op.EXISTS, None, 0, True),
    (Op.EXISTS, None, None, True),
    (Op.EXISTS, None, _MISSING, False),
    (Op.EXISTS, True, "", True),
    (Op.EXISTS, False, None, False),
    (Op.EXISTS, False, _MISSING, True),
    (Op.IS_NULL, None, None, True),
    (Op.IS_NULL, None, _MISSING, True),
    (Op.IS_NULL, None, 0, False),
    (Op.IS_NULL, True, [], False),
    (Op.IS_NULL, False, {}, True),
    (Op.IS_NULL, False, None, False),
    (Op.IS_NULL, False, _MISSING, False),
]


@pytest.mark.parametrize(("op", "operand", "value", "result"), _TABLE)
def test_the_others(op: Op, operand: Value, value: object, result: bool) -> None:
    assert holds(op, operand, value) is result


_FIELDS: Fields = {
    "a": {"b": {"c": 1, "null": None}, "x.y": 2},
    "a.b": "flat",
    "list": [{"b": 1}],
    "text": "abc",
    "null": None,
    "@importance": 0.5,
}


@pytest.mark.parametrize(
    ("path", "operand"),
    [
        (("a", "b", "c"), 1),
        (("a", "x.y"), 2),
        (("a.b",), "flat"),
        (("a", "b"), {"c": 1, "null": None}),
        (("@importance",), 0.5),
        (("a", "b", "null"), None),
    ],
)
def test_paths_lead_into_maps(path: tuple[str, ...], operand: Value) -> None:
    assert compile_filter(Condition(path, Op.EQ, operand))(_FIELDS)
    assert compile_filter(Condition(path, Op.EXISTS))(_FIELDS)


@pytest.mark.parametrize(
    "path",
    [
        ("a", "b.c"),
        ("a.b", "c"),
        ("a.b.c",),
        ("a", "x", "y"),
        ("list", "b"),
        ("list", "0"),
        ("text", "x"),
        ("null", "x"),
        ("A",),
        ("b",),
        ("importance",),
    ],
)
def test_field_6_paths_that_lead_nowhere_are_missing(path: tuple[str, ...]) -> None:
    assert not compile_filter(Condition(path, Op.EXISTS))(_FIELDS)
    assert compile_filter(Condition(path, Op.IS_NULL))(_FIELDS)
    assert compile_filter(Condition(path, Op.NE, 1))(_FIELDS)
    assert compile_filter(Condition(path, Op.NOT_IN, [1, 2]))(_FIELDS)
    for op in (Op.GT, Op.GTE, Op.LT, Op.LTE):
        assert not compile_filter(Condition(path, op, 1))(_FIELDS)


_YES, _NO = Condition(("yes",), Op.EXISTS), Condition(("no",), Op.EXISTS)


@pytest.mark.parametrize(
    ("tree", "result"),
    [
        (All(()), True),
        (AnyOf(()), False),
        (All((_YES,)), True),
        (All((_YES, _NO)), False),
        (All((_NO, _YES)), False),
        (AnyOf((_NO, _YES)), True),
        (AnyOf((_NO, _NO)), False),
        (Negation(_YES), False),
        (Negation(_NO), True),
        (Negation(Negation(_YES)), True),
        (Negation(All((_YES, _NO))), True),
        (Negation(AnyOf((_NO, _NO))), True),
        (All((AnyOf((_NO, _YES)), Negation(_NO))), True),
    ],
)
def test_trees(tree: Filter, result: bool) -> None:
    assert compile_filter(tree)({"yes": None}) is result


def test_field_1_two_bounds_both_count() -> None:
    both = All((Condition(("n",), Op.GTE, 3), Condition(("n",), Op.LT, 5)))
    assert [n for n in range(10) if compile_filter(both)({"n": n})] == [3, 4]


@pytest.mark.parametrize("op", [Op.GT, Op.GTE, Op.LT, Op.LTE])
@pytest.mark.parametrize(
    "operand", [None, True, "", "tomorrow", "10", "2026-02-30", b"", [], [1], {}]
)
def test_bounds_are_numbers_or_instants(op: Op, operand: Value) -> None:
    assert problem(Condition(("v",), op, operand)) is not None


@pytest.mark.parametrize(
    ("op", "operand"),
    [
        (Op.IN, 1),
        (Op.IN, None),
        (Op.IN, "abc"),
        (Op.IN, {}),
        (Op.NOT_IN, "abc"),
        (Op.CONTAINS_ANY, "abc"),
        (Op.CONTAINS_ALL, 1),
        (Op.IN, [0] * 1001),
        (Op.CONTAINS, ["a"]),
        (Op.STARTS_WITH, 1),
        (Op.STARTS_WITH, None),
        (Op.STARTS_WITH, b"a"),
        (Op.EXISTS, 1),
        (Op.EXISTS, "true"),
        (Op.IS_NULL, 0),
    ],
)
def test_operands_that_are_refused(op: Op, operand: Value) -> None:
    assert problem(Condition(("v",), op, operand)) is not None


def test_a_thousand_operands_are_fine() -> None:
    assert problem(Condition(("v",), Op.IN, [0] * 1000)) is None


@given(filters(), fields())
def test_negation_turns_everything_round(tree: Filter, some: dict[str, Value]) -> None:
    assert all(problem(condition) is None for condition in conditions(tree))
    assert compile_filter(Negation(tree))(some) is not compile_filter(tree)(some)


@given(st.lists(filters(depth=3), max_size=4), fields())
def test_de_morgan(trees: list[Filter], some: dict[str, Value]) -> None:
    parts = tuple(trees)
    left = Negation(All(parts))
    right = AnyOf(tuple(map(Negation, parts)))
    assert compile_filter(left)(some) is compile_filter(right)(some)


@given(fields())
def test_values_equal_themselves_and_identity_is_stricter(some: dict[str, Value]) -> None:
    assert equal(some, some)
    assert identical(some, some)
    for left in some.values():
        for right in some.values():
            assert equal(left, right) is equal(right, left)
            assert equal(left, right) or not identical(left, right)


@pytest.mark.parametrize(
    ("left", "right"), [(1, 1.0), (0.0, -0.0), ([1], [1.0]), ({"a": 0.0}, {"a": -0.0})]
)
def test_equal_is_not_identical(left: Value, right: Value) -> None:
    assert equal(left, right)
    assert not identical(left, right)
