"""Say who calls.

Until authentication exists everybody is anonymous in the tenant `default`, which is why the
gateway listens beyond this machine only when it is told to.
"""

from __future__ import annotations

from memplane_gateway.interceptors.call import Call, Handler
from memplane_gateway.memory.model import Caller
from memplane_gateway.wire.rpc import Rpc

_SOURCE_CHARACTERS = 200


def auth(_: Rpc, proceed: Handler) -> Handler:
    """Before anything reads the request."""

    async def handle(call: Call) -> bytes:
        source = call.metadata.get("user-agent", "")[:_SOURCE_CHARACTERS]
        call.caller = Caller(source=source)
        return await proceed(call)

    return handle
