"""What is stored comes back as it was: every type, to the last bit, from every read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings

from memplane import AsyncScope, Capabilities, Episode, InvalidArgument, Kind, Mode, Put, Ref
from memplane.v1 import memory_pb2, value_pb2
from memplane.v1 import memory_service_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    ON_THE_SESSION_LOOP,
    key,
    needs_room,
    nested,
    put_all,
    put_what_fits,
    ref_message,
    refused,
    string_value,
    there,
)
from memplane_adapters.conformance.strategies import VALUES, values
from memplane_adapters.contract import Value, identical

pytestmark = ON_THE_SESSION_LOOP

NFC, NFD = "\u00e9", "e\u0301"
TEXTS: dict[str, str] = {
    "ascii": "Prefers tea in the morning",
    "one-character": "x",
    "blanks": "  \t leading, trailing \r\n ",
    "only-blanks": "   ",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 🙂",
    "rtl": "שלום \u202eabc\u202c مرحبا",
    "composed": NFC,
    "decomposed": NFD,
    "han": "日本語のテキスト",
    "beyond-the-bmp": "\U0001f642\U00010000\U0010ffff",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f\x85",
    "separators": "\u2028\u2029\ufeff\ufffe\uffff\u200b",
    "quotes": "'; DROP TABLE memory; -- \" \\ ` ${x} {{y}} %s",
    "markup": '<b>&amp;</b> {"a": 1} $gt @x',
    "number": "10",
    "null": "null",
    "64-kib": "x" * 65_536,
    "64-kib-of-emoji": "🙂" * 16_384,
    "64-kib-in-one-word-a-line": "word\n" * 13_107,
}

MOMENTS = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2026, 2, 28, 12, 30, 45, 123_456, tzinfo=UTC),
    datetime(2100, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]

MIXED: list[Value] = ["", [], {}, None, False, 0, 0.0, -0.0]
MORE: list[Value] = [
    *TEXTS.values(),
    *MOMENTS,
    *(2**53 - 1, 2**53 + 1, -(2**53) - 1, 2**62 + 1, 2**63 - 1, -(2**63)),
    *(0.1, 1 / 3, 1.7976931348623157e308, 5e-324, -5e-324, 2.0**63, 1e16 + 2),
    *(bytes(range(256)), b"x" * 65_536, "NFC: " + NFC, MIXED),
    {"": 1, " ": 2, ".": 3, "a.b": 4, "a": {"b": 5}, "@key": 6, "$gt": 7, NFC: 8, NFD: 9},
    {"x" * 300: list(range(300))},
    [True, 1, 1.0, "1", b"1", None],
]

EVERY_VALUE: list[Value] = [*VALUES, *MORE]


def same(memory: Any, value: Value) -> bool:
    """Whether both places of a memory hold a value."""
    return (
        memory.has_value
        and identical(memory.value, value)
        and identical(dict(memory.attributes), {"v": value, "in": [value], "below": {"x": value}})
    )


@EVERY_KIND
async def test_every_value_comes_back_from_every_read(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    puts = [
        Put(
            space.ref(kind, f"{number:03}"),
            value=value,
            attributes={"v": value, "in": [value], "below": {"x": value}},
        )
        for number, value in enumerate(EVERY_VALUE)
    ]
    puts = await put_what_fits(space, puts, abilities)
    got = await space.get_many([put.ref for put in puts])
    listed = [memory async for memory in space.list(kind)]
    found = (await space.search(kind=kind, mode=Mode.RECENT, limit=1000)).memories
    by_key = {memory.key: memory for memory in found}
    assert len(got) == len(listed) == len(by_key) == len(puts)
    for number, put in enumerate(puts):
        value = EVERY_VALUE[int(put.ref.key)]
        for memory in (got[number], listed[number], by_key[put.ref.key]):
            assert same(memory, value), (put.ref.key, value, memory)


async def test_every_value_comes_back_from_an_episode(
    space: AsyncScope, abilities: Capabilities
) -> None:
    puts = [
        Put(
            space.ref(Kind.EPISODIC, f"{number:03}"),
            episode=Episode(input=value, output={"x": [value]}),
        )
        for number, value in enumerate(EVERY_VALUE)
    ]
    puts = await put_what_fits(space, puts, abilities)
    got = await space.get_many([put.ref for put in puts])
    for memory, put in zip(got, puts, strict=True):
        value = EVERY_VALUE[int(put.ref.key)]
        assert memory is not None
        assert memory.episode is not None
        assert identical(memory.episode.input, value)
        assert identical(memory.episode.output, {"x": [value]})


@EVERY_KIND
async def test_every_value_survives_an_update(space: AsyncScope, kind: Kind) -> None:
    await space.put(kind, "k", text="t")
    for value in VALUES:
        await space.update(kind, "k", value=value, attributes={"v": value})
        memory = await there(space, kind, "k")
        assert identical(memory.value, value)
        assert identical(dict(memory.attributes), {"v": value})


@EVERY_KIND
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_a_text_comes_back_byte_by_byte(
    space: AsyncScope, kind: Kind, text: str, abilities: Capabilities
) -> None:
    needs_room(abilities, kind, 2 * len(text.encode()))
    await space.put(kind, "k", text=text)
    assert (await there(space, kind, "k")).text == text
    assert [memory.text async for memory in space.list(kind)] == [text]


@EVERY_KIND
@pytest.mark.parametrize("maps", [False, True], ids=["lists", "maps"])
async def test_values_nest_32_deep(space: AsyncScope, kind: Kind, maps: bool) -> None:
    value = nested(32, maps=maps)
    episode = Episode(input=value, output=value) if kind is Kind.EPISODIC else None
    await space.put(kind, "k", value=value, attributes={"v": value}, episode=episode)
    (memory,) = [memory async for memory in space.list(kind)]
    assert identical(memory.value, value)
    assert identical(dict(memory.attributes), {"v": value})
    if memory.episode is not None:
        assert identical(memory.episode.input, value)


@EVERY_KIND
async def test_field_22_null_empty_and_absent_stay_apart(space: AsyncScope, kind: Kind) -> None:
    contents: dict[str, dict[str, Any]] = {
        "absent": {},
        "null": {"value": None, "attributes": {"v": None}},
        "list": {"value": [], "attributes": {"v": []}},
        "map": {"value": {}, "attributes": {"v": {}}},
        "text": {"value": "", "attributes": {"v": ""}},
        "bytes": {"value": b"", "attributes": {"v": b""}},
        "false": {"value": False, "attributes": {"v": False}},
        "zero": {"value": 0, "attributes": {"v": 0}},
        "zero-float": {"value": 0.0, "attributes": {"v": 0.0}},
    }
    results = await put_all(
        space, [Put(space.ref(kind, name), **content) for name, content in contents.items()]
    )
    assert len({result.etag for result in results}) == len(contents)
    for name, content in contents.items():
        memory = await there(space, kind, name)
        assert memory.has_value is ("value" in content)
        assert identical(memory.value, content.get("value"))
        assert identical(dict(memory.attributes), content.get("attributes", {}))


@EVERY_KIND
async def test_importance_zero_is_not_absent(space: AsyncScope, kind: Kind) -> None:
    for name, importance in (("absent", None), ("zero", 0.0), ("half", 0.5), ("one", 1.0)):
        await space.put(kind, name, importance=importance)
        assert (await there(space, kind, name)).importance == importance


async def test_an_episode_s_input_that_is_null_is_not_absent(door: Door, space: AsyncScope) -> None:
    null = value_pb2.Value(null_value=value_pb2.NULL_VALUE_UNSPECIFIED)
    episode = memory_pb2.Episode(input=null)
    memory = memory_pb2.Memory(ref=ref_message(space.ref("episodic", "k")), episode=episode)
    request = pb.PutMemoriesRequest(puts=[pb.MemoryPut(memory=memory)])
    await call(door, "PutMemories", request, pb.PutMemoriesResponse)
    get = pb.GetMemoriesRequest(refs=[memory.ref])
    reply = await call(door, "GetMemories", get, pb.GetMemoriesResponse)
    stored = reply.results[0].memory.episode
    assert stored.HasField("input")
    assert stored.input.WhichOneof("kind") == "null_value"
    assert not stored.HasField("output")
    assert stored.type == memory_pb2.EPISODE_TYPE_CUSTOM


async def test_field_21_integers_stay_integers(space: AsyncScope) -> None:
    numbers = [0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63), 1.0, -0.0, 2.0**53]
    await space.put(Kind.SEMANTIC, "k", attributes={"n": numbers})
    stored = (await there(space, Kind.SEMANTIC, "k")).attributes["n"]
    assert [(type(number), repr(number)) for number in stored] == [
        (type(number), repr(number)) for number in numbers
    ]


async def test_field_26_instants_keep_their_microseconds(space: AsyncScope) -> None:
    moment = datetime(2026, 3, 1, 1, 2, 3, 456_789, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    await space.record("t", key="k", event_time=moment, attributes={"at": moment})
    memory = await there(space, Kind.EPISODIC, "k")
    assert memory.attributes["at"] == moment
    assert memory.episode is not None
    assert memory.episode.event_time == moment
    for number, each in enumerate(MOMENTS):
        await space.record("t", key=f"{number}", event_time=each)
        stored = await there(space, Kind.EPISODIC, f"{number}")
        assert stored.episode is not None
        assert stored.episode.event_time == each


@EVERY_KIND
async def test_field_24_nul_is_kept_in_payloads(space: AsyncScope, kind: Kind) -> None:
    value: Any = {"a\0b": ["\0", "x\0", {"\0": "\0\0"}], "bytes": b"\0"}
    episode = Episode(input=value, output="\0") if kind is Kind.EPISODIC else None
    await space.put(kind, "k", value=value, episode=episode, attributes={"b": b"\0"})
    memory = await there(space, kind, "k")
    assert identical(memory.value, value)
    if memory.episode is not None:
        assert identical(memory.episode.input, value)
        assert memory.episode.output == "\0"


@EVERY_KIND
@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"text": "a\0b"}, "puts[0].memory.text"),
        ({"attributes": {"a": "\0"}}, "puts[0].memory.attributes['a']"),
        ({"attributes": {"a": [{"x": ["y\0"]}]}}, "puts[0].memory.attributes['a'][0]['x'][0]"),
        ({"attributes": {"a\0": 1}}, None),
        ({"attributes": {"a": {"x\0": 1}}}, None),
    ],
    ids=["text", "string", "nested", "name", "nested-name"],
)
async def test_field_24_nul_is_refused_where_it_is_searched(
    space: AsyncScope, kind: Kind, content: dict[str, Any], field: str | None
) -> None:
    with refused() as refusal:
        await space.put(kind, "k", **content)
    if field is not None:
        assert refusal.fields == {field}
    assert await space.get(kind, "k") is None


NO_VALUES: dict[str, value_pb2.Value] = {
    "nothing": value_pb2.Value(),
    "nan": value_pb2.Value(double_value=float("nan")),
    "infinity": value_pb2.Value(double_value=float("inf")),
    "minus-infinity": value_pb2.Value(double_value=float("-inf")),
    "strange-null": value_pb2.Value(null_value=7),  # type: ignore[arg-type]
    "nanoseconds": value_pb2.Value(timestamp_value=Timestamp(nanos=1)),
    "negative-nanoseconds": value_pb2.Value(timestamp_value=Timestamp(nanos=-1000)),
    "year-0": value_pb2.Value(timestamp_value=Timestamp(seconds=-62_135_596_801)),
    "year-10000": value_pb2.Value(timestamp_value=Timestamp(seconds=253_402_300_800)),
}


@pytest.mark.parametrize("wrong", NO_VALUES.values(), ids=NO_VALUES)
@pytest.mark.parametrize("place", ["value", "attributes", "list", "map", "input", "output"])
async def test_what_is_no_value_is_refused_everywhere(
    door: Door, space: AsyncScope, wrong: value_pb2.Value, place: str
) -> None:
    memory = memory_pb2.Memory(ref=ref_message(space.ref(Kind.EPISODIC, "k")))
    if place == "value":
        memory.value.CopyFrom(wrong)
    elif place == "attributes":
        memory.attributes["a"].CopyFrom(wrong)
    elif place == "list":
        memory.attributes["a"].list_value.values.extend([string_value("good"), wrong])
    elif place == "map":
        memory.attributes["a"].map_value.entries["x"].CopyFrom(wrong)
    else:
        getattr(memory.episode, place).CopyFrom(wrong)
    where = {
        "value": "value",
        "attributes": "attributes['a']",
        "list": "attributes['a'][1]",
        "map": "attributes['a']['x']",
        "input": "episode.input",
        "output": "episode.output",
    }[place]
    request = pb.PutMemoriesRequest(puts=[pb.MemoryPut(memory=memory)])
    with refused(InvalidArgument, "INVALID_REQUEST", f"puts[0].memory.{where}"):
        await call(door, "PutMemories", request, pb.PutMemoriesResponse)


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(value=values())
async def test_any_value_comes_back(space: AsyncScope, value: Value) -> None:
    for kind in (Kind.SEMANTIC, Kind.PROCEDURAL):
        ref = Ref(kind, space.namespace, key())
        await space.put(ref, value=value, attributes={"v": value})
        memory = await space.get(ref)
        assert memory is not None
        assert identical(memory.value, value)
        assert identical(dict(memory.attributes), {"v": value})
