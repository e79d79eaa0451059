"""The gateway's clock: wall time in microseconds, and the hybrid logical clock of revisions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_COUNTER_BITS = 16


def wall_micros() -> int:
    """Microseconds since 1970 in UTC."""
    return time.time_ns() // 1000


def revision_at(micros: int) -> int:
    """The first revision of a wall time, in microseconds since 1970."""
    return (micros // 1000) << _COUNTER_BITS


def micros_of(revision: int) -> int:
    """The wall time of a revision, in microseconds since 1970 and exact to the millisecond."""
    return (revision >> _COUNTER_BITS) * 1000


class Clock:
    """Wall time, and revisions that never go back.

    A revision is 64 bits: milliseconds since 1970, shifted left by 16, plus a counter
    (Kulkarni et al., "Logical Physical Clocks", 2014). It is above every revision that this clock
    has given or seen, so that a memory's revisions grow even when wall time jumps back.
    """

    def __init__(self, wall: Callable[[], int] = wall_micros) -> None:
        self._wall = wall
        self._last = 0
        self._writing: dict[object, int] = {}
        self._lock = threading.Lock()

    def now(self) -> int:
        """Wall time in microseconds since 1970."""
        return self._wall()

    def revision(self, above: int = 0) -> int:
        """The next revision, above all before and above the given one."""
        physical = revision_at(self._wall())
        with self._lock:
            self._last = max(physical, self._last + 1, above + 1)
            return self._last

    @contextmanager
    def writing(self) -> Iterator[int]:
        """Wall time for rows that are written within; `settled` knows that they are under way."""
        key = object()
        with self._lock:
            now = self._writing[key] = self._wall()
        try:
            yield now
        finally:
            with self._lock:
                del self._writing[key]

    def settled(self) -> int:
        """Until when all that was stamped here is written: now, or the oldest write under way."""
        with self._lock:
            return min([self._wall(), *self._writing.values()])
