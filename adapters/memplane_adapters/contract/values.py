"""The types that memories are made of, and how they compare.

A value is null, a bool, an int (64 bits), a float, a str, bytes, an aware UTC datetime with whole
microseconds, a list of values, or a dict from str to values. Types never mix: True is not 1, "10" is
not 10. Only int and float compare with each other, exactly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

Value: TypeAlias = (
    "bool | int | float | str | bytes | datetime | list[Value] | dict[str, Value] | None"
)
"""One datum."""

Fields: TypeAlias = Mapping[str, Value]
"""What a filter can see of a memory: attributes by name, system fields by "@name"."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_RFC_3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})"
    r"(?:[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d{2}):(\d{2}))?)?",
    re.ASCII,
)


def equal(left: Value, right: Value) -> bool:
    """Whether two values are the same datum: typed, numbers by value, lists and maps as a whole."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float):
        return isinstance(right, int | float) and left == right
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict):
        return (
            isinstance(right, dict)
            and left.keys() == right.keys()
            and all(equal(item, right[name]) for name, item in left.items())
        )
    return type(left) is type(right) and left == right


def identical(left: Value, right: Value) -> bool:
    """Whether two values would be stored alike: as `equal`, but 1 is not 1.0 and 0.0 is not -0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return left.hex() == right.hex()  # type: ignore[union-attr]
    if isinstance(left, list):
        assert isinstance(right, list)
        return len(left) == len(right) and all(map(identical, left, right))
    if isinstance(left, dict):
        assert isinstance(right, dict)
        return left.keys() == right.keys() and all(
            identical(item, right[name]) for name, item in left.items()
        )
    return left == right


def instant(value: Value) -> int | None:
    """The instant that a datetime or an RFC 3339 date or date-time string means, else None.

    Returns nanoseconds since 1970 in UTC. A bare date is midnight UTC, a time without zone is UTC.
    Strict: real calendar dates, seconds to 59, offsets to 23:59, at most nine digits of fraction.
    """
    if isinstance(value, datetime):
        return to_micros(value) * 1000
    if not isinstance(value, str):
        return None
    match = _RFC_3339.fullmatch(value)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, off_hour, off_minute = match.groups()
    try:
        moment = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
            tzinfo=UTC,
        )  # fmt: skip
    except ValueError:
        return None
    nanos = to_micros(moment) * 1000 + int((fraction or "").ljust(9, "0"))
    if sign:
        if int(off_hour) > 23 or int(off_minute) > 59:
            return None
        offset = (int(off_hour) * 60 + int(off_minute)) * 60_000_000_000
        nanos += offset if sign == "-" else -offset
    return nanos


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970 of an aware datetime, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The aware UTC datetime of microseconds since 1970. Raises OverflowError outside years 1-9999."""
    return _EPOCH + timedelta(microseconds=micros)
