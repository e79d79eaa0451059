"""Bytes that are no message, or one that nobody would send: refused in words, never a bug."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.faults import samples
from tests.faults.calls import METHODS, OUR_BUGS, call, call_all, check_honest
from tests.faults.figures import say
from tests.faults.hostile import BYTES, STRINGS, nested, scalars, varint
from tests.faults.process import Gateway
from tests.thorough import THOROUGH

INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXAMPLES = int(os.environ.get("MEMPLANE_TEST_EXAMPLES", "10" if THOROUGH else "3"))
RELAXED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("name", METHODS)
@RELAXED
@given(data=st.lists(st.binary(max_size=300), min_size=20, max_size=60))
def test_random_bytes(shared: Gateway, name: str, data: list[bytes]) -> None:
    _send(shared, name, data)


@pytest.mark.parametrize("name", METHODS)
@RELAXED
@given(seed=st.integers(0, 2**32))
def test_good_messages_cut_and_flipped(shared: Gateway, name: str, seed: int) -> None:
    chance = random.Random(seed)
    wrong: list[bytes] = []
    for good in samples.requests()[name]:
        raw = good.SerializeToString()
        for _ in range(20 if raw else 1):
            cut = chance.randrange(len(raw) + 1)
            wrong.append(raw[:cut])
            flipped = bytearray(raw)
            for _ in range(chance.choice([1, 1, 2, 8])):
                if flipped:
                    flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
            wrong.append(bytes(flipped))
            wrong.append(raw[:cut] + chance.randbytes(4) + raw[cut:])
            wrong.append(raw + raw[cut:])
    _send(shared, name, wrong)


def _messages(descriptor: Descriptor, depth: int) -> st.SearchStrategy[Message]:
    """Messages of a type with any fields set to anything."""
    kind = GetMessageClass(descriptor)
    fields = {
        field.name: _values(field, depth)
        for field in descriptor.fields
        if depth > 0 or field.message_type is None
    }
    optional: dict[Any, st.SearchStrategy[Any]] = dict(fields)
    return st.fixed_dictionaries({}, optional=optional).map(lambda given: kind(**given))


def _values(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        value = message.fields_by_name["value"]
        return st.dictionaries(st.sampled_from(STRINGS[:-4]), _one(value, depth), max_size=2)
    one = _one(field, depth)
    return st.lists(one, max_size=3) if field.is_repeated else one


def _one(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return st.deferred(lambda: _messages(field.message_type, depth - 1))
    usual: tuple[Any, ...] = ()
    if field.name in ("kind", "op", "mode") and field.enum_type is not None:
        usual = tuple(value.number for value in field.enum_type.values if value.number)
    known = [value for value in scalars(field) if not isinstance(value, str | bytes)]
    if field.type == FieldDescriptor.TYPE_STRING:
        return st.sampled_from(("a", "b", "@event_time", "n", *STRINGS[:20]))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.sampled_from((samples.VECTOR, *BYTES[:12]))
    return st.sampled_from([*usual * 4, *known])


@pytest.mark.parametrize("name", METHODS)
@settings(RELAXED, max_examples=6 * EXAMPLES)
@given(data=st.data())
def test_messages_of_anything(shared: Gateway, name: str, data: st.DataObject) -> None:
    strategy = _messages(METHODS[name].input, 5)
    _send(shared, name, [data.draw(strategy).SerializeToString() for _ in range(3)])


def _send(gateway: Gateway, name: str, requests: list[bytes]) -> None:
    with gateway.channel() as channel:
        for raw, answer in zip(requests, call_all(channel, METHODS[name], requests), strict=True):
            check_honest(answer, _shown(name, raw))
    assert gateway.running


def _shown(name: str, raw: bytes) -> str:
    try:
        return f"{name} {METHODS[name].request.FromString(raw)} = {raw!r}"
    except Exception:  # noqa: BLE001 (only for showing)
        return f"{name} {raw!r}"


NESTS = {
    "a filter of negations": ("CountMemories", (4, 3)),
    "a filter of lists": ("ListMemories", (4, 1, 1)),
    "a value of lists": ("PutMemories", (1, 1, 4, 8, 1)),
    "a value of maps": ("PutMemories", (1, 1, 4, 9, 1, 2)),
    "groups that never were": ("GetMemories", (1,)),
}


@pytest.mark.parametrize("levels", [33, 90, 150, 10_000])
@pytest.mark.parametrize("what", NESTS)
def test_nested_deep(shared: Gateway, what: str, levels: int) -> None:
    """`PutMemories.puts.memory.value.list_value.values...`, and so on: (way in, then round)."""
    name, way = NESTS[what]
    loops = {"ListMemories": 2, "CountMemories": 1, "PutMemories": len(way) - 3, "GetMemories": 1}
    inner = nested(levels, *way[-loops[name] :])
    for tag in reversed(way[: -loops[name]]):
        inner = bytes([tag << 3 | 2]) + varint(len(inner)) + inner
    with shared.channel() as channel:
        answer = call(channel, METHODS[name], inner)
    check_honest(answer, what)
    if name != "GetMemories":
        assert answer.code is INVALID, answer
    if levels >= 150:
        assert answer.reason in ("MALFORMED_MESSAGE", "INVALID_REQUEST")


def test_fields_that_nobody_knows(shared: Gateway) -> None:
    """A newer client may send them: they are passed over."""
    unknown = bytes([0xFA, 0x3F, 5]) + b"hello" + bytes([0xF0, 0x3F, 42])
    with shared.channel() as channel:
        for name, goods in samples.requests().items():
            good: Any
            for number, good in enumerate(goods):
                if "request_id" in good.DESCRIPTOR.fields_by_name:
                    good.request_id = f"unknown-{number}"  # each call is one of its own
                raw = good.SerializeToString() + unknown
                assert call(channel, METHODS[name], raw).code is grpc.StatusCode.OK, name


def test_nothing_at_all(shared: Gateway) -> None:
    with shared.channel() as channel:
        codes = Counter[str]()
        for name, method in METHODS.items():
            answer = call(channel, method, b"")
            check_honest(answer, name)
            codes[f"{name} {answer.code.name}"] += 1
    say(f"{dict(codes)}")


@pytest.mark.parametrize("path", ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"])
def test_garbage_for_the_services_beside_ours(shared: Gateway, path: str) -> None:
    """Not our code, but our gateway."""
    with shared.channel() as channel:
        for raw in (b"\xff\xff\xff", b"\x0a\x03\xff\xfe\xfd"):
            if path.endswith("Watch"):
                send: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(path)
                stream = send(raw, timeout=10, wait_for_ready=True)
                code = stream.code()
            else:
                code = call(channel, path, raw).code
            assert code not in OUR_BUGS, (path, raw, code)


@pytest.mark.parametrize(
    "path",
    [
        METHODS["IngestMemories"].path,
        METHODS["ScanMemories"].path,
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
def test_refused_streams_give_their_places_back(shared: Gateway, path: str) -> None:
    """A connection has 500 of them."""
    with shared.channel() as channel:
        answers = call_all(channel, path, [b"\xff\xff\xff"] * 520)
        assert {answer.code for answer in answers} == {INVALID}


def test_no_bug_was_met(shared: Gateway) -> None:
    """After all of the above."""
    assert "bug in" not in shared.log
    assert "Traceback" not in shared.log
