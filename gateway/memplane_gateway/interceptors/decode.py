"""Bytes to the request's message, and the reply back to bytes."""

from __future__ import annotations

from google.protobuf.message import DecodeError, Message

from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.interceptors.call import Call, Handler
from memplane_gateway.interceptors.stream import Messages
from memplane_gateway.wire.rpc import Rpc


def decode(rpc: Rpc) -> Handler:
    """The innermost handler: decode, run the service, encode."""

    async def handle(call: Call) -> bytes:
        reply = await rpc.run(_decoded(rpc, call.raw), call.caller)
        assert reply is not None, "only a stream has no reply"
        return reply.SerializeToString()

    async def converse(call: Call) -> bytes:
        assert call.wire is not None, "a streaming rpc is called as one"
        async with Messages(rpc, call.wire, lambda raw: _decoded(rpc, raw)) as stream:
            await rpc.run(stream, call.caller)
        return b""

    return converse if rpc.streams else handle


def _decoded(rpc: Rpc, raw: bytes) -> Message:
    try:
        return rpc.request.FromString(raw)
    except DecodeError as error:
        raise MemplaneError(
            Code.INVALID_ARGUMENT,
            Reason.MALFORMED_MESSAGE,
            f"the bytes are no {rpc.request.DESCRIPTOR.name}: garbage, text that is not UTF-8, "
            "or nested too deep",
        ) from error
