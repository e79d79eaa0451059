"""A call on its way in, before it is known what its bytes mean."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from memplane_gateway.memory.model import Caller
from memplane_gateway.wire.rpc import Rpc


@dataclass(slots=True)
class Wire:
    """The two directions of a streaming call."""

    requests: AsyncIterator[bytes]
    send: Callable[[bytes], Awaitable[None]]
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the gateway is to stop: streams are to end at their next step."""
    step_seconds: float | None = None
    """What one step of the stream may take, such as a batch or a chunk; None: no limit."""


@dataclass(slots=True)
class Call:
    """One call: its bytes, the seconds that the caller gives it (None: no word), its metadata."""

    raw: bytes
    seconds: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    caller: Caller = field(default_factory=Caller)
    started: float = field(default_factory=time.perf_counter)
    wire: Wire | None = None
    """In place of `raw`, of a streaming call."""


Handler = Callable[[Call], Awaitable[bytes]]
"""Answers a call with the bytes of the reply, or raises MemplaneError; a stream's reply is empty."""

Interceptor = Callable[[Rpc, Handler], Handler]
"""Puts itself around the handler of an rpc; made once when the gateway starts."""
