"""Bytes to the request's message, and the reply back to bytes."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.interceptors.call import Call, Handler
from memplane_gateway.wire.rpc import Rpc


def decode(rpc: Rpc) -> Handler:
    """The innermost handler: decode, run the service, encode."""

    async def handle(call: Call) -> bytes:
        try:
            request = rpc.request.FromString(call.raw)
        except DecodeError as error:
            raise MemplaneError(
                Code.INVALID_ARGUMENT,
                Reason.MALFORMED_MESSAGE,
                f"the bytes are no {rpc.request.DESCRIPTOR.name}: garbage, text that is not UTF-8, "
                "or nested too deep",
            ) from error
        return (await rpc.run(request, call.caller)).SerializeToString()

    return handle
