"""Filters in five kinds of node, which is all that an adapter over typed names has to translate.

A store that translates them declares PUSHED, `scalar_operands` and `float_ranges`; the gateway's
planner then sees to it that operands are scalars and that no bound is taken for exact that is not.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from memplane_adapters.contract import (
    All,
    Condition,
    Filter,
    Negation,
    Op,
    Pushdown,
    StoreError,
    StoreReason,
    Value,
    instant,
)
from memplane_adapters.kit import typed

PUSHED: Mapping[Op, Pushdown] = MappingProxyType(
    {op: Pushdown.EXACT for op in Op if op is not Op.STARTS_WITH}
)
"""What a store that translates expressions declares as `Capabilities.filters`."""

Comparison: TypeAlias = Literal["gt", "gte", "lt", "lte"]


@dataclass(frozen=True, slots=True)
class Has:
    """The row holds one of these tokens, of which there is at least one."""

    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """What stands at a path is a number (or instant) and compares so with the bound.

    Rows without a number (an instant) there do not match.
    """

    sort: Literal["number", "instant"]
    path: tuple[str, ...]
    comparison: Comparison
    bound: float

    @property
    def name(self) -> str:
        """The path as `typed.indexed` names it."""
        return typed.path_name(self.path)


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds; without parts always."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class OneOf:
    """Some part holds; without parts never."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Expression


Expression: TypeAlias = Has | Range | AllOf | OneOf | Not

ALWAYS: Final = AllOf(())
NEVER: Final = OneOf(())


def express(tree: Filter) -> Expression:
    """A filter as an expression. Raises UNSUPPORTED for what is not PUSHED or compares with a list."""
    if isinstance(tree, Condition):
        if tree.op not in _BY_OP:
            raise StoreError(StoreReason.UNSUPPORTED, f"the filter operator {tree.op} is not taken")
        return _BY_OP[tree.op](tree.path, tree.operand)
    if isinstance(tree, Negation):
        return Not(express(tree.part))
    parts = tuple(express(part) for part in tree.parts)
    return AllOf(parts) if isinstance(tree, All) else OneOf(parts)


def negations_at_tokens(expression: Expression) -> Expression:
    """The same, by De Morgan's laws, with negations only directly above Has.

    What is not in a range is in the range's complement, or no number (no instant) at all.
    """
    if isinstance(expression, Not):
        return _negated(expression.part)
    if isinstance(expression, AllOf):
        return AllOf(tuple(map(negations_at_tokens, expression.parts)))
    if isinstance(expression, OneOf):
        return OneOf(tuple(map(negations_at_tokens, expression.parts)))
    return expression


_COMPLEMENT: Final[dict[Comparison, Comparison]] = {
    "gt": "lte",
    "gte": "lt",
    "lt": "gte",
    "lte": "gt",
}
_LETTER: Final = {"number": typed.NUMBER, "instant": typed.INSTANT}


def _negated(expression: Expression) -> Expression:
    if isinstance(expression, Not):
        return negations_at_tokens(expression.part)
    if isinstance(expression, AllOf):
        return OneOf(tuple(map(_negated, expression.parts)))
    if isinstance(expression, OneOf):
        return AllOf(tuple(map(_negated, expression.parts)))
    if isinstance(expression, Has):
        return Not(expression)
    other = Range(
        expression.sort,
        expression.path,
        _COMPLEMENT[expression.comparison],
        expression.bound,
    )
    return OneOf((Not(Has((typed.has_type(expression.path, _LETTER[other.sort]),))), other))


def simplified(expression: Expression) -> Expression:
    """The same, flat, with ALWAYS and NEVER nowhere but at the top and no node of a single part."""
    if isinstance(expression, Not):
        part = simplified(expression.part)
        if part == ALWAYS:
            return NEVER
        return ALWAYS if part == NEVER else Not(part)
    if isinstance(expression, AllOf):
        return _joined(AllOf, expression.parts, neutral=ALWAYS, decisive=NEVER)
    if isinstance(expression, OneOf):
        return _joined(OneOf, expression.parts, neutral=NEVER, decisive=ALWAYS)
    return expression


def _joined(
    join: type[AllOf | OneOf],
    parts: Sequence[Expression],
    *,
    neutral: Expression,
    decisive: Expression,
) -> Expression:
    kept: list[Expression] = []
    for part in map(simplified, parts):
        if part == decisive:
            return decisive
        if part != neutral:
            kept += part.parts if isinstance(part, join) else (part,)
    return kept[0] if len(kept) == 1 else join(tuple(kept))


_Path: TypeAlias = tuple[str, ...]


def _scalar(operand: Value) -> typed.Scalar:
    if isinstance(operand, list | dict):
        raise StoreError(StoreReason.UNSUPPORTED, "the operand of a filter is a list or a map")
    return operand


def _equals(path: _Path, operand: Value) -> Expression:
    has = Has((typed.equals(path, _scalar(operand)),))
    return OneOf((Not(Has((typed.present(path),))), has)) if operand is None else has


def _is_in(path: _Path, operand: Value) -> Expression:
    assert isinstance(operand, list)
    scalars = [_scalar(item) for item in operand]
    if not scalars:
        return NEVER
    has = Has(tuple(dict.fromkeys(typed.equals(path, scalar) for scalar in scalars)))
    return OneOf((Not(Has((typed.present(path),))), has)) if None in scalars else has


def _contains_any(path: _Path, operand: Value) -> Expression:
    assert isinstance(operand, list)
    if not operand:
        return NEVER
    return Has(tuple(dict.fromkeys(typed.holds(path, _scalar(item)) for item in operand)))


def _contains_all(path: _Path, operand: Value) -> Expression:
    assert isinstance(operand, list)
    if not operand:
        return Has((typed.has_type(path, typed.LIST),))
    held = dict.fromkeys(typed.holds(path, _scalar(item)) for item in operand)
    return AllOf(tuple(Has((token,)) for token in held))


def _range(comparison: Comparison) -> Callable[[_Path, Value], Expression]:
    def make(path: _Path, operand: Value) -> Expression:
        if isinstance(operand, int | float):
            return Range("number", path, comparison, float(operand))
        nanos = instant(operand)
        assert nanos is not None, "a valid bound"
        return Range("instant", path, comparison, float(typed.half_micros(nanos)))

    return make


def _exists(path: _Path, operand: Value) -> Expression:
    there = Has((typed.present(path),))
    return Not(there) if operand is False else there


def _is_null(path: _Path, operand: Value) -> Expression:
    null = _equals(path, None)
    return Not(null) if operand is False else null


_BY_OP: Final[dict[Op, Callable[[_Path, Value], Expression]]] = {
    Op.EQ: _equals,
    Op.NE: lambda path, operand: Not(_equals(path, operand)),
    Op.GT: _range("gt"),
    Op.GTE: _range("gte"),
    Op.LT: _range("lt"),
    Op.LTE: _range("lte"),
    Op.IN: _is_in,
    Op.NOT_IN: lambda path, operand: Not(_is_in(path, operand)),
    Op.CONTAINS: lambda path, operand: Has((typed.holds(path, _scalar(operand)),)),
    Op.CONTAINS_ANY: _contains_any,
    Op.CONTAINS_ALL: _contains_all,
    Op.EXISTS: _exists,
    Op.IS_NULL: _is_null,
}


def tokens_of(
    expression: Expression, of_range: Callable[[Range], Iterable[str]] = lambda _: ()
) -> Iterator[str]:
    """Every token that is looked for; `of_range` says which a range looks for besides."""
    if isinstance(expression, Has):
        yield from expression.tokens
    elif isinstance(expression, Not):
        yield from tokens_of(expression.part, of_range)
    elif isinstance(expression, Range):
        yield from of_range(expression)
    else:
        for part in expression.parts:
            yield from tokens_of(part, of_range)


_COMPARE: Final[Mapping[Comparison, Callable[[float, float], bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def judged(
    expression: Expression, held: frozenset[str], value_of: Callable[[Range], float | None]
) -> bool:
    """Whether a row of these tokens matches; `value_of` is what it holds for a range, None: nothing."""
    if isinstance(expression, Has):
        return not held.isdisjoint(expression.tokens)
    if isinstance(expression, Not):
        return not judged(expression.part, held, value_of)
    if isinstance(expression, Range):
        value = value_of(expression)
        return value is not None and _COMPARE[expression.comparison](value, expression.bound)
    judge = all if isinstance(expression, AllOf) else any
    return judge(judged(part, held, value_of) for part in expression.parts)
