"""What each operator means, by hand: the truth table of the contract, without the oracle."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from memplane import (
    AsyncClient,
    AsyncScope,
    Episode,
    InvalidArgument,
    Kind,
    Put,
    attr,
    fields,
)
from memplane.v1 import filter_pb2, search_pb2, value_pb2
from memplane.v1 import memory_service_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.fixtures import fresh_label
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    EVERY_STORE,
    KIND_NUMBERS,
    ON_THE_SESSION_LOOP,
    at,
    keys_listed,
    keys_recent,
    put_all,
    refused,
    string_value,
)

pytestmark = ON_THE_SESSION_LOOP

V: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "0": 0,
    "1": 1,
    "1.0": 1.0,
    "9": 9,
    "10": 10,
    "10.0": 10.0,
    "'10'": "10",
    "'9'": "9",
    "''": "",
    "'a'": "a",
    "'ab'": "ab",
    "'A'": "A",
    "b''": b"",
    "b'10'": b"10",
    "date": "2024-05-17",
    "noon": at(0),
    "'noon'": "2024-05-17T14:00:00+02:00",
    "[]": [],
    "[1]": [1],
    "[1.0,'a']": [1.0, "a"],
    "['a',1]": ["a", 1],
    "[null]": [None],
    "[[1]]": [[1]],
    "{}": {},
    "{x:1}": {"x": 1},
    "{x:null}": {"x": None},
    "2^53": 2**53,
    "2^53+1": 2**53 + 1,
    "2.0^53": 2.0**53,
    "max": 2**63 - 1,
}
ALL = [*V, "missing"]
v = attr("v")


def but(*names: str) -> list[str]:
    return [name for name in ALL if name not in names]


NUMBERS = ("0", "1", "1.0", "9", "10", "10.0", "2^53", "2^53+1", "2.0^53", "max")
INSTANTS = ("date", "noon", "'noon'")

TRUTH: list[tuple[Any, list[str]]] = [
    # EQ and NE are typed; numbers meet by value; null is missing.
    (v == 1, ["1", "1.0"]),
    (v == 1.0, ["1", "1.0"]),
    (v == True, ["true"]),  # noqa: E712
    (v == 0, ["0"]),
    (v == -0.0, ["0"]),
    (v == "10", ["'10'"]),
    (v == b"10", ["b'10'"]),
    (v == "", ["''"]),
    (v == b"", ["b''"]),
    (v == "A", ["'A'"]),
    (v == None, ["null", "missing"]),  # noqa: E711
    (v != None, but("null", "missing")),  # noqa: E711
    (v != 1, but("1", "1.0")),
    (v != "a", but("'a'")),
    (v == 2**53, ["2^53", "2.0^53"]),
    (v == 2**53 + 1, ["2^53+1"]),
    (v == 2.0**53, ["2^53", "2.0^53"]),
    (v == 2**63 - 1, ["max"]),
    (v == 2.0**63, []),
    # An instant is no string.
    (v == at(0), ["noon"]),
    (v == "2024-05-17T12:00:00Z", []),
    # Lists and maps are equal as a whole, items typed.
    (v == [], ["[]"]),
    (v == [1], ["[1]"]),
    (v == [1.0], ["[1]"]),
    (v == [1, "a"], ["[1.0,'a']"]),
    (v == ["a"], []),
    (v == [True], []),
    (v == {}, ["{}"]),
    (v == {"x": 1.0}, ["{x:1}"]),
    (v == {"x": None}, ["{x:null}"]),
    # Ordered: numbers with numbers, instants with instants and such strings; nothing else, ever.
    (v >= 10, ["10", "10.0", "2^53", "2^53+1", "2.0^53", "max"]),
    (v > 9, ["10", "10.0", "2^53", "2^53+1", "2.0^53", "max"]),
    (v > 9.5, ["10", "10.0", "2^53", "2^53+1", "2.0^53", "max"]),
    (v < 1, ["0"]),
    (v <= 1.0, ["0", "1", "1.0"]),
    (v > 2.0**53, ["2^53+1", "max"]),
    (v >= 2**53 + 1, ["2^53+1", "max"]),
    (v < 2**53 + 1, ["0", "1", "1.0", "9", "10", "10.0", "2^53", "2.0^53"]),
    (v < 2.0**63, list(NUMBERS)),
    (v > -(2**63), list(NUMBERS)),
    (~(v > 9), but("10", "10.0", "2^53", "2^53+1", "2.0^53", "max")),
    (v >= at(0), ["noon", "'noon'"]),
    (v <= at(0), list(INSTANTS)),
    (v < at(0), ["date"]),
    (v >= "2024-05-17T12:00:00Z", ["noon", "'noon'"]),
    (v > "2024-05-17T12:00:00", []),
    (v >= "2024-05-17", list(INSTANTS)),
    (v > "2024-05-17", ["noon", "'noon'"]),
    (v < "2024-05-17T12:00:00.000000001Z", list(INSTANTS)),
    # IN and NOT_IN are EQ of any.
    (v.is_in([]), []),
    (v.not_in([]), ALL),
    (v.is_in([1, "a"]), ["1", "1.0", "'a'"]),
    (v.is_in([None]), ["null", "missing"]),
    (v.is_in([True, "10"]), ["true", "'10'"]),
    (v.is_in([[1], {}]), ["[1]", "{}"]),
    (v.not_in([1, None]), but("1", "1.0", "null", "missing")),
    # CONTAINS looks into lists and into nothing else.
    (v.contains(1), ["[1]", "[1.0,'a']", "['a',1]"]),
    (v.contains("a"), ["[1.0,'a']", "['a',1]"]),
    (v.contains(None), ["[null]"]),
    (v.contains({"x": 1}), []),
    (v.contains(True), []),
    (v.contains_any([]), []),
    (v.contains_any(["a", None]), ["[1.0,'a']", "['a',1]", "[null]"]),
    (v.contains_any([[1]]), ["[[1]]"]),
    (v.contains_all([]), ["[]", "[1]", "[1.0,'a']", "['a',1]", "[null]", "[[1]]"]),
    (v.contains_all([1, "a"]), ["[1.0,'a']", "['a',1]"]),
    (v.contains_all([1, 1.0]), ["[1]", "[1.0,'a']", "['a',1]"]),
    (v.contains_all([1, "b"]), []),
    # STARTS_WITH is about strings, and case counts.
    (v.starts_with("a"), ["'a'", "'ab'"]),
    (v.starts_with("A"), ["'A'"]),
    (v.starts_with("1"), ["'10'"]),
    (v.starts_with(""), ["'10'", "'9'", "''", "'a'", "'ab'", "'A'", "date", "'noon'"]),
    (v.starts_with("%"), []),
    # There, null, missing.
    (v.exists(), list(V)),
    (v.exists(False), ["missing"]),
    (v.is_null(), ["null", "missing"]),
    (v.is_null(False), but("null", "missing")),
    # Paths into maps.
    (attr("v.x") == 1, ["{x:1}"]),
    (attr("v.x").exists(), ["{x:1}", "{x:null}"]),
    (attr("v.x") == None, but("{x:1}")),  # noqa: E711
    (attr("v", "0") == 1, []),
    # Two-valued logic.
    (~(v == 1), but("1", "1.0")),
    (~~(v == 1), ["1", "1.0"]),
    ((v > 0) & (v < 10), ["1", "1.0", "9"]),
    ((v == "a") | (v == None), ["null", "'a'", "missing"]),  # noqa: E711
    (~((v > 0) | (v == None)), but("null", "missing", *NUMBERS[1:])),  # noqa: E711
    (~((v != 1) & (v != "a")), ["1", "1.0", "'a'"]),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def table(client: AsyncClient) -> AsyncScope:
    """A memory for each value, and one without."""
    space = client.scope(fresh_label())
    for kind in Kind:
        puts = [Put(space.ref(kind, name), attributes={"v": value}) for name, value in V.items()]
        await put_all(space, [*puts, Put(space.ref(kind, "missing"), attributes={"w": 1})])
    return space


@EVERY_KIND
async def test_field_4_field_5_field_6_the_truth_table(table: AsyncScope, kind: Kind) -> None:
    for filter_, expected in TRUTH:
        assert sorted(await keys_listed(table, kind, filter_)) == sorted(expected), filter_
        assert sorted(await keys_recent(table, kind, filter_)) == sorted(expected), filter_
        assert await table.count(kind, filter=filter_) == len(expected), filter_


@EVERY_STORE
async def test_field_1_the_form_with_dictionaries_means_the_same(
    table: AsyncScope, kind: Kind
) -> None:
    cases: list[tuple[Any, list[str]]] = [
        ({"v": {"$gt": 9}}, ["10", "10.0", "2^53", "2^53+1", "2.0^53", "max"]),
        ({"v": {"$gte": 1, "$lt": 10}}, ["1", "1.0", "9"]),
        ({"v": 1, "w": None}, ["1", "1.0"]),
        ({"$or": [{"v": "a"}, {"w": 1}]}, ["'a'", "missing"]),
        ({"$and": [{"v": {"$ne": "a"}}, {"v": {"$starts_with": "a"}}]}, ["'ab'"]),
        ({"$not": {"v": {"$exists": True}}}, ["missing"]),
        ({"v": {"$nin": list(range(11))}}, but("0", "1", "1.0", "9", "10", "10.0")),
    ]
    for filter_, expected in cases:
        assert sorted(await keys_listed(table, kind, filter_)) == sorted(expected), filter_


@EVERY_STORE
async def test_field_7_a_dotted_name_is_not_a_path(space: AsyncScope, kind: Kind) -> None:
    await put_all(
        space,
        [
            Put(space.ref(kind, "dotted"), attributes={"a.b": 1}),
            Put(space.ref(kind, "nested"), attributes={"a": {"b": 1}}),
            Put(space.ref(kind, "both"), attributes={"a.b": 1, "a": {"b": 2}}),
            Put(space.ref(kind, "deep"), attributes={"a": {"b.c": {"d": 1}, "$gt": 5}}),
        ],
    )
    for filter_, expected in (
        (attr(["a.b"]) == 1, ["both", "dotted"]),
        (attr("a.b") == 1, ["nested"]),
        (attr("a", "b") == 2, ["both"]),
        (attr("a", ["b.c"], "d") == 1, ["deep"]),
        (attr("a.b.c.d").exists(), []),
        (attr("a") == {"b": 1}, ["nested"]),
        ({"a": {"b": 1}}, ["nested"]),
        ({("a.b",): 1}, ["both", "dotted"]),
        (attr("a") == {"b.c": {"d": 1}, "$gt": 5}, ["deep"]),
        (attr("a", "$gt") == 5, ["deep"]),
    ):
        assert sorted(await keys_listed(space, kind, filter_)) == expected, filter_


@EVERY_STORE
async def test_field_8_values_that_share_words_stay_apart(space: AsyncScope, kind: Kind) -> None:
    values = ["Verified", "Not Verified", "verified", "Verified ", "not", "a", "the", "to be"]
    puts = [Put(space.ref(kind, f"{n}"), attributes={"s": s}) for n, s in enumerate(values)]
    await put_all(space, puts)
    for number, value in enumerate(values):
        assert await keys_listed(space, kind, attr("s") == value) == [f"{number}"]
        assert await keys_listed(space, kind, attr("s").is_in([value])) == [f"{number}"]
        assert await space.count(kind, filter=attr("s") != value) == len(values) - 1


@EVERY_STORE
async def test_field_9_punctuation_in_values_is_literal(space: AsyncScope, kind: Kind) -> None:
    values = [f"a{sign}b" for sign in map(chr, range(1, 128))] + ["", " ", "not", "a", "%", "_"]
    puts = [Put(space.ref(kind, f"{n:03}"), attributes={"s": s}) for n, s in enumerate(values)]
    await put_all(space, puts)
    for number in range(0, len(values), 3):
        value = values[number]
        assert await keys_listed(space, kind, attr("s") == value) == [f"{number:03}"]
        starting = [f"{n:03}" for n, s in enumerate(values) if s.startswith(value)]
        assert await keys_listed(space, kind, attr("s").starts_with(value)) == starting


@EVERY_STORE
async def test_field_3_a_filter_that_nothing_meets_finds_nothing(
    table: AsyncScope, kind: Kind
) -> None:
    nothing: list[Any] = [{"user": "nobody"}, {"v": "nobody"}, {"v": {"$in": []}}, {"x.y": 1}]
    for filter_ in nothing:
        assert await keys_listed(table, kind, filter_) == []
        assert await keys_recent(table, kind, filter_) == []
        assert await table.count(kind, filter=filter_) == 0


async def test_system_fields_can_be_filtered_on(space: AsyncScope) -> None:
    first = await space.put(
        Kind.EPISODIC,
        "a",
        importance=0.5,
        pinned=True,
        episode=Episode("action", at(0), session_id="s", agent_id="g"),  # type: ignore[arg-type]
    )
    await space.put(Kind.EPISODIC, "b", episode=Episode(event_time=at(9)))
    assert first.create_time is not None
    event_time, update_time = fields.EVENT_TIME, fields.UPDATE_TIME
    create_time = fields.CREATE_TIME
    cases: list[tuple[Any, list[str]]] = [
        (fields.KEY == "a", ["a"]),
        (fields.KEY.is_in(["a", "x"]), ["a"]),
        (fields.IMPORTANCE >= 0.5, ["a"]),
        (fields.IMPORTANCE == None, ["b"]),  # noqa: E711
        (fields.PINNED == True, ["a"]),  # noqa: E712
        (fields.PINNED == False, ["b"]),  # noqa: E712
        (fields.SESSION_ID == "s", ["a"]),
        (fields.SESSION_ID.exists(), ["a"]),
        (fields.AGENT_ID != "g", ["b"]),
        (fields.EPISODE_TYPE == "action", ["a"]),
        (fields.EPISODE_TYPE == "custom", ["b"]),
        (event_time < at(9), ["a"]),
        (event_time == at(9), ["b"]),
        (create_time == first.create_time, ["a"]),
        (update_time > first.create_time, ["b"]),
        (update_time >= first.create_time.isoformat(), ["a", "b"]),
    ]
    for filter_, expected in cases:
        assert await keys_listed(space, Kind.EPISODIC, filter_) == expected, filter_


@pytest.mark.parametrize("kind", [Kind.SEMANTIC, Kind.PROCEDURAL])
async def test_what_is_no_episode_has_no_event_fields(space: AsyncScope, kind: Kind) -> None:
    await space.put(kind, "k")
    for field in (fields.EVENT_TIME, fields.SESSION_ID, fields.AGENT_ID, fields.EPISODE_TYPE):
        assert await keys_listed(space, kind, field.exists()) == []
        assert await keys_listed(space, kind, field.is_null()) == ["k"]


def condition(op: int, operand: value_pb2.Value | None, *path: str) -> filter_pb2.Filter:
    message = filter_pb2.Filter()
    message.condition.path.extend(path or ("v",))
    message.condition.op = op  # type: ignore[assignment]
    if operand is not None:
        message.condition.operand.CopyFrom(operand)
    return message


NULL = value_pb2.Value(null_value=value_pb2.NULL_VALUE_UNSPECIFIED)
A_LIST = value_pb2.Value(list_value=value_pb2.ListValue(values=[string_value("x")]))
A_MAP = value_pb2.Value(map_value=value_pb2.MapValue())
OPERAND = "filter.condition.operand"
BAD_CONDITIONS = {
    "no-node": (filter_pb2.Filter(), "filter"),
    "no-op": (condition(0, string_value("x")), "filter.condition.op"),
    "unknown-op": (condition(99, string_value("x")), "filter.condition.op"),
    "no-operand": (condition(filter_pb2.OP_EQ, None), OPERAND),
    "empty-operand": (condition(filter_pb2.OP_EQ, value_pb2.Value()), OPERAND),
    "nan": (condition(filter_pb2.OP_EQ, value_pb2.Value(double_value=float("nan"))), OPERAND),
    "nul": (condition(filter_pb2.OP_EQ, string_value("\0")), OPERAND),
    "gt-text": (condition(filter_pb2.OP_GT, string_value("ten")), OPERAND),
    "gt-no-date": (condition(filter_pb2.OP_GT, string_value("2024-02-30")), OPERAND),
    "gt-far-offset": (
        condition(filter_pb2.OP_LT, string_value("2024-05-17T00:00:00+14:60")),
        OPERAND,
    ),
    "gt-bool": (condition(filter_pb2.OP_GTE, value_pb2.Value(bool_value=True)), OPERAND),
    "gt-null": (condition(filter_pb2.OP_LTE, NULL), OPERAND),
    "gt-list": (condition(filter_pb2.OP_LT, A_LIST), OPERAND),
    "gt-bytes": (condition(filter_pb2.OP_LT, value_pb2.Value(bytes_value=b"1")), OPERAND),
    "in-text": (condition(filter_pb2.OP_IN, string_value("x")), OPERAND),
    "in-map": (condition(filter_pb2.OP_NOT_IN, A_MAP), OPERAND),
    "any-null": (condition(filter_pb2.OP_CONTAINS_ANY, NULL), OPERAND),
    "all-text": (condition(filter_pb2.OP_CONTAINS_ALL, string_value("x")), OPERAND),
    "contains-list": (condition(filter_pb2.OP_CONTAINS, A_LIST), OPERAND),
    "starts-with-number": (
        condition(filter_pb2.OP_STARTS_WITH, value_pb2.Value(int_value=1)),
        OPERAND,
    ),
    "exists-text": (condition(filter_pb2.OP_EXISTS, string_value("true")), OPERAND),
    "is-null-number": (condition(filter_pb2.OP_IS_NULL, value_pb2.Value(int_value=1)), OPERAND),
    "unknown-system-field": (
        condition(filter_pb2.OP_EQ, string_value("x"), "@tenant"),
        "filter.condition.path",
    ),
    "into-a-system-field": (
        condition(filter_pb2.OP_EQ, string_value("x"), "@key", "x"),
        "filter.condition.path",
    ),
    "long-name": (
        condition(filter_pb2.OP_EQ, string_value("x"), "x" * 129),
        "filter.condition.path[0]",
    ),
    "nul-name": (
        condition(filter_pb2.OP_EQ, string_value("x"), "a", "\0"),
        "filter.condition.path[1]",
    ),
}


@EVERY_STORE
@pytest.mark.parametrize(("bad", "field"), BAD_CONDITIONS.values(), ids=BAD_CONDITIONS)
async def test_a_bad_filter_is_refused_by_every_read(
    door: Door, space: AsyncScope, kind: Kind, bad: filter_pb2.Filter, field: str
) -> None:
    number = KIND_NUMBERS[kind]
    with refused(InvalidArgument, "INVALID_REQUEST", field):
        request = pb.ListMemoriesRequest(kind=number, namespace=space.namespace, filter=bad)
        await call(door, "ListMemories", request, pb.ListMemoriesResponse)
    with refused(InvalidArgument, "INVALID_REQUEST", field):
        count = pb.CountMemoriesRequest(kind=number, namespace=space.namespace, filter=bad)
        await call(door, "CountMemories", count, pb.CountMemoriesResponse)
    with refused(InvalidArgument, "INVALID_REQUEST", f"queries[0].{field}"):
        query = search_pb2.SearchQuery(kind=number, namespace=space.namespace, filter=bad)
        search = pb.SearchMemoriesRequest(queries=[query])
        await call(door, "SearchMemories", search, pb.SearchMemoriesResponse)


@EVERY_STORE
async def test_exists_and_is_null_take_nothing_for_true(
    door: Door, space: AsyncScope, kind: Kind
) -> None:
    await put_all(
        space,
        [Put(space.ref(kind, "null"), attributes={"v": None}), Put(space.ref(kind, "missing"))],
    )
    for op, expected in ((filter_pb2.OP_EXISTS, 1), (filter_pb2.OP_IS_NULL, 2)):
        request = pb.CountMemoriesRequest(
            kind=KIND_NUMBERS[kind], namespace=space.namespace, filter=condition(op, None)
        )
        reply = await call(door, "CountMemories", request, pb.CountMemoriesResponse)
        assert reply.count == expected
