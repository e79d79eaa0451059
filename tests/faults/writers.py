"""Writers that never rest: puts, updates and deletes, single and in batches, each in his own keys."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable

import grpc
import numpy as np
from grpc import aio
from tests.faults.ledger import EVERYWHERE, Attempt, Ledger, Place, State, place_of

from memplane.v1 import memory_pb2, memory_service_pb2_grpc
from memplane.v1 import memory_service_pb2 as svc

KEYS = 60
DIMENSION = 512
_LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class Writer:
    """One writer. No one else writes to his keys, so what must be there is known."""

    def __init__(
        self, name: str, kind: memory_pb2.Kind.ValueType, ledger: Ledger, chance: random.Random
    ) -> None:
        self._name = name
        self._kind = kind
        self._ledger = ledger
        self._chance = chance
        self._number = 0
        self._numbers = np.random.default_rng(chance.getrandbits(32))

    async def run(self, channel: aio.Channel, on_ack: Callable[[], None]) -> None:
        """Write until the gateway is gone; a call without an answer is noted as doubtful."""
        stub = memory_service_pb2_grpc.MemoryServiceStub(channel)
        while True:
            attempt = self._next()
            try:
                results = await _send(stub, attempt)
            except aio.AioRpcError as error:
                if error.code() not in _LOST:
                    raise
                self._ledger.doubtful.append(attempt)
                return
            self._ledger.acknowledge(attempt, results)
            on_ack()

    def _next(self) -> Attempt:
        """Any of the things that a client does."""
        size = self._chance.choice([1, 1, 1, 2, 10, 30])
        there = [place for place in self._places() if self._ledger.known.get(place) is not None]
        what = self._chance.random()
        if what < 0.25 and there:
            return self._update(self._chance.sample(there, min(size, len(there))))
        if what < 0.40 and there:
            return self._delete(self._chance.sample(there, min(size, len(there))))
        return self._put(self._chance.sample(self._places(), size))

    def _places(self) -> list[Place]:
        return [(self._kind, ("writer", self._name), f"key-{index}") for index in range(KEYS)]

    def _put(self, places: list[Place]) -> Attempt:
        request = svc.PutMemoriesRequest(request_id=str(uuid.uuid4()))
        after: dict[Place, State | None] = {}
        for place in places:
            memory = request.puts.add().memory
            _set_ref(memory.ref, place)
            self._number += 1
            memory.attributes["number"].int_value = self._number
            memory.value.bytes_value = self._chance.randbytes(self._chance.choice([0, 9, 3000]))
            if self._kind != memory_pb2.KIND_PROCEDURAL:
                memory.text = self._text()
                if self._chance.random() < 0.3:
                    vector = self._numbers.standard_normal(DIMENSION).astype("<f4")
                    memory.vector = vector.tobytes()
            if self._kind == memory_pb2.KIND_EPISODIC:
                memory.episode.type = memory_pb2.EPISODE_TYPE_ACTION
                memory.episode.session_id = self._name
                memory.episode.event_time.seconds = self._number
            after[place] = State(memory)
        return Attempt(request, after)

    def _update(self, places: list[Place]) -> Attempt:
        request = svc.UpdateMemoriesRequest(request_id=str(uuid.uuid4()))
        after: dict[Place, State | None] = {}
        for place in places:
            update = request.updates.add()
            _set_ref(update.ref, place)
            self._number += 1
            update.attributes["number"].int_value = self._number
            state = self._ledger.known[place]
            assert state is not None
            memory = memory_pb2.Memory()
            memory.CopyFrom(state.memory)
            memory.attributes["number"].int_value = self._number
            if self._kind != memory_pb2.KIND_PROCEDURAL and self._chance.random() < 0.5:
                update.text = memory.text = self._text()
                memory.vector = b""
            after[place] = State(memory)
        return Attempt(request, after)

    def _delete(self, places: list[Place]) -> Attempt:
        request = svc.DeleteMemoriesRequest(request_id=str(uuid.uuid4()))
        for place in places:
            _set_ref(request.deletes.add().ref, place)
        return Attempt(request, dict.fromkeys(places))

    def _text(self) -> str:
        """A word that no other text has comes first."""
        return f"{self._name}x{self._number} {EVERYWHERE} " + " ".join(
            self._chance.choice(("river", "stone", "cloud", "ember", "quiet")) for _ in range(8)
        )


async def _send(
    stub: memory_service_pb2_grpc.MemoryServiceAsyncStub, attempt: Attempt
) -> list[svc.WriteResult]:
    request = attempt.request
    if isinstance(request, svc.PutMemoriesRequest):
        return list((await stub.PutMemories(request, timeout=20)).results)
    if isinstance(request, svc.UpdateMemoriesRequest):
        return list((await stub.UpdateMemories(request, timeout=20)).results)
    return list((await stub.DeleteMemories(request, timeout=20)).results)


def _set_ref(ref: memory_pb2.MemoryRef, place: Place) -> None:
    kind, namespace, key = place
    ref.kind = memory_pb2.Kind.ValueType(kind)
    ref.namespace.extend(namespace)
    ref.key = key
    assert place_of(ref) == place


def crew(ledger: Ledger, chance: random.Random) -> list[Writer]:
    """Writers of all kinds."""
    kinds = {
        "sa": memory_pb2.KIND_SEMANTIC,
        "sb": memory_pb2.KIND_SEMANTIC,
        "sc": memory_pb2.KIND_SEMANTIC,
        "ea": memory_pb2.KIND_EPISODIC,
        "eb": memory_pb2.KIND_EPISODIC,
        "pa": memory_pb2.KIND_PROCEDURAL,
        "pb": memory_pb2.KIND_PROCEDURAL,
    }
    return [
        Writer(name, kind, ledger, random.Random(chance.random())) for name, kind in kinds.items()
    ]


async def write_until(
    writers: list[Writer], address: str, acks: int, then: Callable[[], None]
) -> None:
    """Let writers write; after so many answers do something that ends them, and wait for that."""
    enough = asyncio.Event()
    left = acks

    def on_ack() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            enough.set()

    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    async with aio.insecure_channel(address, options=options) as channel:
        await asyncio.wait_for(channel.channel_ready(), 20)
        tasks = [asyncio.create_task(writer.run(channel, on_ack)) for writer in writers]
        waiting = asyncio.create_task(enough.wait())
        await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        then()
        await asyncio.gather(*tasks)
        waiting.cancel()
