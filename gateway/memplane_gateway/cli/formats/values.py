"""Values as JSON without losing a type: what JSON lacks stands in a map of one name.

`{"$bytes": base64}`, `{"$time": RFC 3339}`, and `{"$map": {...}}` for a map that has itself one name
and that one of these three. Whole numbers are whole, to 64 bits; a number with a point or an exponent
is a float.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

BYTES: Final = "$bytes"
TIME: Final = "$time"
MAP: Final = "$map"
_TAGS: Final = (BYTES, TIME, MAP)

_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def loads(text: bytes | str) -> Any:
    """Reads JSON, strictly: UTF-8, no NaN, no name twice in a map.

    Raises:
        ValueError: It is none, nests too deeply, or holds a number of thousands of digits.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()
        return json.loads(
            text, object_pairs_hook=_once, parse_constant=_no_constant, parse_int=_whole
        )
    except RecursionError:
        raise ValueError("nests too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        place = f" at line {error.lineno}" if error.lineno > 1 else ""
        raise ValueError(f"is not JSON: {error.msg}{place} at column {error.colno}") from None


def decode(given: Any, field: str) -> Any:
    """The value that a piece of JSON stands for.

    Args:
        given: What was read.
        field: Its path, for errors.

    Raises:
        ValueError: One of the three tags holds what it cannot.
    """
    if isinstance(given, list):
        return [decode(each, f"{field}[{i}]") for i, each in enumerate(given)]
    if not isinstance(given, dict):
        return given
    if len(given) == 1:
        ((name, held),) = given.items()
        if name == BYTES:
            return _bytes(held, field)
        if name == TIME:
            return time(held, f"{field}.{TIME}")
        if name == MAP:
            return decode_map(held, f"{field}.{MAP}")
    return decode_map(given, field)


def decode_map(given: Any, field: str) -> dict[str, Any]:
    """The values of a map whose own names are no tags. Raises ValueError."""
    expect(given, dict, field, "an object")
    return {name: decode(each, f"{field}[{name!r}]") for name, each in given.items()}


def expect(given: Any, kind: type, field: str, noun: str) -> None:
    """Sees that a piece of JSON is of a kind. Raises ValueError."""
    if not isinstance(given, kind):
        at = f"{field}: " if field else ""
        raise ValueError(f"{at}must be {noun}, not {shown(given)}")  # noqa: TRY004 (it is data)


def encode(value: Any) -> Any:
    """A value as JSON that `decode` makes the same value of."""
    if isinstance(value, Mapping):
        entries = encode_map(value)
        return {MAP: entries} if len(entries) == 1 and next(iter(entries)) in _TAGS else entries
    if isinstance(value, list | tuple):
        return [encode(each) for each in value]
    if isinstance(value, datetime):
        return {TIME: rfc3339(value)}
    if isinstance(value, bytes | bytearray | memoryview):
        return {BYTES: base64.b64encode(value).decode("ascii")}
    return value


def encode_map(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a map by name, whatever its names are; sorted, so that it is always the same."""
    return {name: encode(given[name]) for name in sorted(given)}


def time(given: Any, field: str) -> datetime:
    """An instant of RFC 3339, to the microsecond. Raises ValueError."""
    if isinstance(given, str) and _TIME.fullmatch(given):
        try:
            return datetime.fromisoformat(given.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass  # a day that there is not
    raise ValueError(
        f"{field}: must be a time with its zone, such as 2026-01-31T08:30:00Z, not {shown(given)}"
    )


def rfc3339(moment: datetime) -> str:
    """An instant in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def shown(given: Any) -> str:
    """A piece of JSON for an error, cut when it is long."""
    text = json.dumps(given, ensure_ascii=False)
    text = text.encode(errors="backslashreplace").decode()  # half a character cannot be printed
    return text if len(text) <= 40 else text[:37] + "..."


def _bytes(given: Any, field: str) -> bytes:
    if isinstance(given, str):
        try:
            return base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError):
            pass  # refused below
    raise ValueError(
        f'{field}.{BYTES}: must be base64, not {shown(given)}; a map of that name is {{"{MAP}": ...}}'
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"has the name {shown(twice)} twice in one object")
    return made


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # Python reads 4,300 digits
        raise ValueError(f"holds a number of {len(digits):,} digits") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"is not JSON: {name}")
