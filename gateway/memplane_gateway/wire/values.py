"""Value messages to domain values and back, losslessly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from memplane.v1 import value_pb2 as pb
from memplane_adapters.contract import Value, from_micros, to_micros
from memplane_gateway.limits import STRING_BYTES, VALUE_DEPTH
from memplane_gateway.wire.violations import Violations

_SURELY_SHORT = STRING_BYTES // 4
"""Characters, of 1 to 4 bytes each, that need not be counted."""
_FIRST_SECOND = -62_135_596_800
_LAST_SECOND = 253_402_300_799


def read_value(
    message: pb.Value, path: str, violations: Violations, *, nul: bool = False, depth: int = 1
) -> Value:
    """The datum of a message; `nul` allows the NUL character in strings."""
    kind = message.WhichOneof("kind")
    if kind == "string_value":
        text = message.string_value
        if len(text) > _SURELY_SHORT or (not nul and "\0" in text):
            _check_string(text, path, violations, nul=nul)
        return text
    if kind == "int_value":
        return message.int_value
    if kind in ("list_value", "map_value"):
        if depth > VALUE_DEPTH:
            violations.add(path[:200], f"lists and maps nest more than {VALUE_DEPTH} deep")
            return None
        if kind == "map_value":
            entries = message.map_value.entries
            return read_map(entries, path, violations, nul=nul, depth=depth + 1)
        items = message.list_value.values
        if not violations.may_read(len(items), path):
            return None
        return [
            read_value(item, f"{path}[{index}]", violations, nul=nul, depth=depth + 1)
            for index, item in enumerate(items)
        ]
    if kind is None:
        violations.add(path, "has no type; for null set null_value")
        return None
    return _read_scalar(message, kind, path, violations)


def read_map(
    entries: Mapping[str, pb.Value],
    path: str,
    violations: Violations,
    *,
    nul: bool = False,
    depth: int = 1,
) -> dict[str, Value]:
    """The entries of a map."""
    result: dict[str, Value] = {}
    if not violations.may_read(len(entries), path):
        return result
    for name in entries:
        if len(name) > _SURELY_SHORT or (not nul and "\0" in name):
            _check_string(name, f"{path} (a name)", violations, nul=nul)
        result[name] = read_value(
            entries[name], f"{path}[{name[:64]!r}]", violations, nul=nul, depth=depth
        )
    return result


def read_time(message: Timestamp, path: str, violations: Violations) -> int:
    """Microseconds since 1970; 0 beside a note when it is no instant that we keep."""
    if not _FIRST_SECOND <= message.seconds <= _LAST_SECOND or not 0 <= message.nanos < 10**9:
        violations.add(path, "is not an instant between the years 1 and 9999")
        return 0
    if message.nanos % 1000:
        violations.add(path, "is finer than a microsecond; round it")
    return message.seconds * 1_000_000 + message.nanos // 1000


def write_time(micros: int, message: Timestamp) -> None:
    """Set a timestamp to microseconds since 1970."""
    message.seconds, rest = divmod(micros, 1_000_000)
    message.nanos = rest * 1000


def write_value(value: Value, message: pb.Value) -> None:
    """Set a message to a datum."""
    if isinstance(value, str):
        message.string_value = value
    elif isinstance(value, dict):
        message.map_value.SetInParent()
        entries = message.map_value.entries
        for name, item in value.items():
            write_value(item, entries[name])
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, int):
        message.int_value = value
    elif isinstance(value, float):
        message.double_value = value
    elif value is None:
        message.null_value = pb.NULL_VALUE_UNSPECIFIED
    elif isinstance(value, datetime):
        message.timestamp_value.SetInParent()
        write_time(to_micros(value), message.timestamp_value)
    elif isinstance(value, bytes):
        message.bytes_value = value
    else:
        message.list_value.SetInParent()
        values = message.list_value.values
        for item in value:
            write_value(item, values.add())


def _check_string(text: str, path: str, violations: Violations, *, nul: bool) -> None:
    if len(text) > _SURELY_SHORT and (size := len(text.encode())) > STRING_BYTES:
        violations.add(path, f"{size} bytes, but at most {STRING_BYTES} are allowed")
    if not nul and "\0" in text:
        violations.add(path, "holds a NUL character, which only `value` may")


def _read_scalar(message: pb.Value, kind: str, path: str, violations: Violations) -> Value:
    if kind == "double_value":
        number = message.double_value
        if not math.isfinite(number):
            violations.add(path, "NaN and infinity are not values; leave it out or use null")
        return number
    if kind == "timestamp_value":
        return from_micros(read_time(message.timestamp_value, path, violations))
    if kind == "bytes_value":
        data = message.bytes_value
        if len(data) > STRING_BYTES:
            violations.add(path, f"{len(data)} bytes, but at most {STRING_BYTES} are allowed")
        return data
    if kind == "null_value":
        if message.null_value != pb.NULL_VALUE_UNSPECIFIED:
            violations.add(path, f"null_value is 0, not {message.null_value}")
        return None
    return message.bool_value
