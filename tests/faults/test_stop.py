"""The end of a gateway: it says so first, what is in flight is done, and nothing is lost."""

from __future__ import annotations

import random
import signal
import threading
import time

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2
from tests.faults import messages
from tests.faults.calls import METHODS, call, watch_health
from tests.faults.figures import say
from tests.faults.ledger import Ledger, holdings
from tests.faults.process import Gateway, until
from tests.faults.writers import crew, write_until

from memplane.v1 import memory_service_pb2_grpc

pytestmark = pytest.mark.usefixtures("real_starts")

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_sigterm_under_load(gateway: Gateway) -> None:
    chance = random.Random(1)
    ledger = Ledger()
    gateway.start()
    await write_until(
        crew(ledger, chance), gateway.address, 100, lambda: gateway.signal(signal.SIGTERM)
    )
    assert gateway.ended() == 0
    with gateway.start().channel() as channel:
        found = holdings(memory_service_pb2_grpc.MemoryServiceStub(channel))
    applied, undone = ledger.settle(found)
    ledger.compare(found)
    assert "bug in" not in gateway.log
    say(
        f"{ledger.acknowledged} acknowledged writes, none lost; calls without answer: "
        f"{applied} had taken effect, {undone} had not"
    )


@pytest.mark.parametrize("service", ["", "memplane.v1.MemoryService", "semantic"])
def test_watchers_hear_that_it_stops(gateway: Gateway, service: str) -> None:
    with gateway.start().channel() as channel:
        watch = watch_health(channel, service)
        assert next(watch) == SERVING
        sent = time.perf_counter()
        gateway.signal(signal.SIGTERM)
        assert next(watch) == NOT_SERVING
        heard = time.perf_counter() - sent
        assert gateway.ended() == 0
        gone = time.perf_counter() - sent
    say(f"NOT_SERVING after {heard:.3f} s, gone after {gone:.2f} s with a watcher")
    assert heard < 2.0
    assert gone < 4.5, "a watcher must not hold the gateway up until the end of its patience"


async def test_what_is_in_flight_is_done(gateway: Gateway) -> None:
    """Twenty large batches are on their way when SIGTERM comes; each that has begun ends well."""
    gateway.start()
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    async with aio.insecure_channel(gateway.address, options=options) as channel:
        stub = memory_service_pb2_grpc.MemoryServiceStub(channel)
        calls = [
            stub.PutMemories(
                messages.put(*(f"key-{number}-{index}" for index in range(200))), timeout=20
            )
            for number in range(20)
        ]
        await calls[0]
        gateway.signal(signal.SIGTERM)
        codes = [await call.code() for call in calls]
    assert gateway.ended() == 0
    done = {number for number, code in enumerate(codes) if code is grpc.StatusCode.OK}
    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}, codes
    with gateway.start().channel() as sync:
        there = messages.keys_there(messages.Stub(sync))
    for number in range(20):
        held = sum(f"key-{number}-{index}" in there for index in range(200))
        assert held == 200 if number in done else held in (0, 200)
    say(f"of 20 calls in flight {len(done)} ended with OK")
    assert len(done) == 20, f"in flight and yet not done: {codes}"


def test_idle_clients_do_not_hold_it_up(gateway: Gateway) -> None:
    with gateway.start().channel() as channel:
        messages.Stub(channel).PutMemories(messages.put("kept"), timeout=20)
        sent = time.perf_counter()
        assert gateway.stop() == 0
        gone = time.perf_counter() - sent
    say(f"gone after {gone:.2f} s with an idle client")
    assert gone < 4.5


def test_who_calls_in_the_last_moment_hears_unavailable(gateway: Gateway) -> None:
    """Clients retry UNAVAILABLE; CANCELLED is what a caller himself has done."""
    codes: list[grpc.StatusCode] = []

    def call_on(number: int) -> None:
        with gateway.channel(enable_retries=0) as channel:
            put = messages.put(f"key-{number}")
            code = grpc.StatusCode.OK
            while code is grpc.StatusCode.OK:
                code = call(channel, METHODS["PutMemories"], put, wait_for_ready=False).code
            codes.append(code)

    for _ in range(2):
        gateway.start()
        threads = [threading.Thread(target=call_on, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        with gateway.channel() as channel:
            while len(messages.keys_there(messages.Stub(channel))) < 8:
                continue
        assert gateway.stop() == 0
        for thread in threads:
            thread.join()
    assert set(codes) == {grpc.StatusCode.UNAVAILABLE}, codes


def test_sigterm_twice(gateway: Gateway) -> None:
    """The second one does not wait for those who hold on."""
    with gateway.start().channel() as channel:
        watch = watch_health(channel, "")
        assert next(watch) == SERVING
        sent = time.perf_counter()
        gateway.signal(signal.SIGTERM)
        assert next(watch) == NOT_SERVING
        if gateway.running:
            gateway.signal(signal.SIGTERM)
        assert gateway.ended() == 0
        assert time.perf_counter() - sent < 3.0
    assert "Traceback" not in gateway.log


def test_sigint_is_as_good(gateway: Gateway) -> None:
    with gateway.start().channel() as channel:
        messages.Stub(channel).PutMemories(messages.put("kept"), timeout=20)
    gateway.signal(signal.SIGINT)
    assert gateway.ended() == 0
    with gateway.start().channel() as channel:
        assert messages.keys_there(messages.Stub(channel)) == {"kept"}
    assert "Traceback" not in gateway.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_starting(gateway: Gateway, number: int) -> None:
    """It ends, whenever the signal comes, and with no word of Python's."""
    lock = gateway.data / "memplane.db.lock"
    for step in range(4):
        gateway.launch()
        if step:
            lock.unlink(missing_ok=True)
            until(lock.exists, 20, "the lock file")
            time.sleep(0.01 * (step - 1))  # not to wait, but to hit several moments
        else:
            time.sleep(0.1)
        gateway.signal(number)
        assert gateway.ended() in (0, 1, 130, -number)
        # Before our first line runs, it is Python that answers.
        assert "Traceback" not in gateway.said or step == 0, gateway.said
    gateway.start()
    assert gateway.status().version
