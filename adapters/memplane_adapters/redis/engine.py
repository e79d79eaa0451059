"""The connections of a store, opened and closed once.

A call that finds a connection free goes out by itself at once; what comes while all are busy waits,
and goes out as one batch with all else that waits. So a busy store needs few round trips, and an idle
one adds nothing to them.

A caller who gives up hinders nobody: what was sent is read to its end, so that no answer meets
another question, and later writes come behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from redis.exceptions import NoScriptError

from memplane_adapters.kit.errors import closed
from memplane_adapters.redis import errors, scripts
from memplane_adapters.redis.connection import Command, Connection, Reply
from memplane_adapters.redis.settings import RedisSettings

_READERS: Final = 2
_WRITERS: Final = 1
"""One, so that writes come to Redis in the order in which they are asked for."""
WAITERS: Final = 8
"""For those who wait for an fsync or for replicas."""
_BATCH: Final = 256
"""About how many commands go out together."""


@dataclass(slots=True)
class _Job:
    commands: Sequence[Command]
    answer: asyncio.Future[list[Reply]]


class Lanes:
    """Some connections that share the work."""

    def __init__(self, settings: RedisSettings, number: int) -> None:
        self._settings = settings
        self._free = [Connection(settings) for _ in range(number)]
        self._waiting: deque[_Job] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    async def call(self, commands: Sequence[Command]) -> list[Reply]:
        """The answers, in which an exception stands for what failed."""
        if self._free and not self._waiting:
            return await self._alone(self._free.pop(), commands)
        job = _Job(commands, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        return await job.answer

    async def close(self) -> None:
        """Finish what is under way, and hang up."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        for connection in self._free:
            await connection.close()

    async def _alone(self, connection: Connection, commands: Sequence[Command]) -> list[Reply]:
        replies: list[Reply] = []
        try:
            await _exchange(connection, commands, replies)
        finally:
            if connection.awaited:  # the caller has gone
                self._start(self._finish(connection, len(commands), replies))
            else:
                self._release(connection)
        return replies

    async def _finish(self, connection: Connection, number: int, replies: list[Reply]) -> None:
        """Read what a caller who has gone was to get."""
        await connection.receive(replies, number)
        self._release(connection)

    def _release(self, connection: Connection) -> None:
        if self._waiting:
            self._start(self._drain(connection))
        else:
            self._free.append(connection)

    async def _drain(self, connection: Connection) -> None:
        while self._waiting:
            jobs = self._next()
            commands = [command for job in jobs for command in job.commands]
            replies: list[Reply] = []
            await _exchange(connection, commands, replies)
            start = 0
            for job in jobs:
                end = start + len(job.commands)
                if not job.answer.done():
                    job.answer.set_result(replies[start:end])
                start = end
        self._free.append(connection)

    def _next(self) -> list[_Job]:
        """What goes out together next, without that which nobody waits for any more."""
        jobs: list[_Job] = []
        number = 0
        while self._waiting and number < _BATCH:
            job = self._waiting.popleft()
            if not job.answer.done():
                jobs.append(job)
                number += len(job.commands)
        return jobs

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _exchange(
    connection: Connection, commands: Sequence[Command], replies: list[Reply]
) -> None:
    """Send a batch and read its answers; failures stand in their place."""
    if not commands:
        return
    try:
        problem = await connection.connect() or await connection.send(commands)
        if problem is None:
            await connection.receive(replies, len(commands))
    except Exception as error:  # noqa: BLE001 (whoever waits is told)
        problem = error
    if problem is not None:
        replies += [problem] * (len(commands) - len(replies))


class Engine:
    """Calls of one store; knows which are under way."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._reads: Lanes | None = None
        self._writes: Lanes | None = None
        self._waits: Lanes | None = None
        self._under_way = 0
        self._idle: Final = asyncio.Event()
        self._idle.set()

    async def open(self) -> None:
        """Nothing is sent."""
        if self._reads is None:
            self._reads = Lanes(self._settings, _READERS)
            self._writes = Lanes(self._settings, _WRITERS)
            self._waits = Lanes(self._settings, WAITERS)

    async def close(self) -> None:
        """Wait for the calls under way, and close the connections."""
        lanes = self._reads, self._writes, self._waits
        self._reads = self._writes = None
        await self._idle.wait()
        self._waits = None  # only now: calls under way may still come to it
        for each in lanes:
            if each is not None:
                await each.close()

    @property
    def is_open(self) -> bool:
        return self._reads is not None

    async def read(self, commands: Sequence[Command]) -> list[Reply]:
        """Answers to commands that change nothing. Raises StoreError if one of them is an error."""
        replies = await self._call(self._reads, commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise errors.from_exchange(reply) from reply
        return replies

    async def ask(self, commands: Sequence[Command]) -> list[Reply]:
        """As `read`, but what Redis refuses is an exception among the answers."""
        return await self._call(self._reads, commands)

    async def wait(self, commands: Sequence[Command]) -> list[Reply]:
        """As `ask`, for commands that take their time."""
        return await self._call(self._waits, commands)

    async def write(self, commands: Sequence[Command]) -> list[Reply]:
        """Answers to commands that change something; a StoreError stands for one that failed."""
        replies = await self._call(self._writes, commands)
        return [
            errors.from_exchange(reply) if isinstance(reply, Exception) else reply
            for reply in replies
        ]

    async def _call(self, lanes: Lanes | None, commands: Sequence[Command]) -> list[Reply]:
        if lanes is None:
            raise closed()
        with self.under_way():
            replies = await lanes.call(commands)
            again = [
                index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)
            ]
            if again:  # Redis has forgotten its scripts, or never knew them
                load: list[Command] = [(b"SCRIPT", b"LOAD", each.text) for each in scripts.ALL]
                answers = await lanes.call([*load, *(commands[index] for index in again)])
                for index, answer in zip(again, answers[len(load) :], strict=True):
                    replies[index] = answer
            return replies

    @contextlib.contextmanager
    def under_way(self) -> Iterator[None]:
        """A call of several exchanges, for which `close` waits."""
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()


def run(script: scripts.Script, keys: Sequence[bytes], arguments: Sequence[bytes | int]) -> Command:
    """The command that runs a script."""
    return (b"EVALSHA", script.sha, len(keys), *keys, *arguments)
