"""Whatever goes wrong leaves as a MemplaneError; what nobody foresaw is our bug and says so."""

from __future__ import annotations

import logging
import secrets

from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.interceptors.call import Call, Handler
from memplane_gateway.wire.rpc import Rpc

_log = logging.getLogger(__name__)


def errors(rpc: Rpc, proceed: Handler) -> Handler:
    """Inside observe, around all that can fail."""

    async def handle(call: Call) -> bytes:
        try:
            return await proceed(call)
        except MemplaneError:
            raise
        except Exception as error:
            number = secrets.token_hex(4)
            _log.exception("bug in %s", rpc.name, extra={"number": number})
            raise MemplaneError(
                Code.INTERNAL,
                Reason.GATEWAY_BUG,
                f"a fault of the gateway; its log has it under {number}",
                metadata={"request": number},
            ) from error

    return handle
