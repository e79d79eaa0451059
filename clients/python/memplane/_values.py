"""Python values to and from the `Value` of the contract, without losing or guessing anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from memplane._errors import InvalidArgument
from memplane.v1 import value_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

ValueLike: TypeAlias = (
    "bool | int | float | str | bytes | bytearray | memoryview | datetime"
    " | Sequence[ValueLike] | Mapping[str, ValueLike] | None"
)
"""What may be stored: null, truth values, whole numbers of 64 bits, floats, text, bytes, instants
(aware datetimes), lists (and tuples) and maps by name."""

_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**63 - 1
_MAX_DEPTH: Final = 32
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FIRST_MICROS: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST_MICROS: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_MAX_DURATION_SECONDS: Final = 315_576_000_000

# Beside what a value can be: what people try, and what to do instead.
_HINTS: Final = {
    "date": "a date is no instant: give an aware datetime, or its isoformat() as a string",
    "time": "give its isoformat() as a string",
    "timedelta": "give its total_seconds()",
    "Decimal": "give a float, an int or its str()",
    "UUID": "give its str()",
    "set": "a set has no order: give a list",
    "frozenset": "a set has no order: give a list",
    "ndarray": "give its .tolist(), or the array as `vector`",
    "Tensor": "give its .tolist(), or the tensor as `vector`",
}

T = TypeVar("T")


def text(given: str, field: str) -> str:
    """A string that can be sent.

    Raises:
        InvalidArgument: It is none, or holds a lone surrogate, which UTF-8 cannot say.
    """
    if not isinstance(given, str):
        raise InvalidArgument.at(field, f"must be a str, not {_type_name(given)}")
    if not given.isascii():
        try:
            given.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgument.at(
                field,
                f"has a lone surrogate ({given[error.start]!a}) at position {error.start}; "
                "it is not Unicode text",
            ) from None
    return given


def flag(given: bool, field: str) -> bool:  # noqa: FBT001 (it is the datum)
    """A truth value and nothing that merely counts as one."""
    if not isinstance(given, bool):
        raise InvalidArgument.at(field, f"must be a bool, not {_type_name(given)}")
    return given


def number(given: float, field: str) -> float:
    """A finite float."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise InvalidArgument.at(field, f"must be a number, not {_type_name(given)}")
    try:
        converted = float(given)
    except OverflowError:
        converted = math.inf
    if not math.isfinite(converted):
        raise InvalidArgument.at(field, f"must be finite, not {given!r}")
    return converted


def whole(given: int, field: str, low: int = -(2**31), high: int = 2**31 - 1) -> int:
    """A whole number from `low` to `high`."""
    if isinstance(given, bool) or not isinstance(given, int):
        raise InvalidArgument.at(field, f"must be an int, not {_type_name(given)}")
    if not low <= given <= high:
        raise InvalidArgument.at(field, f"must be from {low} to {high}, not {given}")
    return given


def timestamp(moment: datetime, field: str) -> Timestamp:
    """An aware datetime as an instant, exact to the microsecond.

    Raises:
        InvalidArgument: It is no datetime, or a naive one, or outside the years 1 to 9999 in UTC.
    """
    if not isinstance(moment, datetime):
        raise InvalidArgument.at(field, f"must be an aware datetime, not {_type_name(moment)}")
    if moment.utcoffset() is None:
        raise InvalidArgument.at(
            field,
            "is a datetime without a time zone, which names no instant; "
            "give datetime.now(timezone.utc), or moment.astimezone() for local time",
        )
    micros = (moment - _EPOCH) // _MICROSECOND
    if not _FIRST_MICROS <= micros <= _LAST_MICROS:
        raise InvalidArgument.at(field, "is outside the years 1 to 9999 in UTC")
    seconds, rest = divmod(micros, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def moment_of(stamp: Timestamp) -> datetime:
    """The aware UTC datetime of an instant, exact to the microsecond."""
    return _EPOCH + timedelta(0, stamp.seconds, stamp.nanos // 1000)


def duration(given: timedelta | float, field: str) -> Duration:
    """A length of time, given as a timedelta or in seconds, in whole microseconds."""
    if not isinstance(given, timedelta):
        try:
            given = timedelta(seconds=number(given, field))
        except OverflowError:
            raise InvalidArgument.at(field, f"is too long: {given!r} seconds") from None
    seconds = given.days * 86_400 + given.seconds
    if abs(seconds) > _MAX_DURATION_SECONDS:
        raise InvalidArgument.at(field, "is longer than 10,000 years")
    nanos = given.microseconds * 1000
    if seconds < 0 and nanos:
        # A Duration has one sign, a timedelta counts its microseconds upwards.
        seconds, nanos = seconds + 1, nanos - 1_000_000_000
    return Duration(seconds=seconds, nanos=nanos)


def to_value(given: ValueLike, field: str) -> value_pb2.Value:
    """A Python value as a message.

    Args:
        given: The value.
        field: Its path, for errors.

    Raises:
        InvalidArgument: Something in it has no place in a memory; the error names the path.
    """
    value = value_pb2.Value()
    fill_value(value, given, field)
    return value


def fill_value(value: value_pb2.Value, given: ValueLike, field: str) -> None:
    """Sets a message, which is empty, to a Python value. As `to_value`."""
    _fill(value, given, field, 0)


def to_map(given: Mapping[str, ValueLike], field: str) -> dict[str, value_pb2.Value]:
    """A mapping of Python values as messages by name."""
    if not isinstance(given, Mapping):
        raise InvalidArgument.at(field, f"must be a mapping, not {_type_name(given)}")
    return {
        text(name, _name(field)): to_value(each, _at(field, name)) for name, each in given.items()
    }


def _fill(value: value_pb2.Value, given: Any, field: str, depth: int) -> None:  # noqa: C901, PLR0912 (one branch a type)
    if given is None:
        value.null_value = value_pb2.NULL_VALUE_UNSPECIFIED
    elif isinstance(given, str):
        value.string_value = text(given, field)
    elif isinstance(given, dict):  # before all the rest, for Mapping is slow to ask for
        _fill_map(value, given, field, depth)
    elif isinstance(given, bool):
        value.bool_value = given
    elif isinstance(given, int):
        if not _INT_MIN <= given <= _INT_MAX:
            raise InvalidArgument.at(field, "is an int outside -2^63 to 2^63-1; give its str()")
        value.int_value = given
    elif isinstance(given, float):
        if not math.isfinite(given):
            raise InvalidArgument.at(field, f"is {given!r}; NaN and infinity cannot be stored")
        value.double_value = given
    elif isinstance(given, bytes | bytearray | memoryview):
        value.bytes_value = bytes(given)
    elif isinstance(given, datetime):
        value.timestamp_value.CopyFrom(timestamp(given, field))
    elif isinstance(given, list | tuple):
        items = value.list_value.values
        value.list_value.SetInParent()
        _deeper(depth, field)
        for index, item in enumerate(given):
            _fill(items.add(), item, f"{field}[{index}]", depth + 1)
    elif isinstance(given, Mapping):
        _fill_map(value, given, field, depth)
    else:
        raise InvalidArgument.at(field, _refusal(given))


def _fill_map(value: value_pb2.Value, given: Mapping[Any, Any], field: str, depth: int) -> None:
    entries = value.map_value.entries
    value.map_value.SetInParent()
    _deeper(depth, field)
    where = _name(field)
    for name, item in given.items():
        _fill(entries[text(name, where)], item, _at(field, name), depth + 1)


def _deeper(depth: int, field: str) -> None:
    if depth >= _MAX_DEPTH:
        raise InvalidArgument.at(field, f"lists and maps nest deeper than {_MAX_DEPTH}")


def _refusal(given: object) -> str:
    return f"{article(_type_name(given))} cannot be stored" + hint(given)


def hint(given: object) -> str:
    """What to give instead of something that has no place here, behind "; ". Often nothing."""
    found = _HINTS.get(type(given).__name__)
    if isinstance(given, date):
        found = _HINTS["date"]
    elif found is None and hasattr(given, "item"):
        found = "give its .item()"
    return f"; {found}" if found else ""


def article(name: str) -> str:
    """A noun with "a" or "an" before it."""
    vowel = name[:1].lower() in set("aeiou") and not name.lower().startswith("uu")
    return f"{'an' if vowel else 'a'} {name}"


def _type_name(given: object) -> str:
    kind = type(given)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _name(field: str) -> str:
    return f"a name in {field}"


def _at(field: str, name: object) -> str:
    return f"{field}[{name!r}]"


def from_value(value: value_pb2.Value) -> Any:
    """The Python value of a message: null as None, instants as aware UTC datetimes, bytes as bytes."""
    kind = value.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "list_value":
        return [from_value(item) for item in value.list_value.values]
    if kind == "map_value":
        return from_map(value.map_value.entries)
    if kind == "timestamp_value":
        return moment_of(value.timestamp_value)
    return getattr(value, kind)


def from_map(entries: Mapping[str, value_pb2.Value]) -> dict[str, Any]:
    """Python values by name."""
    return {name: from_value(entries[name]) for name in entries}
