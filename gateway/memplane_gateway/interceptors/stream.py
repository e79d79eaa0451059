"""A streaming call as its service sees it: messages both ways, step by step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self, TypeVar

from google.protobuf.message import Message

from memplane_gateway.deadline import remaining, within
from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.interceptors.call import Wire
from memplane_gateway.interceptors.deadline import deadline_passed
from memplane_gateway.interceptors.draining import shutting_down
from memplane_gateway.wire.rpc import Rpc

T = TypeVar("T")


class Messages:
    """The `Stream` of one call."""

    def __init__(self, rpc: Rpc, wire: Wire, decoded: Callable[[bytes], Message]) -> None:
        self._rpc = rpc
        self._wire = wire
        self._decoded = decoded
        self._ending: asyncio.Task[bool] | None = None

    async def __aenter__(self) -> Self:
        self._ending = asyncio.create_task(self._wire.ending.wait())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._ending is not None, "entered"
        self._ending.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """The caller's next message; a gateway that is to stop does not wait for it."""
        raw = await self._unless_ending(self._read())
        if raw is None:
            raise StopAsyncIteration
        return self._decoded(raw)

    async def send(self, message: Message) -> None:
        """As `Stream.send` says."""
        raw = message.SerializeToString()
        del message  # while nobody takes them, the bytes are enough
        seconds = self._wire.step_seconds
        try:
            await self._unless_ending(self._wire.send(raw), seconds)
        except TimeoutError as error:
            raise _not_taken(seconds) from error

    @asynccontextmanager
    async def step(self) -> AsyncIterator[None]:
        """As `Stream.step` says."""
        bounds = [each for each in (self._wire.step_seconds, remaining()) if each is not None]
        if not bounds:
            yield
            return
        seconds = min(bounds)
        try:
            with within(seconds):
                async with asyncio.timeout(seconds):
                    yield
        except TimeoutError as error:
            raise deadline_passed(self._rpc) from error

    async def _read(self) -> bytes | None:
        return await anext(self._wire.requests, None)

    async def _unless_ending(self, work: Awaitable[T], seconds: float | None = None) -> T:
        """What comes of some work. Raises UNAVAILABLE when the gateway is to stop, and TimeoutError."""
        assert self._ending is not None, "entered"
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait(
                {task, self._ending}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if self._wire.ending.is_set():
                raise shutting_down()
            if not task.done():
                raise TimeoutError
            return task.result()
        finally:
            task.cancel()


def _not_taken(seconds: float | None) -> MemplaneError:
    return MemplaneError(
        Code.DEADLINE_EXCEEDED,
        Reason.DEADLINE_PASSED,
        f"the caller took nothing for {seconds} s; what was sent before was done, go on from there",
    )
