"""Where grpc.aio hands a call over and takes the answer back."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from grpc import aio

from memplane_gateway.errors import MemplaneError, is_ambiguous
from memplane_gateway.interceptors.call import Call, Handler
from memplane_gateway.wire.status import status_of

_log = logging.getLogger(__name__)
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_DETAILS = "grpc-status-details-bin"
_PUSHBACK = "grpc-retry-pushback-ms"
"""gRPC's word to the retries of a client's channel: wait so long; below zero: do not."""


def generic_handlers(handlers: Mapping[str, Handler]) -> Sequence[grpc.GenericRpcHandler]:
    """The handlers, by rpc path, as grpc wants them: bytes in, bytes out."""
    services: dict[str, dict[str, grpc.RpcMethodHandler[bytes, bytes]]] = {}
    for path, handler in handlers.items():
        _, service, method = path.split("/")
        services.setdefault(service, {})[method] = grpc.unary_unary_rpc_method_handler(
            _behaviour(handler)
        )
    return [
        grpc.method_handlers_generic_handler(service, methods)
        for service, methods in services.items()
    ]


def _behaviour(handler: Handler) -> Any:
    async def behave(raw: bytes, context: aio.ServicerContext[bytes, bytes]) -> bytes:
        metadata = {
            key: value
            for key, value in context.invocation_metadata() or ()
            if isinstance(value, str)
        }
        try:
            return await handler(Call(raw, context.time_remaining(), metadata))
        except MemplaneError as error:
            await refuse(context, error)
            return b""

    return behave


async def refuse(context: aio.ServicerContext[Any, Any], error: MemplaneError) -> None:
    """End a call with an error. Returns only when the caller is gone and hears nothing."""
    status = status_of(error)
    trailers: list[tuple[str, str | bytes]] = [(_DETAILS, status.SerializeToString())]
    if is_ambiguous(error):
        # Sent again as it is, a write that did take effect would now be refused.
        trailers.append((_PUSHBACK, "-1"))
    elif error.retry_after is not None:
        trailers.append((_PUSHBACK, str(math.ceil(error.retry_after * 1000))))
    try:
        await context.abort(
            _CODES[int(error.code)], status.message, trailing_metadata=tuple(trailers)
        )
    except aio.AbortError:
        raise
    except Exception:
        if not context.done():
            raise
        _log.debug("the caller is gone before the answer")
