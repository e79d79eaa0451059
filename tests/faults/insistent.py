"""Callers that send each call again until it is answered, at either gateway, and remember the answers."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from memplane import (
    Aborted,
    AsyncClient,
    AsyncScope,
    Cancelled,
    DeadlineExceeded,
    Durability,
    Kind,
    Memory,
    Outcome,
    Put,
    Ref,
    Unavailable,
    WriteResult,
)

T = TypeVar("T")
SPACE = ("insistent",)
COUNTERS = 4
OWN = 8
"""Memories of a caller's own, which it writes again and again."""
REMEMBERED = 16
"""Writes with request ids that a memory remembers."""
CALL_SECONDS = 5.0
_PAUSE_SECONDS = 0.02
_LOST = (Unavailable, DeadlineExceeded, Cancelled)


@dataclass(slots=True)
class Ledger:
    """What callers were told, and how often they had to ask."""

    level: Durability
    """What answers say, unless the gateway has not asked its store since that was down."""
    known: dict[str, WriteResult] = field(default_factory=dict)
    """The last answer of each key but the counters'."""
    values: dict[str, int] = field(default_factory=dict)
    """What was written last under each of these."""
    increments: dict[tuple[str, str], int] = field(default_factory=dict)
    """By counter and caller."""
    acknowledged: int = 0
    at_level: int = 0
    """Those that said so."""
    lost: int = 0
    """Calls without an answer."""
    replayed: int = 0
    """Items that had taken effect when they were sent again."""
    forgotten: int = 0
    """As `replayed`, but too many others had written for the memory to remember it."""

    def acknowledge(self, result: WriteResult, outcome: Outcome) -> None:
        """An item took effect, as its caller expected."""
        assert result.outcome is outcome, result
        assert result.durability in (self.level, Durability.UNKNOWN), result
        self.acknowledged += 1
        self.at_level += result.durability is self.level
        self.replayed += result.replayed

    def check(self, found: Sequence[Memory]) -> None:
        """All that was acknowledged is there as it was told, written once, and nothing else is."""
        by_key = {memory.key: memory for memory in found}
        assert len(by_key) == len(found), "listed twice"
        counters = {counter for counter, _ in self.increments}
        assert by_key.keys() == self.known.keys() | counters
        for key, told in self.known.items():
            memory = by_key[key]
            assert memory.value == self.values[key], f"{key}: {memory} but told {told}"
            assert (memory.etag, memory.revision) == (told.etag, told.revision), key
        for counter in counters:
            marks = {who: n for (of, who), n in self.increments.items() if of == counter}
            assert by_key[counter].value == {"count": sum(marks.values()), "marks": marks}


class Caller:
    """One of those who write at the same time."""

    def __init__(
        self, number: int, clients: Sequence[AsyncClient], ledger: Ledger, chance: random.Random
    ) -> None:
        self.name = f"caller-{number}"
        self._scopes = [client.scope(*SPACE) for client in clients]
        self._turn = number
        self._ledger = ledger
        self._chance = chance
        self._number = 0

    async def run(self, goes_on: Callable[[], bool]) -> None:
        """Write as long as that says so."""
        while goes_on():
            what = self._chance.random()
            if what < 0.4:
                await self._make()
            elif what < 0.7:
                await self._write_over()
            elif what < 0.8:
                await self._look()
            else:
                await self._increment(f"counter-{self._chance.randrange(COUNTERS)}")

    async def _make(self) -> None:
        """New memories, each written once."""
        size = self._chance.choice([1, 1, 3, 10, 20])
        keys = [f"{self.name}-new-{self._next()}" for _ in range(size)]
        await self._put(keys, atomic=self._chance.random() < 0.5)

    async def _write_over(self) -> None:
        """Memories that nobody else writes."""
        size = self._chance.choice([1, 1, 3])
        own = self._chance.sample(range(OWN), size)
        await self._put([f"{self.name}-own-{each}" for each in own], atomic=False)

    async def _put(self, keys: Sequence[str], *, atomic: bool) -> None:
        values: dict[str, int] = {key: self._next() for key in keys}
        puts = [Put(Ref(Kind.PROCEDURAL, SPACE, key), value=value) for key, value in values.items()]
        request_id = str(uuid.uuid4())

        async def call(scope: AsyncScope) -> Sequence[WriteResult]:
            results = await scope.put_many(
                puts, atomic=atomic, request_id=request_id, timeout=CALL_SECONDS
            )
            return results.raise_for_error()

        for result in await self._insist(call):
            known = result.key in self._ledger.known
            self._ledger.acknowledge(result, Outcome.UPDATED if known else Outcome.CREATED)
            self._ledger.known[result.key] = result
        self._ledger.values.update(values)

    async def _look(self) -> None:
        """What was acknowledged is there at once, whoever acknowledged it."""
        key = f"{self.name}-own-{self._chance.randrange(OWN)}"
        memory = await self._insist(
            lambda scope: scope.get(Kind.PROCEDURAL, key, timeout=CALL_SECONDS)
        )
        told = self._ledger.known.get(key)
        assert (memory is None) == (told is None), f"{key}: {memory} but told {told}"
        if memory is not None and told is not None:
            assert (memory.value, memory.etag) == (self._ledger.values[key], told.etag)

    async def _increment(self, counter: str) -> None:
        """Add one to what all add to, under if_match."""
        marks = self._ledger.increments
        mark = marks.get((counter, self.name), 0) + 1
        while not await self._incremented(counter, mark):
            pass
        marks[counter, self.name] = mark

    async def _incremented(self, counter: str, mark: int) -> bool:
        """Whether it took effect, or others came first."""
        memory = await self._counter(counter)
        count = memory.value["count"] + 1
        changed = {"count": count, "marks": {**memory.value["marks"], self.name: mark}}
        request_id, lost = str(uuid.uuid4()), self._ledger.lost
        try:
            result = await self._insist(
                lambda scope: scope.put(
                    Kind.PROCEDURAL,
                    counter,
                    value=changed,
                    if_match=memory.etag,
                    request_id=request_id,
                    timeout=CALL_SECONDS,
                )
            )
        except Aborted as error:
            if error.reason != "ETAG_MISMATCH":
                raise
            now = (await self._counter(counter)).value
            if now["marks"].get(self.name, 0) < mark:
                return False
            assert self._ledger.lost > lost, "refused, but done"
            assert now["count"] - count >= REMEMBERED, "done, but not recognised"
            self._ledger.forgotten += 1
            return True
        self._ledger.acknowledge(result, Outcome.UPDATED)
        return True

    async def _counter(self, counter: str) -> Memory:
        memory = await self._insist(
            lambda scope: scope.get(Kind.PROCEDURAL, counter, timeout=CALL_SECONDS)
        )
        assert memory is not None
        return memory

    async def _insist(self, call: Callable[[AsyncScope], Awaitable[T]]) -> T:
        """Send a call to one gateway and the other, until it is answered."""
        while True:
            self._turn += 1
            try:
                return await call(self._scopes[self._turn % len(self._scopes)])
            except _LOST:
                self._ledger.lost += 1
            except Aborted as error:
                if error.reason != "REQUEST_RUNNING":
                    raise
            await asyncio.sleep(_PAUSE_SECONDS)

    def _next(self) -> int:
        self._number += 1
        return self._number


async def make_counters(client: AsyncClient) -> None:
    """At zero."""
    for number in range(COUNTERS):
        await client.scope(*SPACE).put(
            Kind.PROCEDURAL, f"counter-{number}", value={"count": 0, "marks": {}}
        )
