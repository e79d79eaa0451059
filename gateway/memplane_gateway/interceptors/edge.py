"""Where grpc.aio hands a call over and takes the answer back."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any

import grpc
from grpc import aio

from memplane_gateway.errors import MemplaneError, is_ambiguous
from memplane_gateway.interceptors.call import Call, Handler, Wire
from memplane_gateway.wire.status import status_of

_log = logging.getLogger(__name__)
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_DETAILS = "grpc-status-details-bin"
_PUSHBACK = "grpc-retry-pushback-ms"
"""gRPC's word to the retries of a client's channel: wait so long; below zero: do not."""


def generic_handlers(
    handlers: Mapping[str, Handler], streaming: Collection[str] = ()
) -> Sequence[grpc.GenericRpcHandler]:
    """The handlers, by rpc path, as grpc wants them: bytes in, bytes out.

    `streaming` are the paths where messages stream in either direction; on the wire there is no
    difference between one message and a stream of one.
    """
    services: dict[str, dict[str, grpc.RpcMethodHandler[bytes, bytes]]] = {}
    for path, handler in handlers.items():
        _, service, method = path.split("/")
        services.setdefault(service, {})[method] = (
            grpc.stream_stream_rpc_method_handler(_streaming_behaviour(handler))
            if path in streaming
            else grpc.unary_unary_rpc_method_handler(_behaviour(handler))
        )
    return [
        grpc.method_handlers_generic_handler(service, methods)
        for service, methods in services.items()
    ]


def _behaviour(handler: Handler) -> Any:
    async def behave(raw: bytes, context: aio.ServicerContext[bytes, bytes]) -> bytes:
        try:
            return await handler(Call(raw, context.time_remaining(), _metadata(context)))
        except MemplaneError as error:
            await refuse(context, error)
            return b""

    return behave


def _streaming_behaviour(handler: Handler) -> Any:
    async def behave(
        requests: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]
    ) -> None:
        wire = Wire(aiter(requests), context.write)
        try:
            await handler(Call(b"", context.time_remaining(), _metadata(context), wire=wire))
        except MemplaneError as error:
            end_stream(context, error)

    return behave


def end_stream(context: aio.ServicerContext[Any, Any], error: MemplaneError) -> None:
    """End a call whose requests stream with an error, once its handler returns.

    Aborted while requests may still come, it would keep its place among the streams of its connection
    (seen with grpcio 1.78): after 500 of them the connection takes no more calls.
    """
    trailers, message = _last_words(error)
    context.set_trailing_metadata(trailers)
    context.set_code(_CODES[int(error.code)])
    context.set_details(message)


def _metadata(context: aio.ServicerContext[bytes, bytes]) -> dict[str, str]:
    pairs = context.invocation_metadata() or ()
    return {key: value for key, value in pairs if isinstance(value, str)}


async def refuse(context: aio.ServicerContext[Any, Any], error: MemplaneError) -> None:
    """End a call with an error. Returns only when the caller is gone and hears nothing."""
    trailers, message = _last_words(error)
    try:
        await context.abort(_CODES[int(error.code)], message, trailing_metadata=trailers)
    except aio.AbortError:
        raise
    except Exception:
        if not context.done():
            raise
        _log.debug("the caller is gone before the answer")


def _last_words(error: MemplaneError) -> tuple[tuple[tuple[str, str | bytes], ...], str]:
    """The trailing metadata and the message of an error."""
    status = status_of(error)
    trailers: list[tuple[str, str | bytes]] = [(_DETAILS, status.SerializeToString())]
    if is_ambiguous(error):
        # Sent again as it is, a write that did take effect would now be refused.
        trailers.append((_PUSHBACK, "-1"))
    elif error.retry_after is not None:
        trailers.append((_PUSHBACK, str(math.ceil(error.retry_after * 1000))))
    return tuple(trailers), status.message
