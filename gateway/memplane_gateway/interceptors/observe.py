"""Log each call: one line with what it was, how it ended and what it took. Never its content.

What went well is a debug line: a line for every call would be a tenth of a small call's cost.
"""

from __future__ import annotations

import asyncio
import logging
import time

from memplane_gateway.errors import Code, MemplaneError
from memplane_gateway.interceptors.call import Call, Handler
from memplane_gateway.wire.rpc import Rpc

_log = logging.getLogger("memplane.call")
_OUR_FAULT = (Code.INTERNAL, Code.DATA_LOSS)
_THEIR_STORE = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED)


def observe(rpc: Rpc, proceed: Handler) -> Handler:
    """Around everything else, so that it sees what the caller sees."""

    async def handle(call: Call) -> bytes:
        try:
            reply = await proceed(call)
        except MemplaneError as error:
            level = logging.INFO
            if error.code in _OUR_FAULT:
                level = logging.ERROR
            elif error.code in _THEIR_STORE:
                level = logging.WARNING
            _log.log(
                level,
                "call failed",
                extra={**_facts(rpc, call), "code": error.code.name, "reason": error.reason.value},
            )
            raise
        except asyncio.CancelledError:
            _log.info("call cancelled", extra=_facts(rpc, call))
            raise
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("call", extra={**_facts(rpc, call), "code": "OK", "reply": len(reply)})
        return reply

    return handle


def _facts(rpc: Rpc, call: Call) -> dict[str, object]:
    return {
        "rpc": rpc.name,
        "tenant": call.caller.tenant,
        "request": len(call.raw),
        "ms": round((time.perf_counter() - call.started) * 1000, 3),
    }
