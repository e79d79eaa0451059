"""Requests that break the limits on purpose, one by one, and what the answer must say."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable

import grpc
import pytest
from google.protobuf.message import Message
from tests.faults import messages, samples
from tests.faults.calls import METHODS, Answer, call, check_honest
from tests.faults.hostile import DIMENSION
from tests.faults.process import Gateway

from memplane.v1 import filter_pb2, memory_pb2, value_pb2
from memplane.v1 import memory_service_pb2 as svc

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def ask(gateway: Gateway, name: str, request: Message | bytes) -> Answer:
    """One call, honestly answered."""
    with gateway.channel() as channel:
        answer = call(channel, METHODS[name], request)
    check_honest(answer, request)
    return answer


def _count(tree: filter_pb2.Filter) -> svc.CountMemoriesRequest:
    return svc.CountMemoriesRequest(kind=messages.SEMANTIC, filter=tree)


def _negated(times: int) -> filter_pb2.Filter:
    tree = samples.condition(filter_pb2.OP_IN, "n")
    for _ in range(times):
        tree = filter_pb2.Filter(negation=tree)
    return tree


def _wide(*widths: int) -> filter_pb2.Filter:
    tree = samples.condition(filter_pb2.OP_IN, "n")
    for width in widths:
        tree = filter_pb2.Filter(all=filter_pb2.FilterList(filters=[tree] * width))
    return tree


def _operands(op: filter_pb2.Op.ValueType, number: int) -> filter_pb2.Filter:
    tree = samples.condition(op, "n")
    values = tree.condition.operand.list_value.values
    for index in range(number - 1):
        values.add().int_value = index
    return tree


def test_filters_at_their_limits(shared: Gateway) -> None:
    many = (filter_pb2.OP_IN, filter_pb2.OP_NOT_IN, filter_pb2.OP_CONTAINS_ALL)
    good = [_negated(7), _wide(64), _wide(8, 8), *(_operands(op, 1000) for op in many)]
    bad = [
        _negated(8),
        _negated(40),
        _wide(65),
        _wide(13, 5),
        _wide(64, 64),
        *(_operands(op, 1001) for op in (*many, filter_pb2.OP_CONTAINS_ANY)),
    ]
    for tree in good:
        assert ask(shared, "CountMemories", _count(tree)).code is grpc.StatusCode.OK
    for tree in bad:
        answer = ask(shared, "CountMemories", _count(tree))
        assert answer.code is INVALID, tree
        assert all(field.startswith("filter") for field in answer.fields), answer.fields


def _operand_values() -> list[value_pb2.Value]:
    values = [value_pb2.Value() for _ in range(9)]
    values[0].null_value = value_pb2.NULL_VALUE_UNSPECIFIED
    values[1].bool_value = True
    values[2].int_value = -(2**63)
    values[3].double_value = 1e308
    values[4].string_value = "0001-01-01T00:00:00+14:00"
    values[5].bytes_value = b"\xff"
    values[6].timestamp_value.seconds = -62_135_596_800
    values[7].list_value.values.add().CopyFrom(samples.full_value())
    values[8].CopyFrom(samples.full_value())
    return values


@pytest.mark.parametrize("op", filter_pb2.Op.keys()[1:])
def test_every_operator_with_every_operand_on_every_path(shared: Gateway, op: str) -> None:
    """Whatever is let in is also evaluated, against memories of all types."""
    paths = [
        ("n",), ("deep", "list"), ("deep", "list", "x"), ("",), ("nothing",), ("@create_time",),
        ("@update_time",), ("@event_time",), ("@importance",), ("@key",), ("@session_id",),
        ("@agent_id",), ("@episode_type",), ("@pinned",), ("@nothing",), ("@key", "a"), (),
        ("a",) * 17,
    ]  # fmt: skip
    number = filter_pb2.Op.Value(op)
    with shared.channel() as channel:
        put = svc.PutMemoriesRequest()
        for index, value in enumerate(_operand_values()):
            memory = put.puts.add(
                memory=samples.full_memory(messages.EPISODIC, f"operand-{index}")
            ).memory
            memory.attributes["n"].CopyFrom(value)
        assert call(channel, METHODS["PutMemories"], put).code is grpc.StatusCode.OK
        for path in paths:
            for operand in (*_operand_values(), None):
                tree = samples.condition(number, *path)
                tree.condition.ClearField("operand")
                if operand is not None:
                    tree.condition.operand.CopyFrom(operand)
                request = svc.ListMemoriesRequest(kind=messages.EPISODIC, filter=tree)
                check_honest(call(channel, METHODS["ListMemories"], request), request)
                search = svc.SearchMemoriesRequest()
                search.queries.add(kind=messages.EPISODIC, vector=samples.VECTOR, filter=tree)
                check_honest(call(channel, METHODS["SearchMemories"], search), search)


VECTORS: dict[str, tuple[bytes, str]] = {
    "zero": (bytes(4 * DIMENSION), "INVALID_REQUEST"),
    "NaN": (struct.pack("<f", float("nan")) * DIMENSION, "INVALID_REQUEST"),
    "infinity": (struct.pack("<f", float("inf")) * DIMENSION, "INVALID_REQUEST"),
    "odd length": (samples.VECTOR + b"\0", "INVALID_REQUEST"),
    "too short": (samples.VECTOR[:-4], "DIMENSION_MISMATCH"),
    "too long": (samples.VECTOR + samples.VECTOR[:4], "DIMENSION_MISMATCH"),
    "far too long": (samples.VECTOR * 40, "INVALID_REQUEST"),
}


@pytest.mark.parametrize("what", VECTORS)
def test_vectors_that_are_none(shared: Gateway, what: str) -> None:
    vector, reason = VECTORS[what]
    put = svc.PutMemoriesRequest()
    put.puts.add().memory.CopyFrom(samples.full_memory(messages.SEMANTIC, "vector"))
    put.puts[0].memory.vector = vector
    answer = ask(shared, "PutMemories", put)
    assert (answer.code, answer.reason) == (INVALID, reason)
    assert answer.fields == ["puts[0].memory.vector"]
    search = svc.SearchMemoriesRequest()
    search.queries.add(kind=messages.SEMANTIC, vector=vector)
    answer = ask(shared, "SearchMemories", search)
    assert (answer.code, answer.reason) == (INVALID, reason)
    assert answer.fields == ["queries[0].vector"]


def _token(gateway: Gateway, *, descending: bool = False) -> str:
    with gateway.channel() as channel:
        stub = messages.Stub(channel)
        stub.PutMemories(messages.put(*(f"page-{n}" for n in range(5))), timeout=20)
        page = stub.ListMemories(
            svc.ListMemoriesRequest(kind=messages.SEMANTIC, page_size=2, descending=descending),
            timeout=20,
        )
    return page.next_page_token


def test_page_tokens_that_are_not_ours(shared: Gateway) -> None:
    token = _token(shared)
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    wrong = {
        "foreign": "abc",
        "no base64": "!!!!",
        "not ASCII": "\u00e9" * 20,
        "long": "A" * 100_000,
        "of another question": _token(shared, descending=True),
        "cut": token[:-4],
        "longer": token + "AAAA",
        "with a line end": token + "\n",
        "empty inside": base64.urlsafe_b64encode(bytes(16)).decode(),
        **{
            f"bit {bit} flipped": base64.urlsafe_b64encode(
                bytes(
                    byte ^ (1 << bit % 8) if index == bit // 8 else byte
                    for index, byte in enumerate(raw)
                )
            ).decode()
            for bit in range(0, len(raw) * 8, 37)
        },
    }
    for what, text in wrong.items():
        request = svc.ListMemoriesRequest(kind=messages.SEMANTIC, page_size=2, page_token=text)
        answer = ask(shared, "ListMemories", request)
        assert (answer.code, answer.reason) == (INVALID, "PAGE_TOKEN_INVALID"), what
    for kind in (messages.EPISODIC, messages.PROCEDURAL):
        other = svc.ListMemoriesRequest(kind=kind, page_size=2, page_token=token)
        assert ask(shared, "ListMemories", other).reason == "PAGE_TOKEN_INVALID"


def _time(seconds: int, nanos: int) -> Callable[[svc.MemoryPut], None]:
    def change(put: svc.MemoryPut) -> None:
        put.memory.episode.event_time.seconds = seconds
        put.memory.episode.event_time.nanos = nanos

    return change


def _ttl(seconds: int, nanos: int) -> Callable[[svc.MemoryPut], None]:
    def change(put: svc.MemoryPut) -> None:
        put.expiry.ttl.seconds = seconds
        put.expiry.ttl.nanos = nanos

    return change


INSTANTS = {
    "nanos negative": _time(1, -1),
    "nanos of a second": _time(1, 10**9),
    "finer than a microsecond": _time(1, 1),
    "year 0": _time(-62_135_596_801, 0),
    "year 10000": _time(253_402_300_800, 0),
    "the last of all": _time(2**63 - 1, 999_999_000),
    "negative duration": _ttl(-1, 0),
    "negative nanos": _ttl(0, -1),
    "mixed signs": _ttl(1, -1),
    "too many nanos": _ttl(1, 10**9),
}


@pytest.mark.parametrize("what", INSTANTS)
def test_times_out_of_range(shared: Gateway, what: str) -> None:
    request = svc.PutMemoriesRequest()
    request.puts.add().memory.CopyFrom(samples.full_memory(messages.EPISODIC, "time"))
    INSTANTS[what](request.puts[0])
    answer = ask(shared, "PutMemories", request)
    assert (answer.code, answer.reason) == (INVALID, "INVALID_REQUEST")


def test_longest_ttl_and_last_instant_are_kept(shared: Gateway) -> None:
    """Over 100 years counts as 100; nothing overflows."""
    for seconds in (315_576_000_000, 2**63 - 1):
        request = svc.PutMemoriesRequest()
        request.puts.add().memory.CopyFrom(samples.full_memory(messages.EPISODIC, "long"))
        _ttl(seconds, 999_999_999)(request.puts[0])
        _time(253_402_300_799, 999_999_000)(request.puts[0])
        assert ask(shared, "PutMemories", request).code is grpc.StatusCode.OK


def test_batches_without_items_and_with_too_many(shared: Gateway) -> None:
    for name in ("PutMemories", "UpdateMemories", "SearchMemories"):
        assert ask(shared, name, b"").code is INVALID
    for name in ("GetMemories", "DeleteMemories"):
        assert ask(shared, name, b"").code is grpc.StatusCode.OK
    keys = [f"key-{number}" for number in range(1001)]
    assert ask(shared, "PutMemories", messages.put(*keys)).code is INVALID
    assert ask(shared, "GetMemories", messages.get(*keys)).code is INVALID


def test_the_same_ref_twice(shared: Gateway) -> None:
    answer = ask(shared, "PutMemories", messages.put("twin", "other", "twin"))
    assert answer.code is INVALID
    assert answer.fields == ["puts[2]"]
    assert b"twin" not in ask(shared, "GetMemories", messages.get("other")).raw


def test_a_thousand_violations_fit_into_the_answer(shared: Gateway) -> None:
    """Clients refuse trailers of more than 8 KB; then even the code is lost."""
    request = svc.PutMemoriesRequest()
    for _ in range(1000):
        request.puts.add().memory.ref.namespace.extend(["\0"] * 16)
    answer = ask(shared, "PutMemories", request)
    assert (answer.code, answer.reason) == (INVALID, "INVALID_REQUEST")

    deep = value_pb2.Value()
    for level in range(30):
        outer = value_pb2.Value()
        outer.map_value.entries["\u30e1\u30e2\u30ea" * 20 + str(level)].CopyFrom(deep)
        deep = outer
    request = svc.PutMemoriesRequest()
    for number in range(100):
        memory = request.puts.add().memory
        memory.ref.CopyFrom(messages.ref(f"key-{number}"))
        memory.value.CopyFrom(deep)
    answer = ask(shared, "PutMemories", request)
    assert (answer.code, answer.reason) == (INVALID, "INVALID_REQUEST")


def test_attributes_do_not_grow_beyond_the_limit_by_updates(shared: Gateway) -> None:
    """The limit of 64 names is about a memory, not about one call."""
    ask(shared, "PutMemories", messages.put("grows"))
    for start in range(0, 128, 32):
        update = svc.UpdateMemoriesRequest()
        change = update.updates.add(ref=messages.ref("grows"))
        for number in range(start, start + 32):
            change.attributes[f"name-{number}"].int_value = number
        ask(shared, "UpdateMemories", update)
    raw = ask(shared, "GetMemories", messages.get("grows")).raw
    (result,) = svc.GetMemoriesResponse.FromString(raw).results
    assert len(result.memory.attributes) <= 64


def test_what_is_refused_changes_nothing(shared: Gateway) -> None:
    """One bad item among good ones: the whole call fails and nothing is written."""
    for bad in (memory_pb2.Memory(), memory_pb2.Memory(importance=float("nan"))):
        request = messages.put("good-1", "good-2")
        request.puts.add().memory.CopyFrom(bad)
        assert ask(shared, "PutMemories", request).code is INVALID
        got = svc.GetMemoriesResponse.FromString(
            ask(shared, "GetMemories", messages.get("good-1", "good-2")).raw
        )
        assert not any(result.HasField("memory") for result in got.results)


def test_no_bug_was_met(shared: Gateway) -> None:
    """After all of the above."""
    assert "bug in" not in shared.log
    assert "Traceback" not in shared.log
