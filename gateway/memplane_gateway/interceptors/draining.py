"""Refuse new calls once the gateway is to stop, and know when the last one is answered."""

from __future__ import annotations

import asyncio

from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.interceptors.call import Call, Handler
from memplane_gateway.wire.rpc import Rpc

_RETRY_SECONDS = 0.5


class Draining:
    """Counts calls in flight; from `begin` on new ones are UNAVAILABLE with reason SHUTTING_DOWN."""

    def __init__(self) -> None:
        self._begun = False
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._streams_end = asyncio.Event()

    def end_streams(self) -> None:
        """Have streams end at their next step, and take no more of them."""
        self._streams_end.set()

    def begin(self) -> None:
        """Take no more calls."""
        self._begun = True

    async def wait_idle(self) -> None:
        """Return when no call is in flight."""
        await self._idle.wait()

    def intercept(self, _: Rpc, proceed: Handler) -> Handler:
        """Inside errors, around all work."""

        async def handle(call: Call) -> bytes:
            if self._begun or (call.wire is not None and self._streams_end.is_set()):
                raise shutting_down()
            if call.wire is not None:
                call.wire.ending = self._streams_end
            self._in_flight += 1
            self._idle.clear()
            try:
                return await proceed(call)
            finally:
                self._in_flight -= 1
                if not self._in_flight:
                    self._idle.set()

        return handle


def shutting_down() -> MemplaneError:
    """What a caller hears of a gateway that is to stop."""
    return MemplaneError(
        Code.UNAVAILABLE,
        Reason.SHUTTING_DOWN,
        "the gateway is stopping; try again, or another one",
        retry_after=_RETRY_SECONDS,
    )
