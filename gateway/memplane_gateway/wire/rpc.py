"""An rpc as data: its path, its messages and what runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from memplane_gateway.memory.model import Caller


class Stream(Protocol):
    """A streaming call as a service sees it: iterate over what the caller sends."""

    def __aiter__(self) -> AsyncIterator[Any]: ...

    async def send(self, message: Message) -> None:
        """Send a message; returns when there is room for another one.

        Raises UNAVAILABLE when the gateway is to stop, and DEADLINE_EXCEEDED when the caller takes
        nothing for as long as a step may take: a stalled one must not hold what it is sent for ever.
        """
        ...

    def step(self) -> AbstractAsyncContextManager[None]:
        """Around the work for one message: bounded as a call of its own would be.

        Raises DEADLINE_EXCEEDED.
        """
        ...


Run = Callable[[Any, Caller], Awaitable[Message | None]]
"""Takes the request and returns the reply; takes a Stream and returns nothing."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """One rpc. `writes` says that its outcome is unknown when its deadline passes."""

    path: str
    request: type[Message]
    run: Run
    writes: bool
    streams: bool = False
    """Whether messages stream in either direction."""

    @property
    def name(self) -> str:
        """The rpc without its service, e.g. "PutMemories"."""
        return self.path.rpartition("/")[2]


def rpcs_of(service: ServiceDescriptor, runs: dict[str, Run]) -> list[Rpc]:
    """All rpcs of a service; `runs` must have each of them by name."""
    assert runs.keys() == {method.name for method in service.methods}, "each rpc is served"
    return [
        Rpc(
            path=f"/{service.full_name}/{method.name}",
            request=GetMessageClass(method.input_type),
            run=runs[method.name],
            writes=method.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS,
            streams=method.client_streaming or method.server_streaming,
        )
        for method in service.methods
    ]
