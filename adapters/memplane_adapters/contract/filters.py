"""Filters as a typed tree, and the one reference evaluator of what they mean.

The truth table is section 4 of the design: two-valued logic, typed comparison, missing is null.
The evaluator serves the gateway's residual, the embedded store and the oracle of the conformance
suite; where an adapter disagrees with it, the adapter is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from memplane_adapters.contract.values import Fields, Value, equal, instant

MAX_DEPTH = 8
MAX_CONDITIONS = 64
MAX_OPERANDS = 1000

EXACT_FLOAT = 2**53
"""Below it every whole number is a 64-bit float."""


class Op(StrEnum):
    """An operator of a condition."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    NOT_IN = "not_in"
    CONTAINS = "contains"
    CONTAINS_ANY = "contains_any"
    CONTAINS_ALL = "contains_all"
    STARTS_WITH = "starts_with"
    EXISTS = "exists"
    IS_NULL = "is_null"


@dataclass(frozen=True, slots=True)
class Condition:
    """What stands at `path` (names into attributes, or one "@" system field) against `operand`."""

    path: tuple[str, ...]
    op: Op
    operand: Value = None


@dataclass(frozen=True, slots=True)
class All:
    """Holds when every part holds; without parts it always does."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds when some part holds; without parts it never does."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """Holds when the part does not."""

    part: Filter


Filter: TypeAlias = Condition | All | AnyOf | Negation
Predicate: TypeAlias = Callable[[Fields], bool]


class _Missing:
    """What stands where nothing stands; equal to null, but it does not exist."""


_MISSING = _Missing()


def conditions(tree: Filter) -> Iterator[Condition]:
    """All conditions of a tree, from left to right."""
    if isinstance(tree, Condition):
        yield tree
    elif isinstance(tree, Negation):
        yield from conditions(tree.part)
    else:
        for part in tree.parts:
            yield from conditions(part)


def compile_filter(tree: Filter) -> Predicate:
    """A function that says whether fields match a tree. The tree must be valid (see `problem`)."""
    if isinstance(tree, Condition):
        return _compile_condition(tree)
    if isinstance(tree, Negation):
        inner = compile_filter(tree.part)
        return lambda fields: not inner(fields)
    parts = [compile_filter(part) for part in tree.parts]
    if isinstance(tree, All):
        return lambda fields: all(part(fields) for part in parts)
    return lambda fields: any(part(fields) for part in parts)


def is_rounded(bound: Value) -> bool:
    """Whether a bound of GT.. falls between the steps of a store that compares 64-bit floats.

    Whole numbers are its steps below 2**53. Instants are kept in half microseconds, rounded to odd
    ones when they lie between two microseconds; below 2**53 of these (the year 2112) whole
    microseconds are exact. Rounding keeps order, so that other bounds stay exact whatever is stored.
    """
    if isinstance(bound, int | float):
        return abs(bound) >= EXACT_FLOAT
    nanos = instant(bound)
    assert nanos is not None, "a valid bound"
    return nanos % 1000 != 0 or abs(nanos) >= EXACT_FLOAT * 500


def problem(condition: Condition) -> str | None:
    """What is wrong with a condition's operand, as a sentence, or None."""
    operand, op = condition.operand, condition.op
    if op in (Op.GT, Op.GTE, Op.LT, Op.LTE):
        if isinstance(operand, bool) or not (
            isinstance(operand, int | float) or instant(operand) is not None
        ):
            return "takes a number, a timestamp or an RFC 3339 date or date-time string"
    elif op in (Op.IN, Op.NOT_IN, Op.CONTAINS_ANY, Op.CONTAINS_ALL):
        if not isinstance(operand, list):
            return "takes a list"
        if len(operand) > MAX_OPERANDS:
            return f"takes a list of at most {MAX_OPERANDS}; this one has {len(operand)}"
    elif op is Op.CONTAINS:
        if isinstance(operand, list):
            return "takes one item, not a list; use contains_any or contains_all"
    elif op is Op.STARTS_WITH:
        if not isinstance(operand, str):
            return "takes a string"
    elif op in (Op.EXISTS, Op.IS_NULL) and not isinstance(operand, bool | None):
        return "takes a bool or nothing"
    return None


def _compile_condition(condition: Condition) -> Predicate:
    test = _TESTS[condition.op](condition.operand)
    first, *rest = condition.path
    if not rest:
        return lambda fields: test(fields.get(first, _MISSING))

    def walk(fields: Fields) -> bool:
        here: Value | _Missing = fields.get(first, _MISSING)
        for name in rest:
            if not isinstance(here, dict):
                return test(_MISSING)
            here = here.get(name, _MISSING)
        return test(here)

    return walk


_Test: TypeAlias = "Callable[[Value | _Missing], bool]"


def _equals(operand: Value) -> _Test:
    if operand is None:
        return lambda value: value is None or value is _MISSING
    if isinstance(operand, str):  # the common case, and str equals only str
        return lambda value: value == operand
    return lambda value: value is not _MISSING and equal(value, operand)  # type: ignore[arg-type]


def _is_in(operand: Value) -> _Test:
    assert isinstance(operand, list)
    members = _Members(operand)
    return members.has


def _negated(make: Callable[[Value], _Test]) -> Callable[[Value], _Test]:
    def negated(operand: Value) -> _Test:
        test = make(operand)
        return lambda value: not test(value)

    return negated


def _ordered(compare: Callable[[int | float, int | float], bool]) -> Callable[[Value], _Test]:
    def make(operand: Value) -> _Test:
        if isinstance(operand, int | float):
            number = operand
            return lambda value: (
                isinstance(value, int | float)
                and not isinstance(value, bool)
                and compare(value, number)
            )
        bound = instant(operand)
        assert bound is not None

        def test(value: Value | _Missing) -> bool:
            if value is _MISSING:
                return False
            moment = instant(value)  # type: ignore[arg-type]
            return moment is not None and compare(moment, bound)

        return test

    return make


def _contains(operand: Value) -> _Test:
    return lambda value: isinstance(value, list) and any(equal(item, operand) for item in value)


def _contains_any(operand: Value) -> _Test:
    assert isinstance(operand, list)
    wanted = _Members(operand)
    return lambda value: isinstance(value, list) and any(map(wanted.has_item, value))


def _contains_all(operand: Value) -> _Test:
    assert isinstance(operand, list)

    def test(value: Value | _Missing) -> bool:
        if not isinstance(value, list):
            return False
        there = _Members(value)
        return all(map(there.has_item, operand))

    return test


class _Members:
    """Items to look values up in: what can be hashed in one step, lists and maps one by one."""

    def __init__(self, items: list[Value]) -> None:
        self._hashed = {_hashable(item) for item in items if not isinstance(item, list | dict)}
        self._others = [item for item in items if isinstance(item, list | dict)]
        self._null = any(item is None for item in items)

    def has(self, value: Value | _Missing) -> bool:
        """Whether an item equals what stands in a field, where missing is null."""
        return self._null if isinstance(value, _Missing) else self.has_item(value)

    def has_item(self, value: Value) -> bool:
        """Whether an item equals a value."""
        if isinstance(value, list | dict):
            return any(equal(value, other) for other in self._others)
        return _hashable(value) in self._hashed


def _hashable(value: Value) -> object:
    """Equal for equal values: hashing alone takes True for 1."""
    return (bool, value) if isinstance(value, bool) else value


def _starts_with(operand: Value) -> _Test:
    assert isinstance(operand, str)
    return lambda value: isinstance(value, str) and value.startswith(operand)


def _exists(operand: Value) -> _Test:
    wanted = operand is not False
    return lambda value: (value is not _MISSING) is wanted


def _is_null(operand: Value) -> _Test:
    wanted = operand is not False
    return lambda value: (value is None or value is _MISSING) is wanted


_TESTS: dict[Op, Callable[[Value], _Test]] = {
    Op.EQ: _equals,
    Op.NE: _negated(_equals),
    Op.GT: _ordered(lambda value, bound: value > bound),
    Op.GTE: _ordered(lambda value, bound: value >= bound),
    Op.LT: _ordered(lambda value, bound: value < bound),
    Op.LTE: _ordered(lambda value, bound: value <= bound),
    Op.IN: _is_in,
    Op.NOT_IN: _negated(_is_in),
    Op.CONTAINS: _contains,
    Op.CONTAINS_ANY: _contains_any,
    Op.CONTAINS_ALL: _contains_all,
    Op.STARTS_WITH: _starts_with,
    Op.EXISTS: _exists,
    Op.IS_NULL: _is_null,
}
