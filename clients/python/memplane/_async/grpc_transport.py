"""The transport that calls are carried by outside of tests: a gRPC channel."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from google.protobuf.message import Message

from memplane._async.transport import Response
from memplane._channel import LoopChannels, Settings, writes


class AsyncGrpcTransport:
    """Makes unary calls through gRPC, with the retries of the channel's service config."""

    def __init__(self, settings: Settings) -> None:
        self._target = settings.target
        self._channels = LoopChannels(settings)

    async def unary(
        self,
        method: str,
        request: Message,
        response_type: type[Response],
        timeout: float | None,  # noqa: ASYNC109 (a deadline that travels with the call)
        metadata: Sequence[tuple[str, str]],
    ) -> Response:
        """As `AsyncTransport.unary` says."""
        call = self._channels.method(method, response_type)
        try:
            response: Response = await call(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            from memplane._error_details import from_call

            raise from_call(error, self._target, writes=writes(method)) from error
        return response

    async def close(self) -> None:
        """Closes the channel."""
        await self._channels.close()
