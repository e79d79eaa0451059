"""What carries a call to the gateway. Internal, but stable for tests.

The conformance suite gives a client a transport of its own (`AsyncClient(transport=...)`) that calls
the gateway's services in the same process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from google.protobuf.message import Message

Response = TypeVar("Response", bound=Message)
Received_co = TypeVar("Received_co", bound=Message, covariant=True)


class AsyncStream(Protocol[Received_co]):
    """One call with messages both ways."""

    async def send(self, message: Message) -> None:
        """Sends a message. Where the call has ended it does nothing: `receive` says why."""
        ...

    async def end(self) -> None:
        """Says that no more messages come."""
        ...

    async def receive(self) -> Received_co | None:
        """The next message; None when the gateway has ended the call well.

        Raises:
            MemplaneError: The call failed; nothing else may be raised for that.
        """
        ...

    def cancel(self) -> None:
        """Ends the call; one that has ended stays as it is."""
        ...


class AsyncTransport(Protocol):
    """Makes calls."""

    async def unary(
        self,
        method: str,
        request: Message,
        response_type: type[Response],
        timeout: float | None,  # noqa: ASYNC109 (a deadline that travels with the call)
        metadata: Sequence[tuple[str, str]],
    ) -> Response:
        """Sends a request and returns the response.

        Args:
            method: The path of the method, for example "/memplane.v1.MemoryService/GetMemories".
            request: The request.
            response_type: The class of the response.
            timeout: Seconds until the call fails with DeadlineExceeded. None means no limit.
            metadata: Headers to send.

        Raises:
            MemplaneError: The call failed; nothing else may be raised for that.
        """
        ...

    def stream(
        self,
        method: str,
        response_type: type[Response],
        timeout: float | None,
        metadata: Sequence[tuple[str, str]],
    ) -> AsyncStream[Response]:
        """Begins a call that streams; nothing is raised before messages go."""
        ...
