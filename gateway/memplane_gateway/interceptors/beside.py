"""Services that are not ours (health, reflection) on the same server, safe from garbage.

As they come, their messages are read by grpc, and bytes that are none end as UNKNOWN with a trace in
the log for each call. Here they are read inside the handler and end as INVALID_ARGUMENT.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.interceptors.edge import end_stream, refuse


class SafeServer:
    """Stands in for the server where generated code registers a servicer."""

    def __init__(self, server: aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Left out: the same handlers come by name too."""

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Register handlers that read their messages themselves."""
        safe = {name: _safe(handler) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, safe),)
        )


def _safe(handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[bytes, Any]:
    read = handler.request_deserializer
    assert read is not None, "generated code reads messages"
    write = handler.response_serializer
    if handler.unary_unary is not None:
        return grpc.unary_unary_rpc_method_handler(
            _unary_unary(handler.unary_unary, read), response_serializer=write
        )
    if handler.unary_stream is not None:
        return grpc.unary_stream_rpc_method_handler(
            _unary_stream(handler.unary_stream, read), response_serializer=write
        )
    assert handler.stream_stream is not None, "health and reflection have no other sort"
    return grpc.stream_stream_rpc_method_handler(
        _stream_stream(handler.stream_stream, read), response_serializer=write
    )


def _unary_unary(run: Callable[..., Any], read: Callable[[bytes], Any]) -> Callable[..., Any]:
    async def behave(raw: bytes, context: aio.ServicerContext[bytes, Any]) -> Any:
        return await run(await _read(raw, read, context), context)

    return behave


def _unary_stream(run: Callable[..., Any], read: Callable[[bytes], Any]) -> Callable[..., Any]:
    async def behave(raw: bytes, context: aio.ServicerContext[bytes, Any]) -> Any:
        # Health's Watch writes through the context and yields nothing.
        await run(await _read(raw, read, context), context)

    return behave


def _stream_stream(run: Callable[..., Any], read: Callable[[bytes], Any]) -> Callable[..., Any]:
    async def behave(
        raws: AsyncIterator[bytes], context: aio.ServicerContext[bytes, Any]
    ) -> AsyncIterator[Any]:
        async def messages() -> AsyncIterator[Any]:
            async for raw in raws:
                yield read(raw)

        try:
            async for reply in run(messages(), context):
                yield reply
        except DecodeError:
            end_stream(context, _malformed())

    return behave


async def _read(
    raw: bytes, read: Callable[[bytes], Any], context: aio.ServicerContext[bytes, Any]
) -> Any:
    try:
        return read(raw)
    except DecodeError:
        await refuse(context, _malformed())


def _malformed() -> MemplaneError:
    return MemplaneError(
        Code.INVALID_ARGUMENT, Reason.MALFORMED_MESSAGE, "the bytes are no message of this rpc"
    )
