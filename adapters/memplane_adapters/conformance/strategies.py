"""Hypothesis strategies for values, fields and filters, and rows to filter.

Shared by the suites of stores and of the gateway: the reference evaluator
(`memplane_adapters.contract.compile_filter`) is the oracle of both.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from memplane_adapters.contract import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    All,
    AnyOf,
    Condition,
    Filter,
    Negation,
    Op,
    Value,
    conditions,
)

T = TypeVar("T")

NUMBERS: tuple[int | float, ...] = (
    *(0, 1, -1, 9, 10, 11, 2**31, 2**53, 2**53 + 1, 2**63 - 2, 2**63 - 1, -(2**63)),
    *(0.0, -0.0, 1.0, 0.5, -1.5, 9.999, 10.0, 1e300, -5e-324, float(2**53), float(2**63)),
)
MOMENTS: tuple[datetime, ...] = (
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
)
DATES: tuple[str, ...] = (
    "2026-01-01",
    "2026-01-01T00:00:00",
    "2026-01-01T00:00:00Z",
    "2026-01-01T01:00:00+01:00",
    "2026-01-01T00:00:00.000001Z",
    "2025-12-31T23:59:59.999999999Z",
)
TEXTS: tuple[str, ...] = (
    *("", " ", "a", "A", "b", "10", "9", "true", "null", "not", "and", "near"),
    *("Verified", "Not Verified", "tea", "tea time", "green tea", "e\u0301", "\u00e9"),
    *("%", "_", "*", "a%", "a-b", "a/b", "a:b", "a.b", 'say "hi"', "it's", "\\", "$time"),
    *("日本語", "🙂", "שלום", "\u202eabc", "line\nbreak", "2026-13-01", "2026-01-01T25:00:00Z"),
)
BYTES: tuple[bytes, ...] = (b"", b"\0", b"\0\xff", b"10")
SCALARS: tuple[Value, ...] = (
    *(None, True, False),
    *NUMBERS,
    *MOMENTS,
    *DATES,
    *TEXTS,
    *BYTES,
)
LISTS: tuple[Value, ...] = (
    [],
    [[]],
    [None],
    [1],
    [1.0],
    [True],
    ["1"],
    [1, 2],
    [2, 1],
    ["a", "b"],
    ["b", "a", "a"],
    [["a"], "a"],
    [{}],
    [{"x": 1}, 10, "10", None],
)
MAPS: tuple[Value, ...] = (
    {},
    {"x": None},
    {"x": 1},
    {"x": 1.0},
    {"x": 1, "y": {"z": [1, "a"]}},
    {"$time": 5, "$$": "", "$bytes": "AA=="},
    {"x.y": 1},
)
VALUES: tuple[Value, ...] = (*SCALARS, *LISTS, *MAPS)

NAMES: tuple[str, ...] = ("a", "b", "n", "tags", "a.b", "$time", "日本", "@importance", "@pinned")
PATHS: tuple[tuple[str, ...], ...] = (
    *((name,) for name in NAMES),
    *(("m", "x"), ("m", "y"), ("m", "y", "z"), ("m", "x.y"), ("m",), ("a", "b"), ("tags", "x")),
    *(("absent",), ("absent", "x"), ("m", "absent")),
)


def population(rows: int = 60) -> list[dict[str, Value]]:
    """Fields of rows, always the same ones: every value, every type under the same name, gaps."""
    chance = random.Random(20260101)
    made: list[dict[str, Value]] = [{}]
    for number in range(1, rows):
        fields: dict[str, Value] = {"n": chance.choice(NUMBERS), "a": VALUES[number % len(VALUES)]}
        for name in NAMES:
            if chance.random() < 0.5:
                fields[name] = chance.choice(VALUES)
        if chance.random() < 0.6:
            fields["m"] = chance.choice(MAPS)
        if chance.random() < 0.5:
            fields["tags"] = chance.choice(LISTS)
        made.append(fields)
    return made


# Strategies are made once: to make one costs far more than to draw from it.

_texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6
) | st.sampled_from(TEXTS)
_integers = st.integers(-(2**63), 2**63 - 1)
_floats = st.floats(allow_nan=False, allow_infinity=False)
_moments = st.datetimes(timezones=st.just(UTC))
_known = st.sampled_from(VALUES)
_scalars: st.SearchStrategy[Value] = (
    st.sampled_from(SCALARS) | _integers | _floats | _texts | st.binary(max_size=4) | _moments
)
_values: st.SearchStrategy[Value] = st.one_of(
    _known,
    _known.map(lambda value: value),  # again, so that it comes more often
    _scalars,
    st.lists(_known | _scalars, max_size=3),
    st.dictionaries(_texts, _known | _scalars, max_size=3),
)


def values() -> st.SearchStrategy[Value]:
    """Any value, nested a little; mostly ones that the population holds."""
    return _values


@functools.cache
def fields() -> st.SearchStrategy[dict[str, Value]]:
    """Fields of a row."""
    return st.dictionaries(st.sampled_from(NAMES) | _texts, _values, max_size=6)


@functools.cache
def operands(op: Op) -> st.SearchStrategy[Value]:
    """Operands that an operator takes."""
    if op in (Op.GT, Op.GTE, Op.LT, Op.LTE):
        return st.sampled_from((*NUMBERS, *MOMENTS, *DATES)) | _integers | _floats | _moments
    if op in (Op.IN, Op.NOT_IN, Op.CONTAINS_ANY, Op.CONTAINS_ALL):
        return st.lists(_values, max_size=4).map(list)
    if op is Op.CONTAINS:
        return st.sampled_from((*SCALARS, *MAPS)) | _scalars
    if op is Op.STARTS_WITH:
        return st.sampled_from(TEXTS) | _texts
    if op in (Op.EXISTS, Op.IS_NULL):
        return st.sampled_from((None, True, False))
    return _values


def simple_conditions(ops: Sequence[Op] = tuple(Op)) -> st.SearchStrategy[Condition]:
    """Valid conditions."""
    return _conditions(tuple(ops))


def filters(ops: Sequence[Op] = tuple(Op), depth: int = MAX_DEPTH) -> st.SearchStrategy[Filter]:
    """Valid trees, up to the deepest that is allowed."""
    return _trees(tuple(ops), depth).filter(
        lambda tree: sum(1 for _ in conditions(tree)) <= MAX_CONDITIONS
    )


@functools.cache
def _conditions(ops: tuple[Op, ...]) -> st.SearchStrategy[Condition]:
    return st.sampled_from(ops).flatmap(_conditions_of)


# Not functools.cache: Hypothesis looks into the function when it describes what it drew.
_MADE: dict[Op, st.SearchStrategy[Condition]] = {}


def _conditions_of(op: Op) -> st.SearchStrategy[Condition]:
    if op not in _MADE:
        _MADE[op] = st.builds(Condition, st.sampled_from(PATHS), st.just(op), operands(op))
    return _MADE[op]


@functools.cache
def _trees(ops: tuple[Op, ...], depth: int) -> st.SearchStrategy[Filter]:
    if depth == 1:
        return _conditions(ops)
    inner = _trees(ops, depth - 1)
    parts = st.lists(inner, min_size=1, max_size=3).map(tuple)
    return st.one_of(_conditions(ops), inner.map(Negation), parts.map(All), parts.map(AnyOf))


def drawn(strategy: st.SearchStrategy[T], number: int, *, first: int = 0) -> list[T]:
    """Random values, the same in every run; another `first` makes others.

    For cases that send each value to a store: to find the smallest one that fails would take
    thousands of requests, and they say which one it was.
    """
    made: list[T] = []

    @seed(first)
    @settings(
        max_examples=number,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: T) -> None:
        made.append(value)

    collect()
    return made
