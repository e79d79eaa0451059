"""The deadline of the call that is being served, known to whatever it calls."""

from __future__ import annotations

import time
from contextvars import ContextVar

_deadline: ContextVar[float | None] = ContextVar("memplane_deadline", default=None)


def set_deadline(seconds: float) -> None:
    """The call in this context has so many seconds left."""
    _deadline.set(time.monotonic() + seconds)


def remaining() -> float | None:
    """Seconds left, 0 or more; None when no call is being served."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.0, deadline - time.monotonic())
