"""What a session of events is made of: its filter, its order, its clock. No I/O."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from memplane import _values
from memplane._errors import InvalidArgument
from memplane._filter_dicts import FilterLike, filter_message, from_dict
from memplane._filters import Expression, attr
from memplane._models import Memory, Ref

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_lock: Final = threading.Lock()
_last_micros = 0


def next_event_time() -> datetime:
    """Now, in whole microseconds, and later than whatever this has returned in this process.

    Also within a microsecond, and when the clock is set back.
    """
    global _last_micros  # noqa: PLW0603 (one clock a process)
    with _lock:
        _last_micros = max(time.time_ns() // 1000, _last_micros + 1)
        micros = _last_micros
    return _EPOCH + timedelta(microseconds=micros)


def session_id_of(given: str) -> str:
    """A session id that names a session.

    Raises:
        InvalidArgument: It is empty, which is what events outside of any session have.
    """
    if _values.text(given, "session_id") == "":
        raise InvalidArgument.at("session_id", "is empty; an event without one is in no session")
    return given


def within(session_id: str, filter: FilterLike | None) -> Expression:
    """The filter of a session, with what else must hold."""
    own = attr("@session_id") == session_id
    filter_message(filter, "filter")  # so that an error says what is wrong with the caller's part
    if filter is None or (isinstance(filter, Mapping) and not filter):
        return own
    return own & (from_dict(filter, "filter") if isinstance(filter, Mapping) else filter)


def instant(memory: Memory) -> datetime:
    """When an event happened, else was last changed: what a listing by event time goes by."""
    happened = memory.episode.event_time if memory.episode is not None else None
    return happened or memory.update_time or _EPOCH


def newest(events: Iterable[Memory], last: int) -> tuple[Memory, ...]:
    """The newest `last` events, oldest first; those of one time by ref."""
    ordered = sorted(events, key=_place)
    return tuple(ordered[max(0, len(ordered) - last) :])


def _place(memory: Memory) -> tuple[datetime, Ref]:
    return instant(memory), memory.ref
