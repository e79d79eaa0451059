"""Python values and vectors to messages and back."""

from __future__ import annotations

import math
import struct
import uuid
from array import array
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memplane import InvalidArgument, Kind
from memplane._values import (
    duration,
    from_value,
    moment_of,
    number,
    text,
    timestamp,
    to_map,
    to_value,
)
from memplane._vectors import from_bytes, to_bytes
from memplane.v1 import value_pb2

INTS = st.integers(-(2**63), 2**63 - 1)
OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
NAIVE = datetime(1, 1, 3)  # noqa: DTZ001 (the mistake under test)
MOMENTS = st.datetimes(NAIVE, NAIVE.replace(9999, 12, 29), timezones=OFFSETS)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    INTS,
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
    MOMENTS,
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4)
)


def same(left: Any, right: Any) -> bool:
    """Equal in type too, and in the sign of zero."""
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, float):
        return isinstance(right, float) and struct.pack("d", left) == struct.pack("d", right)
    return type(left) is type(right) and left == right


def there_and_back(value: Any) -> Any:
    wire = to_value(value, "value").SerializeToString()
    return from_value(value_pb2.Value.FromString(wire))


@given(VALUES)
def test_any_value_comes_back_as_it_went(value: Any) -> None:
    assert same(value, there_and_back(value))


@pytest.mark.parametrize(
    "value",
    [
        -(2**63), 2**63 - 1, 2**53 + 1, 0, -0.0, 0.0, 5e-324, 1.7976931348623157e308, True, False, None,
        "", "\0", "é", "e\u0301", "\U0001f600", b"", b"\0\xff", [], {}, [[]], {"": {}}, {"a.b": 1},
        datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
    ],
)  # fmt: skip
def test_extremes(value: Any) -> None:
    assert same(value, there_and_back(value))


def test_a_tuple_is_a_list_and_an_enum_of_strings_a_string() -> None:
    assert there_and_back((1, (2,))) == [1, [2]]
    assert there_and_back(Kind.SEMANTIC) == "semantic"
    assert there_and_back(np.float64(0.1)) == 0.1
    assert there_and_back(bytearray(b"a")) == there_and_back(memoryview(b"a")) == b"a"


@pytest.mark.parametrize(
    ("value", "path", "says"),
    [
        (2**63, "value", "2^63"),
        ({"a": [0, -(2**63) - 1]}, "value['a'][1]", "2^63"),
        ([math.nan], "value[0]", "NaN"),
        ({"x": math.inf}, "value['x']", "infinity"),
        ({"a": {"b": "x\ud800"}}, "value['a']['b']", "position 1"),
        ({"\udfff": 1}, "a name in value", "surrogate"),
        ({1: 2}, "a name in value", "must be a str, not int"),
        (NAIVE, "value", "time zone"),
        (date(2026, 1, 1), "value", "aware datetime"),
        ({1, 2}, "value", "list"),
        (Decimal(1), "value", "str"),
        (uuid.uuid4(), "value", "a uuid.UUID cannot be stored; give its str()"),
        (np.int64(1), "value", ".item()"),
        (np.zeros(2), "value", ".tolist()"),
        (object(), "value", "an object cannot be stored"),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "value", "years 1 to 9999"),
    ],
)
def test_what_has_no_place_is_refused_with_its_path(value: Any, path: str, says: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        to_value(value, "value")
    (violation,) = caught.value.violations
    assert violation.field == path
    assert says in violation.description
    assert isinstance(caught.value, ValueError)


def test_depth() -> None:
    value: Any = []
    for _ in range(31):
        value = [value]
    assert there_and_back(value) == value
    with pytest.raises(InvalidArgument, match="deeper than 32"):
        to_value([value], "value")
    value = []
    value.append(value)
    with pytest.raises(InvalidArgument, match="deeper than 32"):
        to_value(value, "value")


@given(MOMENTS)
def test_instants_are_exact(moment: datetime) -> None:
    stamp = timestamp(moment, "t")
    assert 0 <= stamp.nanos < 1_000_000_000
    assert moment_of(stamp) == moment
    assert moment_of(stamp).tzinfo is UTC


@given(st.timedeltas())
def test_durations_are_exact(length: timedelta) -> None:
    if abs(length) > timedelta(seconds=315_576_000_000):
        with pytest.raises(InvalidArgument):
            duration(length, "ttl")
        return
    message = duration(length, "ttl")
    assert timedelta(seconds=message.seconds, microseconds=message.nanos // 1000) == length
    assert message.seconds * message.nanos >= 0


@pytest.mark.parametrize("length", [math.nan, math.inf, 1e300, "1", True, None])
def test_what_is_no_duration(length: Any) -> None:
    with pytest.raises(InvalidArgument):
        duration(length, "ttl")


def test_scalars_are_not_taken_for_one_another() -> None:
    for wrong in (True, "1", None, math.nan, 10**400):
        with pytest.raises(InvalidArgument):
            number(wrong, "x")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="x: must be a str, not bytes"):
        text(b"", "x")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="attributes: must be a mapping, not list"):
        to_map([], "attributes")  # type: ignore[arg-type]


# --- vectors ----------------------------------------------------------------------------------

FLOATS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1)


@given(FLOATS)
def test_all_forms_of_a_vector_are_the_same(numbers: list[float]) -> None:
    packed = struct.pack(f"<{len(numbers)}f", *numbers)
    forms: list[Any] = [
        numbers,
        tuple(numbers),
        array("f", numbers),
        array("d", numbers),
        np.array(numbers, dtype="float32"),
        np.array(numbers, dtype="float64"),
        np.array(numbers, dtype=">f4"),
        np.repeat(np.array(numbers, dtype="float32"), 2)[::2],
        packed,
        bytearray(packed),
        memoryview(packed),
    ]
    for form in forms:
        assert to_bytes(form, "vector") == packed, form
    assert from_bytes(packed) == array("f", numbers)


def test_no_vector_comes_back_as_none() -> None:
    assert from_bytes(b"") is None


def test_half_floats_and_integers_are_numbers_too() -> None:
    assert to_bytes(np.array([1, 2], dtype="float16"), "vector") == struct.pack("<2f", 1, 2)
    assert to_bytes(np.array([1, 2]), "vector") == struct.pack("<2f", 1, 2)
    assert to_bytes([1, 2], "vector") == struct.pack("<2f", 1, 2)


@pytest.mark.parametrize(
    ("vector", "says"),
    [
        ([], "empty"),
        (b"", "empty"),
        (np.zeros(0, dtype="float32"), "empty"),
        (b"abc", "multiple of 4"),
        (np.zeros((1, 2)), "dimensions"),
        ([math.nan], "NaN"),
        ([math.inf, -math.inf], "infinity"),
        ([1e39], "too large"),
        ("abc", "str"),
        (["a"], "no sequence of numbers"),
        ({0: 1.0}, "dict"),
        (3.0, "float"),
    ],
)
def test_what_is_no_vector(vector: Any, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        to_bytes(vector, "vector")
