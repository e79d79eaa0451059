"""How large a memory is beside its vector, for stores that limit it: counted without a store.

Stores with such a limit keep metadata as JSON, fields as typed tokens and the record as base64. What
is counted is no less than that takes, so that what passes here is never refused by the store.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final

from memplane_adapters.contract.identity import Address
from memplane_adapters.contract.values import Fields, Value, instant

_BESIDE: Final = 600
"""Names, times and numbers that every row has."""
_TEXT: Final = 600
"""Of the text in plain, its beginning, without what JSON escapes."""
_LABEL: Final = 48
"""A token for the scope of each level."""
_FIELD: Final = 20
"""What a token has beside path and value."""
_NUMBER: Final = 25
_LONGEST: Final = 310
_HASHED: Final = 64
"""Longer values are cut there and end in a hash."""
_MARKS: Final = frozenset(".=?~#\\")


def metadata_bytes(address: Address, fields: Fields, record: int, text: str) -> int:
    """At most how many bytes of metadata a memory makes whose record has so many bytes."""
    place = sum(_json(json.dumps(part, ensure_ascii=False)) for part in address.namespace)
    place += _json(json.dumps(address.key, ensure_ascii=False))
    levels = (len(address.namespace) + 2) * _LABEL
    encoded = 4 * (record + 2) // 3
    chunks = (encoded // 4_000 + 1) * _FIELD
    shown = _json(text[:_TEXT])
    return _BESIDE + place + levels + encoded + chunks + shown + _fields(fields, 0)


def _fields(fields: Fields, above: int) -> int:
    return sum(_field(above + _name(name), value) for name, value in fields.items())


def _field(path: int, value: Value) -> int:
    there = path + _FIELD
    if isinstance(value, dict):
        return there + _fields(value, path + 1)
    if isinstance(value, list):
        scalars = [item for item in value if not isinstance(item, list | dict)]
        return 2 * there + sum(there + _value(item) for item in scalars)
    size = 2 * there + _value(value)
    if isinstance(value, bool):
        return size
    if isinstance(value, int | float | datetime) or instant(value) is not None:
        size += 2 * (there + _NUMBER)  # one to know its type by, one to compare
    return size


def _name(name: str) -> int:
    """A name of a path, with a backslash before each mark, which JSON doubles."""
    return _json(name) + 2 * sum(name.count(mark) for mark in _MARKS)


def _value(value: Value) -> int:
    if isinstance(value, str):
        return _json(value[:_HASHED]) + _HASHED
    if isinstance(value, bytes):
        return 2 * _HASHED
    # A large float is written as the integer that it is.
    return _LONGEST if isinstance(value, float) and abs(value) > 1e15 else _NUMBER


def _json(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode())
