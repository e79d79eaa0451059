"""SIGKILL at any moment: what was acknowledged is there, nothing is there twice or by halves."""

from __future__ import annotations

import os
import random
import time

import pytest
from tests.faults.figures import say
from tests.faults.ledger import Ledger, holdings
from tests.faults.process import START_SECONDS, Gateway, until
from tests.faults.writers import crew, write_until
from tests.thorough import THOROUGH

from memplane.v1 import memory_pb2, memory_service_pb2_grpc, search_pb2
from memplane.v1 import memory_service_pb2 as svc

ROUNDS = int(os.environ.get("MEMPLANE_TEST_KILL_ROUNDS", "50" if THOROUGH else "15"))
START_ROUNDS = int(os.environ.get("MEMPLANE_TEST_START_ROUNDS", "8" if THOROUGH else "4"))
SEED = int(os.environ.get("MEMPLANE_TEST_SEED", "0")) or random.SystemRandom().getrandbits(32)


@pytest.mark.timeout(60 + 10 * ROUNDS)
async def test_kill_while_writing(gateway: Gateway) -> None:
    """One data directory lives through all rounds."""
    say(f"MEMPLANE_TEST_SEED={SEED}")
    chance = random.Random(SEED)
    ledger = Ledger()
    writers = crew(ledger, chance)
    applied = undone = 0
    starts: list[float] = []
    costs: list[float] = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        gateway.start()
        starts.append(time.perf_counter() - started)
        costs.append(gateway.cpu_seconds())
        with gateway.channel() as channel:
            stub = memory_service_pb2_grpc.MemoryServiceStub(channel)
            found = holdings(stub)
            did, did_not = ledger.settle(found)
            applied, undone = applied + did, undone + did_not
            ledger.compare(found)
            _retry(stub, ledger)
        pause = chance.random() * 0.01

        def kill(pause: float = pause) -> None:
            time.sleep(pause)  # not to wait, but to hit any moment
            gateway.kill()

        await write_until(writers, gateway.address, chance.randint(1, 60), kill)
    with gateway.start().channel() as channel:
        stub = memory_service_pb2_grpc.MemoryServiceStub(channel)
        found = holdings(stub)
        ledger.settle(found)
        ledger.compare(found)
    assert "bug in" not in gateway.log
    starts.sort()
    say(
        f"{ROUNDS} kills, {ledger.acknowledged} acknowledged writes, none lost; "
        f"calls without answer: {applied} had taken effect, {undone} had not; "
        f"start: median {starts[len(starts) // 2]:.2f} s, worst {starts[-1]:.2f} s, "
        f"{min(costs):.2f} to {max(costs):.2f} s of CPU"
    )


def _retry(stub: memory_service_pb2_grpc.MemoryServiceStub, ledger: Ledger) -> None:
    """What had no answer is sent again with the same request id, and then is so."""
    for attempt in ledger.doubtful:
        request = attempt.request
        results: list[svc.WriteResult]
        if isinstance(request, svc.PutMemoriesRequest):
            results = list(stub.PutMemories(request, timeout=20).results)
        elif isinstance(request, svc.UpdateMemoriesRequest):
            results = list(stub.UpdateMemories(request, timeout=20).results)
        else:
            results = list(stub.DeleteMemories(request, timeout=20).results)
        ledger.acknowledge(attempt, results)
    ledger.doubtful.clear()


def test_ready_again_with_ten_thousand(gateway: Gateway) -> None:
    """No assertion on a clock: the figures are printed."""
    memories = 10_000
    gateway.start()
    with gateway.channel() as channel:
        stub = memory_service_pb2_grpc.MemoryServiceStub(channel)
        started = time.perf_counter()
        for start in range(0, memories, 500):
            request = svc.PutMemoriesRequest()
            for number in range(start, start + 500):
                memory = request.puts.add().memory
                memory.ref.kind = memory_pb2.KIND_SEMANTIC
                memory.ref.key = f"key-{number}"
                memory.text = f"The number {number} stands beside {number * 7919 % 10_007}"
            stub.PutMemories(request, timeout=60)
        filled = time.perf_counter() - started
    figures: list[str] = []
    for _ in range(3):
        gateway.kill()
        started = time.perf_counter()
        gateway.start()
        listening, cost = time.perf_counter() - started, gateway.cpu_seconds()
        with gateway.channel() as channel:
            stub = memory_service_pb2_grpc.MemoryServiceStub(channel)
            count = stub.CountMemories(
                svc.CountMemoriesRequest(kind=memory_pb2.KIND_SEMANTIC), timeout=20
            )
            ready = time.perf_counter() - started
            assert count.count == memories
            for mode in (search_pb2.SEARCH_MODE_KEYWORD, search_pb2.SEARCH_MODE_VECTOR):
                answer = stub.SearchMemories(
                    svc.SearchMemoriesRequest(
                        queries=[
                            search_pb2.SearchQuery(
                                kind=memory_pb2.KIND_SEMANTIC, text="number 4711", mode=mode
                            )
                        ]
                    ),
                    timeout=20,
                )
                assert answer.results[0].hits[0].memory.ref.key == "key-4711"
            searched = time.perf_counter() - started
        figures.append(
            f"listening {listening:.2f} s ({cost:.2f} s of CPU), counted {ready:.2f} s, searched {searched:.2f} s"
        )
    say(f"{memories} memories: filled in {filled:.1f} s; ready again: {'; '.join(figures)}")


@pytest.mark.usefixtures("real_starts")
def test_kill_while_starting(gateway: Gateway) -> None:
    """The very first start makes the file; SIGKILL comes at any moment of that, and once more."""
    chance = random.Random(SEED)
    early = bare = 0
    for number in range(START_ROUNDS):
        gateway.data = gateway.root / f"data-{number}"
        lock = gateway.data / "memplane.db.lock"
        for _ in range(2):
            lock.unlink(missing_ok=True)
            gateway.launch()
            until(lock.exists, START_SECONDS, "the lock file")
            time.sleep(chance.random() ** 2 * 0.03)  # not to wait, but to hit any moment
            gateway.kill()
            early += not gateway.ready
        file = gateway.data / "memplane.db"
        bare += not file.exists() or file.stat().st_size == 0
        with gateway.start().channel() as channel:
            stub = memory_service_pb2_grpc.MemoryServiceStub(channel)
            assert holdings(stub) == {}
            stub.PutMemories(svc.PutMemoriesRequest(puts=[_put("survivor")]), timeout=20)
            assert len(holdings(stub)) == 1
        gateway.kill()
    assert "bug in" not in gateway.log
    say(
        f"{2 * START_ROUNDS} kills while starting, {early} of them before it listened; {bare} left "
        "an empty file or none"
    )


def _put(key: str) -> svc.MemoryPut:
    put = svc.MemoryPut()
    put.memory.ref.kind = memory_pb2.KIND_SEMANTIC
    put.memory.ref.key = key
    put.memory.text = f"{key} everywhere"
    return put
