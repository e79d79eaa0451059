"""Both forms of filters become the same message, and what is no filter is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from memplane import EpisodeType, InvalidArgument, attr, fields
from memplane._filter_dicts import filter_message
from memplane.v1.filter_pb2 import Filter

T = datetime(2026, 1, 1, tzinfo=UTC)
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 (the mistake under test)


def message(given: Any) -> Filter:
    made = filter_message(given, "filter")
    assert made is not None
    return made


def shown(given: Any) -> str:
    return text_format.MessageToString(message(given), as_one_line=True)


@pytest.mark.parametrize(
    ("expression", "dictionary"),
    [
        (attr("topic") == "food", {"topic": "food"}),
        (attr("topic") == "food", {"topic": {"$eq": "food"}}),
        (attr("topic") != "food", {"topic": {"$ne": "food"}}),
        (attr("topic") == None, {"topic": None}),  # noqa: E711 (the form under test)
        ((attr("price") >= 3) & (attr("price") < 9), {"price": {"$gte": 3, "$lt": 9}}),
        (attr("price") > 3.5, {"price": {"$gt": 3.5}}),
        (attr("price") <= 3, {"price": {"$lte": 3}}),
        (attr("a", "b") == 1, {"a.b": 1}),
        (attr("a.b") == 1, {("a", "b"): 1}),
        (attr(["a.b"]) == 1, {("a.b",): 1}),
        (attr("a", ["b.c"]) == 1, {("a", "b.c"): 1}),
        (attr("x").is_in([1, "1", True]), {"x": {"$in": [1, "1", True]}}),
        (attr("x").is_in(()), {"x": {"$in": []}}),
        (attr("x").not_in([1]), {"x": {"$nin": [1]}}),
        (attr("x").not_in([1]), {"x": {"$not_in": (1,)}}),
        (attr("tags").contains("a"), {"tags": {"$contains": "a"}}),
        (attr("tags").contains_any(["a"]), {"tags": {"$contains_any": ["a"]}}),
        (attr("tags").contains_all({"a"}), {"tags": {"$contains_all": ["a"]}}),
        (attr("x").starts_with("a"), {"x": {"$starts_with": "a"}}),
        (attr("x").exists(), {"x": {"$exists": True}}),
        (attr("x").exists(False), {"x": {"$exists": False}}),
        (attr("x").is_null(), {"x": {"$is_null": True}}),
        (attr("tags") == ["a", "b"], {"tags": ["a", "b"]}),
        (attr("address") == {"city": "Paris"}, {"address": {"city": "Paris"}}),
        (attr("address") == {}, {"address": {}}),
        (attr("x") == {"$gte": 1}, {"x": {"$eq": {"$gte": 1}}}),
        ((attr("a") == 1) & (attr("b") == 2), {"a": 1, "b": 2}),
        ((attr("a") == 1) & (attr("b") == 2), {"$and": [{"a": 1}, {"b": 2}]}),
        ((attr("a") == 1) | (attr("b") == 2), {"$or": [{"a": 1}, {"b": 2}]}),
        (~(attr("a") == 1), {"$not": {"a": 1}}),
        (~(attr("a") > 1), {"a": {"$not": {"$gt": 1}}}),
        (
            (attr("a") == 1) & ((attr("b") == 2) | (attr("c") == 3)),
            {"a": 1, "$or": [{"b": 2}, {"c": 3}]},
        ),
        (fields.EVENT_TIME >= T, {"@event_time": {"$gte": T}}),
        (fields.EVENT_TIME >= "2026-01-01", {"@event_time": {"$gte": "2026-01-01"}}),
        (fields.EPISODE_TYPE == EpisodeType.ACTION, {"@episode_type": "action"}),
    ],
)  # fmt: skip
def test_both_forms_are_the_same(expression: Any, dictionary: Any) -> None:
    assert message(expression) == message(dictionary)


def test_what_a_message_looks_like() -> None:
    assert shown((attr("a", "b") >= 3) & ~attr("x").is_in(["y"])) == (
        'all { filters { condition { path: "a" path: "b" op: OP_GTE operand { int_value: 3 } } } '
        'filters { negation { condition { path: "x" op: OP_IN operand { list_value '
        '{ values { string_value: "y" } } } } } } }'
    )


def test_chains_stay_flat_and_double_negation_goes() -> None:
    a, b, c = (attr(name) == 1 for name in "abc")
    assert len(message(a & b & c).all.filters) == 3
    assert len(message(a | (b | c)).any.filters) == 3
    assert message(~~a) == message(a)


def test_no_filter() -> None:
    assert filter_message(None, "filter") is None
    assert filter_message({}, "filter") is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"a": {"$gtee": 1}}, r"did you mean \$gte\?"),
        ({"a": {"$GT": 1}}, r"did you mean \$gt\?"),
        ({"a": {"$regex": "x"}}, "no operator"),
        ({"$orr": []}, r"did you mean \$or\?"),
        ({"$gt": 1}, "below a name"),
        ({"a": {"$gte": 1, "b": 2}}, "mixes"),
        ({"$or": []}, "at least one"),
        ({"$or": {"a": 1}}, "list"),
        ({"$or": [{}]}, "empty"),
        ({"$and": ["a"]}, "dictionary"),
        ({"$not": {}}, "empty"),
        ({"a": {"$not": {"b": 1}}}, "operators"),
        ({1: 2}, "dotted string"),
        ({"": 2}, "empty name"),
        ({"a..b": 2}, "empty name"),
        ({"a": attr("b") == 1}, "mix"),
        ({"a": {"$in": "abc"}}, "takes a list"),
        ({"a": {"$in": list(range(1001))}}, "at most 1000"),
        ({"a": {"$gt": True}}, "number"),
        ({"a": {"$gt": None}}, "number"),
        ({"a": {"$gt": [1]}}, "number"),
        ({"a": {"$gt": date(2026, 1, 1)}}, "aware datetime"),
        ({"a": {"$gt": NAIVE}}, "time zone"),
        ({"a": NAIVE}, "time zone"),
        ({"a": {"$contains": ["x"]}}, "contains_any"),
        ({"a": {"$starts_with": 1}}, "str"),
        ({"a": {"$exists": 1}}, "bool"),
        ({"a": 2**63}, "2^63".replace("^", r"\^")),
        (attr("a"), "compare it"),
        ({"a": np.int64(1)}, r"give its \.item\(\)"),
        ({"a": {"$gt": np.int64(1)}}, r"takes a number.*give its \.item\(\)"),
        ({"a": {"$lte": np.float32(1)}}, r"takes a number.*give its \.item\(\)"),
        ({"a": {"$in": np.array([1, 2])}}, r"give its \.item\(\)"),
        ({"a": {"$in": [1, np.float32(1)]}}, r"give its \.item\(\)"),
        ({"a": {"$gt": Decimal(1)}}, "takes a number.*give a float"),
        (7, "is an int; give"),
        ("a == 1", "expression or a dictionary"),
        ([("a", 1)], "expression or a dictionary"),
    ],
)  # fmt: skip
def test_what_is_no_filter(given: Any, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        filter_message(given, "filter")


def test_limits() -> None:
    many = [{"a": i} for i in range(64)]
    message({"$or": many})
    with pytest.raises(InvalidArgument, match="65 conditions"):
        message({"$or": [*many, {"b": 1}]})

    deep: Any = attr("a") == 1
    for level in range(7):
        deep = (deep & (attr("b") == 1)) if level % 2 else (deep | (attr("b") == 1))
    message(deep)
    with pytest.raises(InvalidArgument, match="more than 8 deep"):
        message(~deep)
    with pytest.raises(InvalidArgument, match="16 at most"):
        attr(*"abcdefghijklmnopq")


def test_numbers_of_numpy_are_refused_with_advice_on_either_side() -> None:
    wrongs: list[Callable[[Any], object]] = [
        lambda number: attr("a") > number,
        lambda number: number < attr("a"),
        lambda number: number == attr("a"),
    ]
    for number in (np.int64(3), np.uint8(3), np.float32(3)):
        for wrong in wrongs:
            with pytest.raises(InvalidArgument, match=r"give its \.item\(\)"):
                wrong(number)
    assert message(np.float64(3) < attr("a")) == message(attr("a") > 3.0)


def test_a_method_that_is_not_there_is_refused_with_advice() -> None:
    a: Any = attr("a")
    for name, instead in (("startswith", "starts_with"), ("isin", "is_in"), ("isnull", "is_null")):
        with pytest.raises(AttributeError, match=rf"no {name}; write attr\(\.\.\.\)\.{instead}\("):
            getattr(a, name)
    with pytest.raises(AttributeError, match=r"no like; it has is_in, not_in, .*is_null, and =="):
        a.like("x%")
    assert not hasattr(a, "item")
    assert message(copy.deepcopy(a) == 1) == message(a == 1)


def test_python_s_own_logic_is_refused_with_advice() -> None:
    a, b = attr("a"), attr("b")
    for wrong in (
        lambda: (a == 1) and (b == 1),
        lambda: not (a == 1),  # noqa: SIM201 (the form under test)
        lambda: 1 < a < 3,
        lambda: a in [1, 2],
        lambda: bool(a),
        lambda: 1 in a,
    ):
        with pytest.raises(TypeError, match=r"&|compare it|contains"):
            wrong()
    with pytest.raises(TypeError):
        (a == 1) & True  # type: ignore[operator]
    with pytest.raises(TypeError):
        hash(a)
    with pytest.raises(InvalidArgument, match="not with an attribute"):
        a == b  # noqa: B015 (raises)
    with pytest.raises(InvalidArgument, match="empty name"):
        attr()
    with pytest.raises(InvalidArgument, match="must be a str"):
        attr(1)  # type: ignore[arg-type]
