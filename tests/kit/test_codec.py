"""Fields and namespaces come back as they were encoded, and namespaces sort as their labels do."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memplane_adapters.conformance.strategies import VALUES, fields
from memplane_adapters.contract import Value, identical
from memplane_adapters.kit import codec


@given(fields())
def test_fields_survive_the_codec(some: dict[str, Value]) -> None:
    assert identical(codec.decode_fields(codec.encode_fields(some)), some)


@pytest.mark.parametrize(
    "value",
    [
        *VALUES,
        -0.0,
        1e16,
        5e-324,
        2**63 - 1,
        "\0",
        "\u2028",
        b"\0" * 100,
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
        {"$time": {"$time": datetime(2026, 1, 1, tzinfo=UTC)}, "$": b"", "": None},
        [[[[[{"a": [{"$bytes": "x"}]}]]]]],
    ],
    ids=repr,
)
def test_each_value_survives_the_codec(value: Value) -> None:
    some = {"v": value, "$v": [value], "m": {"$bytes": value}}
    assert identical(codec.decode_fields(codec.encode_fields(some)), some)


_labels = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=4
)
_places = st.lists(_labels, max_size=4).map(tuple)


@given(_places, _places)
def test_namespaces_sort_as_their_labels_do(left: tuple[str, ...], right: tuple[str, ...]) -> None:
    assert codec.decode_namespace(codec.encode_namespace(left)) == left
    first, second = codec.encode_namespace(left), codec.encode_namespace(right)
    assert (first < second, first == second) == (left < right, left == right)


@given(_places, _places.filter(bool))
def test_a_prefix_of_labels_is_a_range(place: tuple[str, ...], prefix: tuple[str, ...]) -> None:
    for one in (place, prefix + place, (prefix[0] + "x", *place)):
        start = codec.encode_namespace(prefix)
        inside = start <= codec.encode_namespace(one) < codec.after_prefix(start)
        assert inside == (one[: len(prefix)] == prefix)
