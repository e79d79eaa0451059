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
    """A call without a deadline gets the default one."""

    def intercept(rpc: Rpc, proceed: Handler) -> Handler:
        async def handle(call: Call) -> bytes:
            seconds = default_seconds if call.seconds is None else call.seconds
            seconds = min(seconds, _LONGEST_SECONDS)
            # A tenth for the way back, when the whole is shorter than that.
            seconds = max(0.0, seconds - min(_MARGIN_SECONDS, seconds / 10))
            set_deadline(seconds)
            try:
                async with asyncio.timeout(seconds):
                    return await proceed(call)
            except TimeoutError as error:
                raise MemplaneError(
                    Code.DEADLINE_EXCEEDED,
                    Reason.DEADLINE_PASSED,
                    "the deadline passed"
                    + ("; the write may have taken effect" if rpc.writes else ""),
                    metadata=AMBIGUOUS if rpc.writes else {},
                ) from error

        return handle

    return intercept
