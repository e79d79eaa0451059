"""Give every call an end, and answer a little before the caller stops listening."""

from __future__ import annotations

import asyncio

from memplane_gateway.deadline import set_deadline
from memplane_gateway.errors import AMBIGUOUS, Code, MemplaneError, Reason
from memplane_gateway.interceptors.call import Call, Handler, Interceptor
from memplane_gateway.wire.rpc import Rpc

_MARGIN_SECONDS = 0.05
_LONGEST_SECONDS = 600.0


def deadline(default_seconds: float) -> Interceptor:
    """A call without a deadline gets the default one; so does each step of a stream."""

    def intercept(rpc: Rpc, proceed: Handler) -> Handler:
        async def handle(call: Call) -> bytes:
            seconds = default_seconds if call.seconds is None else call.seconds
            return await bounded(call, min(seconds, _LONGEST_SECONDS))

        async def handle_stream(call: Call) -> bytes:
            assert call.wire is not None, "a streaming rpc is called as one"
            call.wire.step_seconds = default_seconds
            if call.seconds is None:  # as long as its caller listens
                return await proceed(call)
            return await bounded(call, call.seconds)

        async def bounded(call: Call, seconds: float) -> bytes:
            # A tenth for the way back, when the whole is shorter than that.
            seconds = max(0.0, seconds - min(_MARGIN_SECONDS, seconds / 10))
            set_deadline(seconds)
            try:
                async with asyncio.timeout(seconds):
                    return await proceed(call)
            except TimeoutError as error:
                raise deadline_passed(rpc) from error

        return handle_stream if rpc.streams else handle

    return intercept


def deadline_passed(rpc: Rpc) -> MemplaneError:
    """What a caller hears whose time is over."""
    return MemplaneError(
        Code.DEADLINE_EXCEEDED,
        Reason.DEADLINE_PASSED,
        "the deadline passed" + ("; the write may have taken effect" if rpc.writes else ""),
        metadata=AMBIGUOUS if rpc.writes else {},
    )
