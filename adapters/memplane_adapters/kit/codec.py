"""How namespaces and fields are written where a vendor takes only bytes or text, without loss."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime

from memplane_adapters.contract import Fields, Value, from_micros, to_micros

_BYTES = "$bytes"
_TIME = "$time"
_ESCAPE = "$"


def encode_namespace(labels: tuple[str, ...]) -> bytes:
    """Each label in UTF-8 and a zero byte: bytes sort as labels do, and a prefix is a prefix."""
    if any("\0" in label for label in labels):
        raise ValueError("a label holds U+0000")
    return b"".join(label.encode() + b"\0" for label in labels)


def decode_namespace(data: bytes) -> tuple[str, ...]:
    """The labels."""
    return tuple(data[:-1].decode().split("\0")) if data else ()


def after_prefix(prefix: bytes) -> bytes:
    """The least bytes behind all that start with the prefix (of one label or more)."""
    return prefix[:-1] + b"\1"


def encode_fields(fields: Fields) -> str:
    """JSON in which bytes are {"$bytes": base64}, datetimes {"$time": microseconds}.

    Names of the user that start with "$" get another "$", so that nothing means two things.
    Raises ValueError for NaN and infinity.
    """
    return _ENCODER.encode(_escaped(dict(fields)))


def decode_fields(text: str) -> dict[str, Value]:
    """The fields, type by type what was encoded."""
    fields: dict[str, Value] = _DECODER.raw_decode(text)[0]
    return fields


def _escaped(value: Value) -> Value:
    if isinstance(value, dict):
        return {
            _ESCAPE + name if name.startswith(_ESCAPE) else name: (
                _escaped(item) if isinstance(item, dict | list) else item
            )
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_escaped(item) if isinstance(item, dict | list) else item for item in value]
    return value


def _tag(value: object) -> Mapping[str, object]:
    if isinstance(value, bytes):
        return {_BYTES: b64encode(value).decode("ascii")}
    if isinstance(value, datetime):
        return {_TIME: to_micros(value)}
    raise TypeError(f"{type(value).__name__} is not a value")


def _untag(names: dict[str, Value]) -> Value:
    if _TIME in names:
        micros = names[_TIME]
        assert isinstance(micros, int)
        return from_micros(micros)
    if _BYTES in names:
        text = names[_BYTES]
        assert isinstance(text, str)
        return b64decode(text)
    if any(name.startswith(_ESCAPE) for name in names):
        return {name.removeprefix(_ESCAPE): item for name, item in names.items()}
    return names


_ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"), default=_tag
)
_DECODER = json.JSONDecoder(object_hook=_untag)
