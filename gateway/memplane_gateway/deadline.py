"""The deadline of the call that is being served, known to whatever it calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_deadline: ContextVar[float | None] = ContextVar("memplane_deadline", default=None)
_overtime: ContextVar[float] = ContextVar("memplane_overtime", default=0.0)


def set_deadline(seconds: float) -> None:
    """The call in this context has so many seconds left."""
    _deadline.set(time.monotonic() + seconds)


def remaining() -> float | None:
    """Seconds left, 0 or more; None when no call is being served."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.0, deadline - time.monotonic())


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Inside, so many seconds are left."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


@contextmanager
def reserved(seconds: float) -> Iterator[None]:
    """Inside, the call has so much less time left; at most a fifth of it is taken."""
    left = remaining()
    if left is None:
        yield
        return
    with within(left - min(seconds, left / 5)):
        yield


def set_overtime(seconds: float) -> None:
    """A store call in this context may go on for so long behind the deadline.

    For a write whose caller no longer waits, but whose end somebody else has to know.
    """
    _overtime.set(seconds)


def overtime() -> float:
    """Seconds that a store call may go on behind the deadline."""
    return _overtime.get()


def is_late(at_first: float | None, share: float = 0.5) -> bool:
    """Whether so much of the time that was left at first is over that nothing new is to be begun.

    The caller is to hear how far his call came.
    """
    left = remaining()
    return left is not None and at_first is not None and left < at_first * (1 - share)
