"""A call on its way in, before it is known what its bytes mean."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from memplane_gateway.memory.model import Caller
from memplane_gateway.wire.rpc import Rpc


@dataclass(slots=True)
class Call:
    """One call: its bytes, the seconds that the caller gives it (None: no word), its metadata."""

    raw: bytes
    seconds: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    caller: Caller = field(default_factory=Caller)
    started: float = field(default_factory=time.perf_counter)


Handler = Callable[[Call], Awaitable[bytes]]
"""Answers a call with the bytes of the reply, or raises MemplaneError."""

Interceptor = Callable[[Rpc, Handler], Handler]
"""Puts itself around the handler of an rpc; made once when the gateway starts."""
