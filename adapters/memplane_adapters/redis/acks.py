"""More than the server's own answer to a write: its fsync and its replicas, waited for together.

WAIT and WAITAOF ask about the last write of their own connection. They go out on connections of their
own, behind a write that changes nothing; so the question covers all that the server did before,
whoever asked for it, also a delete that found nothing. Callers who come while all these connections
are busy share the next question, and writes are never held up by those who wait.

What may have been written without that it is known to be fsynced is *in doubt*: whoever reads it, to
see whether it was written, has to wait for an fsync, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.kit.errors import failure
from memplane_adapters.redis import layout
from memplane_adapters.redis.connection import Command, Reply
from memplane_adapters.redis.engine import WAITERS, Engine
from memplane_adapters.redis.settings import RedisSettings

_KEPT_MILLIS: Final = 86_400_000
"""How long the key of the write that changes nothing outlives its last use."""
_FIRST_MILLIS: Final = 100
_MOST_DOUBTS: Final = 10_000
"""From so many rows on, all are in doubt."""
_ALL: Final = b""


@dataclass(frozen=True, slots=True)
class Ack:
    """What is known of all that was written before."""

    replicas: int = 0
    """How many have it; fsynced, where that was asked for."""
    problem: str = ""
    """Why it is not known to be fsynced; empty if it is, or if that was not asked for."""


class Acks:
    """Questions of one store."""

    def __init__(self, engine: Engine, settings: RedisSettings) -> None:
        self._engine = engine
        self._settings = settings
        self._key = layout.barrier(settings.prefix)
        self._waiting: list[asyncio.Future[Ack]] = []
        self._asking: set[asyncio.Task[None]] = set()
        self._asked = 0
        """How many questions were begun."""
        self._doubts: dict[bytes, int] = {}
        """Rows, and `_asked` when they came into doubt; in that order."""

    @property
    def wanted(self) -> bool:
        """Whether writes wait for anything."""
        return bool(self._settings.wait_fsync or self._settings.wait_replicas)

    async def ask(self) -> Ack:
        """Wait for what the settings say; it covers all that was answered before."""
        answer: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        if len(self._asking) < WAITERS:
            task = asyncio.ensure_future(self._serve())
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        return await answer

    async def settle(self) -> None:
        """Wait, if at all, for the fsync of all that was answered before. Raises TIMEOUT."""
        if self._settings.wait_fsync:
            ack = await self.ask()
            if ack.problem:
                raise failure(StoreReason.TIMEOUT, ack.problem)

    def doubt(self, rows: Iterable[bytes]) -> None:
        """Note rows that may have been written."""
        if self._settings.wait_fsync:
            for row in rows:
                name = row if len(self._doubts) < _MOST_DOUBTS else _ALL
                self._doubts.pop(name, None)
                self._doubts[name] = self._asked

    def in_doubt(self, rows: Iterable[object]) -> bool:
        """Whether one of them is."""
        if not self._doubts:
            return False
        return _ALL in self._doubts or not self._doubts.keys().isdisjoint(rows)

    async def close(self) -> None:
        """Finish what is under way; the callers of it have gone."""
        while self._asking:
            await asyncio.wait(self._asking)

    async def _serve(self) -> None:
        while self._waiting:
            answers, self._waiting = self._waiting, []
            self._asked += 1
            begun = self._asked
            try:
                ack = read(await self._engine.wait(self._question()), self._settings)
            except StoreError as error:  # closed meanwhile
                ack = Ack(problem=_unknown(error))
            if not ack.problem:
                self._believe(begun)
            for answer in answers:
                if not answer.done():
                    answer.set_result(ack)

    def _believe(self, begun: int) -> None:
        """What came into doubt before that question is not any more."""
        for row, asked in list(self._doubts.items()):
            if asked >= begun:
                break
            del self._doubts[row]

    def _question(self) -> list[Command]:
        until = time.time_ns() // 1_000_000 + _KEPT_MILLIS
        # A full server refuses SET, but not PEXPIREAT, nor the deletes that make room.
        barrier = [(b"SET", self._key, b"", b"NX"), (b"PEXPIREAT", self._key, until)]
        return [*barrier, *waits(self._settings)]


def waits(settings: RedisSettings) -> list[Command]:
    """The commands that wait. The server's own fsync has a time of its own: without it a write fails."""
    number, patience = settings.wait_replicas, _millis(settings.wait_timeout)
    if not settings.wait_fsync:
        return [(b"WAIT", number, patience)]
    local: Command = (b"WAITAOF", 1, 0, _millis(settings.wait_fsync))
    if not number:
        return [local]
    # A replica that is asked too early, before its fsync, says so and is silent for a second. When it
    # answers WAIT, one with `appendfsync always` has done it.
    first = max(1, min(_FIRST_MILLIS, patience // 2))
    rest = max(1, patience - first)
    return [local, (b"WAIT", number, first), (b"WAITAOF", 0, number, rest)]


def read(replies: list[Reply], settings: RedisSettings) -> Ack:
    """The answers to a question. Both commands answer when the time is over, too: counts decide."""
    barrier, moved, *counts = replies
    if moved != 1:
        refused = moved if isinstance(moved, Exception) else barrier
        return Ack(problem=_unknown(refused) if settings.wait_fsync else "")
    if not settings.wait_fsync:
        return Ack(counts[0] if isinstance(counts[0], int) else 0)
    match counts:
        case [[1, int(replicas)]]:
            return Ack(replicas)
        case [[1, int()], _, [int(), int(replicas)]]:
            return Ack(replicas)
        case [[1, int()], *_]:
            return Ack()
        case [[0, int()], *_]:
            return Ack(problem=f"written, but not fsynced within {settings.wait_fsync:g} s")
    return Ack(problem=_unknown(counts[0]))


def _unknown(answer: Reply) -> str:
    return f"written, but not known to be fsynced: {answer}"


def _millis(seconds: float) -> int:
    return max(1, round(seconds * 1000))
