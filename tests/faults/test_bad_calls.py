"""Callers that misbehave below the messages: size, compression, headers, deadlines, cancelling."""

from __future__ import annotations

import asyncio
import functools
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

import grpc
import pytest
from google.protobuf.message import Message
from grpc import aio
from grpc_health.v1 import health_pb2
from tests.faults import messages, samples
from tests.faults.calls import METHODS, OUR_BUGS, Answer, call, call_all, check_health
from tests.faults.figures import say
from tests.faults.hostile import varint
from tests.faults.ledger import EVERYWHERE
from tests.faults.process import Gateway, until

from memplane.v1 import filter_pb2, memory_service_pb2_grpc, search_pb2, value_pb2
from memplane.v1 import memory_service_pb2 as svc

OK = grpc.StatusCode.OK
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
LATE = grpc.StatusCode.DEADLINE_EXCEEDED


def check_alive(gateway: Gateway) -> None:
    """It serves as before."""
    assert gateway.running
    with gateway.channel() as channel:
        assert call(channel, METHODS["PutMemories"], messages.put("alive")).code is OK
    assert "bug in" not in gateway.log
    assert "Traceback" not in gateway.log


@pytest.mark.parametrize("name", METHODS)
def test_ten_megabytes(shared: Gateway, name: str) -> None:
    with shared.channel() as channel:
        answer = call(
            channel, METHODS[name], bytes([0xFA, 0x3F]) + varint(10_000_000) + bytes(10**7)
        )
    assert answer.code is EXHAUSTED
    check_alive(shared)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compression_bomb(shared: Gateway, compression: grpc.Compression) -> None:
    """100 MB of zeros are 100 KB on the wire; they are never unpacked as a whole."""
    check_alive(shared)
    before = shared.peak_bytes()
    raw = bytes([0xFA, 0x3F]) + varint(10**8) + bytes(10**8)
    with shared.channel() as channel:
        answer = call(channel, METHODS["PutMemories"], raw, compression=compression)
    # A gateway that takes no compressed calls at all says UNIMPLEMENTED.
    assert answer.code in (EXHAUSTED, grpc.StatusCode.UNIMPLEMENTED)
    grown = shared.peak_bytes() - before
    say(f"peak memory +{grown / 1e6:.1f} MB")
    assert grown < 40e6
    check_alive(shared)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_calls_are_answered(shared: Gateway, compression: grpc.Compression) -> None:
    """Done, or refused in words that name the compression."""
    with shared.channel() as channel:
        put = messages.put("packed", text="tea " * 1000)
        answer = call(channel, METHODS["PutMemories"], put, compression=compression)
    if answer.code is not OK:
        assert answer.code is grpc.StatusCode.UNIMPLEMENTED
        assert "disabled" in answer.message


def _nulls() -> svc.PutMemoriesRequest:
    put = messages.put("nulls")
    values = put.puts[0].memory.value.list_value.values
    one = values.add(null_value=value_pb2.NULL_VALUE_UNSPECIFIED)
    values.extend([one] * 900_000)
    return put


def _conditions() -> svc.CountMemoriesRequest:
    tree = samples.condition(filter_pb2.OP_IN, "n")
    for width in (64, 64, 55):
        tree = filter_pb2.Filter(all=filter_pb2.FilterList(filters=[tree] * width))
    return svc.CountMemoriesRequest(kind=messages.SEMANTIC, filter=tree)


def _words() -> svc.PutMemoriesRequest:
    put = svc.PutMemoriesRequest()
    for number in range(200):
        text = " ".join(f"{number}w{word}" for word in range(300))
        put.puts.add().CopyFrom(messages.put(f"words-{number}", text=text).puts[0])
    return put


SWARMS: dict[str, tuple[str, Callable[[], Message | bytes]]] = {
    "empty sub-messages": ("PutMemories", lambda: b"\x0a\x00" * 1_900_000),
    "refs without content": ("PutMemories", lambda: b"\x0a\x02\x1a\x00" * 900_000),
    "nulls in a list": ("PutMemories", _nulls),
    "conditions": ("CountMemories", _conditions),
    "words": ("PutMemories", _words),
    "labels": (
        "GetMemories",
        lambda: svc.GetMemoriesRequest(refs=[messages.ref("x", namespace=["a"] * 1_300_000)]),
    ),
}


@pytest.mark.parametrize("what", SWARMS)
def test_millions_of_small_things(shared: Gateway, what: str) -> None:
    """A message of legal size may hold millions of parts: others are still answered meanwhile."""
    name, make = SWARMS[what]
    made = make()
    raw = made if isinstance(made, bytes) else made.SerializeToString()
    assert len(raw) < 4 * 1024 * 1024
    check_alive(shared)
    peak = shared.peak_bytes()
    with shared.channel() as channel, shared.channel() as other:
        send: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHODS[name].path)
        pending = send.future(raw, timeout=60)
        waits: list[float] = []
        while not pending.done():
            started = time.perf_counter()
            assert call(other, METHODS["GetMemories"], messages.get("x")).code is OK
            waits.append(time.perf_counter() - started)
        assert pending.code() not in OUR_BUGS
    grown = shared.peak_bytes() - peak
    say(
        f"{what}: {len(raw) / 1e6:.1f} MB, {pending.code().name}, others waited "
        f"{max(waits):.2f} s at most, peak memory +{grown / 1e6:.0f} MB"
    )
    assert max(waits) < 10.0, "one caller has stopped all others"
    check_alive(shared)


def test_headers_of_twenty_kilobytes(shared: Gateway) -> None:
    with shared.channel(max_metadata_size=64 * 1024) as channel:
        for metadata in ([("x-large", "x" * 20_000)], [(f"x-{n}", "y" * 190) for n in range(100)]):
            answer = call(channel, METHODS["GetMemories"], messages.get("x"), metadata=metadata)
            assert answer.code is EXHAUSTED
    check_alive(shared)


def test_rpcs_that_are_not_there(shared: Gateway) -> None:
    paths = (
        "/memplane.v1.MemoryService/NoSuchRpc",
        "/memplane.v1.NoSuchService/PutMemories",
        "/memplane.v2.MemoryService/PutMemories",
        "/", "/x", "//", "/memplane.v1.MemoryService/", "/memplane.v1.MemoryService/PutMemories/x",
        "/MEMPLANE.V1.MEMORYSERVICE/PUTMEMORIES", "/%00/%ff",
    )  # fmt: skip
    with shared.channel() as channel:
        for path in paths:
            assert call(channel, path, b"").code is grpc.StatusCode.UNIMPLEMENTED, path
    check_alive(shared)


@pytest.mark.parametrize("seconds", [1e-6, 0.001, 0.005])
def test_deadlines_that_are_as_good_as_past(shared: Gateway, seconds: float) -> None:
    codes: Counter[str] = Counter()
    with shared.channel() as channel:
        check_alive(shared)
        for name, goods in samples.requests().items():
            requests = [good for good in goods for _ in range(40)]
            for answer in call_all(channel, METHODS[name], requests, timeout=seconds, at_once=8):
                assert answer.code in (OK, LATE), answer
                codes[answer.code.name] += 1
                _check_late(name, answer)
    check_alive(shared)
    say(f"{seconds * 1000:g} ms: {dict(codes)}")


def _check_late(name: str, answer: Answer) -> None:
    """When the gateway itself says that it is late, it says what that means for a write."""
    if answer.info is None:
        return
    assert answer.reason == "DEADLINE_PASSED", answer
    reads = name.startswith(("Get", "Search", "List", "Count", "Scan"))
    assert not reads or "ambiguous" not in answer.metadata, answer


def test_impatient_callers_do_not_make_routes_look_down(gateway: Gateway) -> None:
    """A deadline that is too short for a ping says nothing about the store."""
    with gateway.start().channel() as channel:
        method = METHODS["GetStatus"]
        for seconds in (0.001, 0.002, 0.003, 0.005):
            call_all(channel, method, [b""] * 100, timeout=seconds, at_once=10)
            assert check_health(channel, "semantic") == health_pb2.HealthCheckResponse.SERVING
    assert "route does not serve" not in gateway.log


def test_a_gateway_that_is_late_says_so(shared: Gateway) -> None:
    """The answer comes before the caller stops listening; unless it says `ambiguous`, it is sure."""
    told: Counter[str] = Counter()
    with shared.channel() as channel:
        for number in range(30):
            keys = [f"late-{number}-{item}" for item in range(300)]
            seconds = 0.01 + 0.008 * number
            answer = call(channel, METHODS["PutMemories"], messages.put(*keys), timeout=seconds)
            assert answer.code in (OK, LATE), answer
            _check_late("PutMemories", answer)
            if answer.code is OK:
                told["done"] += 1
                assert _held(channel, keys) == len(keys)
            elif answer.info is not None and "ambiguous" not in answer.metadata:
                told["told: not done"] += 1
                assert _held(channel, keys) == 0
            else:
                told["not told" if answer.info is None else "told: ambiguous"] += 1
                # Many keys are read in more than one step, and the write may end between two.
                whole = functools.partial(_is_whole, channel, keys)
                until(whole, 20, "all of it or none")
    check_alive(shared)
    say(f"{dict(told)}")


def _held(channel: grpc.Channel, keys: Sequence[str]) -> int:
    """How many of the memories are there."""
    got = messages.Stub(channel).GetMemories(messages.get(*keys), timeout=20)
    return sum(result.HasField("memory") for result in got.results)


def _is_whole(channel: grpc.Channel, keys: Sequence[str]) -> bool:
    return _held(channel, keys) in (0, len(keys))


async def test_cancel_storm(shared: Gateway) -> None:
    """200 calls, each cancelled at a moment of its own: all of a batch is there, or none of it."""
    chance = random.Random(7)
    size, number = 20, 200
    check_alive(shared)
    threads, files = shared.threads(), shared.descriptors()
    codes: Counter[str] = Counter()
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with aio.insecure_channel(shared.address, options=options) as channel:
        stub = memory_service_pb2_grpc.MemoryServiceStub(channel)

        async def write_and_give_up(which: int) -> None:
            keys = (f"storm-{which}-{item}" for item in range(size))
            pending = stub.PutMemories(messages.put(*keys), timeout=20)
            await asyncio.sleep(chance.random() * 0.15)  # not to wait, but to hit any moment
            pending.cancel()
            codes[(await pending.code()).name] += 1

        await asyncio.gather(*(write_and_give_up(which) for which in range(number)))
    with shared.channel() as sync:
        there = messages.keys_there(messages.Stub(sync))
        search = svc.SearchMemoriesRequest()
        search.queries.add(
            kind=messages.SEMANTIC,
            text=EVERYWHERE,
            mode=search_pb2.SEARCH_MODE_KEYWORD,
            page_size=1000,
        )
        assert call(sync, METHODS["SearchMemories"], search).code is OK
    applied = 0
    for which in range(number):
        held = sum(f"storm-{which}-{item}" in there for item in range(size))
        assert held in (0, size), f"half a batch: {held} of {size}"
        applied += held == size
    check_alive(shared)
    # The readers' pool fills up: four threads, each with the database, its log and its index open.
    until(lambda: shared.descriptors() <= files + 1 + 4 * 3, 10, "files closed")
    assert shared.threads() <= threads + 4, "nothing else grows"
    say(f"{dict(codes)}, {applied} of them had taken effect")


async def test_one_who_cancels_does_not_harm_the_others(shared: Gateway) -> None:
    """Their writes share a transaction; those who wait get their answer."""
    async with aio.insecure_channel(shared.address) as channel:
        stub = memory_service_pb2_grpc.MemoryServiceStub(channel)
        for attempt in range(20):
            calls = [
                stub.PutMemories(messages.put(f"shared-{attempt}-{number}"), timeout=20)
                for number in range(16)
            ]
            calls[attempt % 16].cancel()
            for number, pending in enumerate(calls):
                if number != attempt % 16:
                    assert (await pending).results[0].outcome
    check_alive(shared)


@pytest.mark.skipif(sys.platform == "win32", reason="the gateway listens on a Unix socket")
def test_strangers_at_the_door(shared: Gateway) -> None:
    """Connections that say nothing, or nothing of HTTP/2, cost nobody anything."""
    import socket

    path = shared.address.removeprefix("unix:")
    before = shared.descriptors()
    open_: list[socket.socket] = []
    for number in range(100):
        stranger = socket.socket(socket.AF_UNIX)
        stranger.connect(path)
        if number % 2:
            stranger.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" if number % 3 else b"\xff" * 5000)
        open_.append(stranger)
    check_alive(shared)
    for stranger in open_:
        stranger.close()
    until(lambda: shared.descriptors() <= before + 2, 30, "strangers gone")
    check_alive(shared)
