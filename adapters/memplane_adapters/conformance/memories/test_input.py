"""Bytes that no client of ours sends: refused with a reason, never INTERNAL, never UNKNOWN."""

from __future__ import annotations

import random
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memplane import AsyncScope, Internal, InvalidArgument, Kind, MemplaneError, Put, Unknown
from memplane.v1 import memory_pb2, search_pb2, value_pb2
from memplane.v1 import memory_service_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    KIND_NUMBERS,
    ON_THE_SESSION_LOOP,
    put_all,
    ref_message,
    refused,
    string_value,
    there,
)

pytestmark = ON_THE_SESSION_LOOP

METHODS = [method.name for method in pb.DESCRIPTOR.services_by_name["MemoryService"].methods]
ADMIN = ["/memplane.v1.AdminService/GetCapabilities", "/memplane.v1.AdminService/GetStatus"]

GARBAGE = {
    "ones": b"\xff" * 32,
    "truncated-varint": b"\x0a\xff",
    "truncated-message": b"\x0a\x10abc",
    "bad-wire-type": b"\x0f\x01",
    "field-zero": b"\x00\x01",
    "endless-group": b"\x0b" * 50,
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "json": b'{"puts": []}',
}


@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("method", [*METHODS, *ADMIN])
async def test_garbage_is_malformed(door: Door, method: str, raw: bytes) -> None:
    with refused(InvalidArgument, "MALFORMED_MESSAGE"):
        await door.send(method, raw)


async def test_text_that_is_no_utf_8_is_malformed(door: Door, space: AsyncScope) -> None:
    ref = ref_message(space.ref(Kind.SEMANTIC, "k"))
    good = pb.PutMemoriesRequest(puts=[pb.MemoryPut(memory=memory_pb2.Memory(ref=ref, text="#?#"))])
    for wrong in (b"\xff\xfe\xfd", b"\xed\xa0\x80", b"\xc0\xaf#"):
        raw = good.SerializeToString().replace(b"#?#", wrong)
        with refused(InvalidArgument, "MALFORMED_MESSAGE"):
            await door.send("PutMemories", raw)
    assert await space.count(Kind.SEMANTIC) == 0


@pytest.mark.parametrize("depth", [33, 100, 150, 1_000, 10_000])
async def test_what_nests_too_deep_is_refused(door: Door, space: AsyncScope, depth: int) -> None:
    value = value_pb2.Value(int_value=1).SerializeToString()
    for _ in range(depth):
        value = _field(8, _field(1, value))
    ref = ref_message(space.ref(Kind.SEMANTIC, "k")).SerializeToString()
    raw = _field(1, _field(1, _field(1, ref) + _field(4, value)))
    with pytest.raises(InvalidArgument):
        await door.send("PutMemories", raw)
    assert await space.count(Kind.SEMANTIC) == 0


@pytest.mark.parametrize("depth", [9, 150, 10_000])
async def test_a_filter_that_nests_too_deep_is_refused(
    door: Door, space: AsyncScope, depth: int
) -> None:
    node = b""
    for _ in range(depth):
        node = _field(3, node)
    raw = b"\x08\x01" + _field(2, space.namespace[0].encode()) + _field(4, node)
    with pytest.raises(InvalidArgument):
        await door.send("ListMemories", raw)


async def test_a_hundred_thousand_empty_items_are_refused(door: Door) -> None:
    for method in ("PutMemories", "GetMemories", "UpdateMemories", "SearchMemories"):
        with pytest.raises(InvalidArgument) as caught:
            await door.send(method, b"\x0a\x00" * 100_000)
        assert len(caught.value.violations) <= 1000


async def test_fields_that_nobody_knows_are_passed_over(door: Door, space: AsyncScope) -> None:
    unknown = _field(19_000, b"from the future") + b"\xf8\x7f\x05"
    ref = ref_message(space.ref(Kind.SEMANTIC, "k")).SerializeToString()
    memory = _field(1, ref + unknown) + _field(2, b"tea") + unknown
    raw = _field(1, _field(1, memory) + unknown) + unknown
    reply = pb.PutMemoriesResponse.FromString(await door.send("PutMemories", raw))
    assert reply.results[0].outcome == pb.WRITE_OUTCOME_CREATED
    assert (await there(space, Kind.SEMANTIC, "k")).text == "tea"


@pytest.mark.parametrize("kind", [0, 4, 99, -1])
async def test_a_kind_that_nobody_knows_is_refused(
    door: Door, space: AsyncScope, kind: int
) -> None:
    number = kind
    ref = memory_pb2.MemoryRef(kind=number, namespace=space.namespace, key="k")  # type: ignore[arg-type]
    for method, request, field in (
        (
            "PutMemories",
            pb.PutMemoriesRequest(puts=[pb.MemoryPut(memory=memory_pb2.Memory(ref=ref))]),
            "puts[0].memory.ref.kind",
        ),
        ("GetMemories", pb.GetMemoriesRequest(refs=[ref]), "refs[0].kind"),
        (
            "UpdateMemories",
            pb.UpdateMemoriesRequest(updates=[pb.MemoryUpdate(ref=ref)]),
            "updates[0].ref.kind",
        ),
        (
            "DeleteMemories",
            pb.DeleteMemoriesRequest(deletes=[pb.MemoryDelete(ref=ref)]),
            "deletes[0].ref.kind",
        ),
        (
            "SearchMemories",
            pb.SearchMemoriesRequest(queries=[search_pb2.SearchQuery(kind=number)]),  # type: ignore[arg-type]
            "queries[0].kind",
        ),
        ("ListMemories", pb.ListMemoriesRequest(kind=number), "kind"),  # type: ignore[arg-type]
        ("CountMemories", pb.CountMemoriesRequest(kind=number), "kind"),  # type: ignore[arg-type]
    ):
        with refused(InvalidArgument, "INVALID_REQUEST", field):
            await door.send(method, request.SerializeToString())


async def test_other_enums_that_nobody_knows_are_refused(door: Door, space: AsyncScope) -> None:
    semantic = KIND_NUMBERS[Kind.SEMANTIC]
    here: Any = {"kind": semantic, "namespace": space.namespace}
    ref = ref_message(space.ref(Kind.SEMANTIC, "k"))
    for method, request, field in (
        ("GetMemories", pb.GetMemoriesRequest(refs=[ref], view=9), "view"),  # type: ignore[arg-type]
        ("ListMemories", pb.ListMemoriesRequest(**here, order=9), "order"),  # type: ignore[arg-type]
        ("ListMemories", pb.ListMemoriesRequest(**here, view=9), "view"),  # type: ignore[arg-type]
        (
            "SearchMemories",
            pb.SearchMemoriesRequest(queries=[search_pb2.SearchQuery(**here, mode=9)]),  # type: ignore[arg-type]
            "queries[0].mode",
        ),
        (
            "SearchMemories",
            pb.SearchMemoriesRequest(queries=[search_pb2.SearchQuery(**here, view=9)]),  # type: ignore[arg-type]
            "queries[0].view",
        ),
    ):
        with refused(InvalidArgument, "INVALID_REQUEST", field):
            await door.send(method, request.SerializeToString())


@EVERY_KIND
async def test_an_episode_belongs_to_events_alone(
    door: Door, space: AsyncScope, kind: Kind
) -> None:
    memory = memory_pb2.Memory(
        ref=ref_message(space.ref(kind, "k")), episode=memory_pb2.Episode(session_id="s")
    )
    request = pb.PutMemoriesRequest(puts=[pb.MemoryPut(memory=memory)])
    if kind is Kind.EPISODIC:
        await call(door, "PutMemories", request, pb.PutMemoriesResponse)
        return
    with refused(InvalidArgument, "INVALID_REQUEST", "puts[0].memory.episode"):
        await call(door, "PutMemories", request, pb.PutMemoriesResponse)


async def test_key_values_have_no_vector(door: Door, space: AsyncScope) -> None:
    memory = memory_pb2.Memory(
        ref=ref_message(space.ref(Kind.PROCEDURAL, "k")), vector=b"\0\0\x80\x3f"
    )
    request = pb.PutMemoriesRequest(puts=[pb.MemoryPut(memory=memory)])
    with refused(InvalidArgument, "INVALID_REQUEST", "puts[0].memory.vector"):
        await call(door, "PutMemories", request, pb.PutMemoriesResponse)


async def test_a_consistency_token_that_nobody_gave_is_refused(
    door: Door, space: AsyncScope
) -> None:
    here: Any = {"kind": KIND_NUMBERS[Kind.SEMANTIC], "namespace": space.namespace}
    token: Any = {"consistency_token": "made up"}
    for method, request in (
        ("GetMemories", pb.GetMemoriesRequest(**token)),
        ("ListMemories", pb.ListMemoriesRequest(**here, **token)),
        ("CountMemories", pb.CountMemoriesRequest(**here, **token)),
        (
            "SearchMemories",
            pb.SearchMemoriesRequest(queries=[search_pb2.SearchQuery(**here)], **token),
        ),
    ):
        with refused(InvalidArgument, "INVALID_REQUEST", "consistency_token"):
            await door.send(method, request.SerializeToString())


async def test_mutated_requests_never_reach_a_bug(door: Door, space: AsyncScope) -> None:
    """Bits flipped, bytes dropped and doubled, in requests that are good."""
    await put_all(space, [Put(space.ref(kind, "k"), text="tea") for kind in Kind])
    chance = random.Random(11)
    requests = _good_requests(space)
    for _ in range(600):
        method, raw = chance.choice(requests)
        mutated = bytearray(raw)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(mutated))
            match chance.randrange(4):
                case 0:
                    mutated[place] ^= 1 << chance.randrange(8)
                case 1:
                    del mutated[place : place + chance.randint(1, 5)]
                case 2:
                    mutated[place:place] = mutated[place : place + chance.randint(1, 9)]
                case _:
                    mutated[place] = chance.randrange(256)
            mutated = mutated or bytearray(b"\0")
        await _answered_or_refused(door, method, bytes(mutated))


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(method=st.sampled_from(METHODS), raw=st.binary(max_size=200))
async def test_random_bytes_never_reach_a_bug(door: Door, method: str, raw: bytes) -> None:
    await _answered_or_refused(door, method, raw)


async def _answered_or_refused(door: Door, method: str, raw: bytes) -> None:
    refusal: MemplaneError | None = None
    try:
        await door.send(method, raw)
    except MemplaneError as error:
        refusal = error
    assert not isinstance(refusal, Internal | Unknown), (method, raw, refusal)
    assert refusal is None or refusal.reason != "UNSPECIFIED", (method, raw, refusal)


def _good_requests(space: AsyncScope) -> list[tuple[str, bytes]]:
    made: list[tuple[str, bytes]] = []
    for kind, number in KIND_NUMBERS.items():
        ref = ref_message(space.ref(kind, "k"))
        memory = memory_pb2.Memory(
            ref=ref,
            text="tea",
            attributes={"a": string_value("b"), "n": value_pb2.Value(int_value=5)},
            value=value_pb2.Value(list_value=value_pb2.ListValue(values=[string_value("x")])),
            importance=0.5,
        )
        put = pb.MemoryPut(memory=memory, expiry=pb.Expiry(ttl=Duration(seconds=60)))
        update = pb.MemoryUpdate(
            ref=ref, text="coffee", precondition=pb.Precondition(if_match="etag")
        )
        query = search_pb2.SearchQuery(kind=number, namespace=space.namespace, page_size=5)
        query.filter.condition.path.append("a")
        query.filter.condition.op = 1  # type: ignore[assignment]
        query.filter.condition.operand.string_value = "b"
        for method, request in (
            ("PutMemories", pb.PutMemoriesRequest(puts=[put], request_id="r")),
            ("GetMemories", pb.GetMemoriesRequest(refs=[ref])),
            ("UpdateMemories", pb.UpdateMemoriesRequest(updates=[update])),
            ("DeleteMemories", pb.DeleteMemoriesRequest(deletes=[pb.MemoryDelete(ref=ref)])),
            ("SearchMemories", pb.SearchMemoriesRequest(queries=[query])),
            (
                "ListMemories",
                pb.ListMemoriesRequest(
                    kind=number,
                    namespace=space.namespace,
                    filter=query.filter,
                    page_token=space.namespace[0],
                ),
            ),
            ("CountMemories", pb.CountMemoriesRequest(kind=number, filter=query.filter)),
        ):
            made.append((method, request.SerializeToString()))
    return made


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited field as bytes."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    made.append(number)
    return bytes(made)
