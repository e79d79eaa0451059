"""Hostile requests, made from the descriptors, so that a new field is attacked the day it is born.

`variants` takes a good message and yields it again and again with one thing wrong: each field at any
depth set to each value that its type makes suspicious, taken away, or repeated too often.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

DIMENSION = 512
TOO_MANY = 1001
_DEEPEST = 7

STRINGS: tuple[str, ...] = (
    "", "\0", "a\0b", "a\nb\r\x1b[31m", "../../etc/passwd", "' or 1=1 --", "*", "%", "e\u0301",
    "\u202egnp.exe", "\ufeff", "\ufffe", "\U0010ffff", "\u2028", " trailing ", "@key", "@nothing",
    "\U0001f600" * 20, "x" * 129, "x" * 257, "x" * 513, "\u00e9" * 300, "x" * 65_537,
    "x" * 262_145, "2024-13-45", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-23:59",
    "NaN", "{}", '"', "\\", "\\u0000",
)  # fmt: skip
BYTES: tuple[bytes, ...] = (
    b"", b"\0", b"\xff\xfe\xfd", b"abcd", bytes(4 * DIMENSION),
    struct.pack("<f", 1.0) * (DIMENSION - 1),
    struct.pack("<f", 1.0) * (DIMENSION + 1),
    struct.pack("<f", 1.0) * DIMENSION + b"\0",
    struct.pack("<f", float("nan")) * DIMENSION,
    struct.pack("<f", float("inf")) * DIMENSION,
    struct.pack("<f", float("-inf")) + struct.pack("<f", 1.0) * (DIMENSION - 1),
    struct.pack("<f", 3.4e38) * DIMENSION,
    struct.pack("<f", 1e-45) * DIMENSION,
    struct.pack("<f", -0.0) * DIMENSION,
    struct.pack("<f", 1.0) * 16_385,
    b"x" * 262_145,
)  # fmt: skip
DOUBLES = (
    float("nan"), float("inf"), float("-inf"), -0.0, 0.0, 1e308, -1e308, 5e-324, -1.0, 1.0000001,
    2.0**53 + 2,
)  # fmt: skip
_INTS = {
    FieldDescriptor.CPPTYPE_INT32: (0, -1, 1, 2**31 - 1, -(2**31), 10**9),
    FieldDescriptor.CPPTYPE_INT64: (
        0, -1, 1, 999, 10**9, 2**53 + 1, 2**63 - 1, -(2**63), 253_402_300_800, -62_135_596_801,
        315_576_000_001,
    ),
    FieldDescriptor.CPPTYPE_UINT32: (0, 1, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 1, 2**64 - 1),
}  # fmt: skip


def scalars(field: FieldDescriptor) -> tuple[Any, ...]:
    """The suspicious values of a field's type."""
    if field.cpp_type in _INTS:
        return _INTS[field.cpp_type]
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return DOUBLES
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return (False, True)
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        assert field.enum_type is not None
        return (*enum_numbers(field), -1, 7777, 2**31 - 1, -(2**31))
    return BYTES if field.type == FieldDescriptor.TYPE_BYTES else STRINGS


def enum_numbers(field: FieldDescriptor) -> tuple[int, ...]:
    """The numbers that an enum knows."""
    assert field.enum_type is not None
    return tuple(value.number for value in field.enum_type.values)


def variants(good: Message, depth: int = 0, seen: tuple[str, ...] = ()) -> Iterator[Message]:
    """The message with one thing wrong, as often as something can be."""
    descriptor = good.DESCRIPTOR
    seen = (*seen, descriptor.full_name)
    for field in descriptor.fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            yield from _map_variants(good, field, depth, seen)
        elif field.is_repeated:
            yield from _repeated_variants(good, field, depth, seen)
        elif field.message_type is not None:
            yield from _message_variants(good, field, depth, seen)
        else:
            for value in scalars(field):
                yield _with(good, field, value)
            if field.has_presence:
                yield _without(good, field)


def _message_variants(
    good: Message, field: FieldDescriptor, depth: int, seen: tuple[str, ...]
) -> Iterator[Message]:
    yield _without(good, field)
    inner = _class(field)()
    yield _with(good, field, inner)
    if _goes_on(field, depth, seen):
        if good.HasField(field.name):
            inner.CopyFrom(getattr(good, field.name))
        for wrong in variants(inner, depth + 1, seen):
            yield _with(good, field, wrong)


def _repeated_variants(
    good: Message, field: FieldDescriptor, depth: int, seen: tuple[str, ...]
) -> Iterator[Message]:
    yield _without(good, field)
    if field.message_type is None:
        for value in scalars(field):
            yield _with(good, field, [value])
        usual = list(getattr(good, field.name)) or [scalars(field)[-1]]
        yield _with(good, field, usual[:1] * TOO_MANY)
        return
    item = _class(field)()
    yield _with(good, field, [item])
    yield _with(good, field, [item, item])
    if getattr(good, field.name):
        item.CopyFrom(getattr(good, field.name)[0])
    yield _with(good, field, [item, item])
    yield _with(good, field, [item] * TOO_MANY)
    if _goes_on(field, depth, seen):
        for wrong in variants(item, depth + 1, seen):
            yield _with(good, field, [wrong])


def _map_variants(
    good: Message, field: FieldDescriptor, depth: int, seen: tuple[str, ...]
) -> Iterator[Message]:
    assert field.message_type is not None
    key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    yield _without(good, field)
    usual: Any = scalars(value)[-1] if value.message_type is None else _class(value)()
    entries = getattr(good, field.name)
    for name in entries:
        usual = entries[name]
    for name in scalars(key):
        yield _with(good, field, {name: usual})
    yield _with(good, field, {f"name-{number}": usual for number in range(TOO_MANY)})
    if value.message_type is not None and _goes_on(value, depth, seen):
        for wrong in variants(usual, depth + 1, seen):
            yield _with(good, field, {"name": wrong})


def _goes_on(field: FieldDescriptor, depth: int, seen: tuple[str, ...]) -> bool:
    """Into each type twice at most, so that a list in a list is met but has an end."""
    assert field.message_type is not None
    return depth < _DEEPEST and seen.count(field.message_type.full_name) < 2


def _class(field: FieldDescriptor) -> type[Message]:
    return GetMessageClass(cast("Descriptor", field.message_type))


def _without(good: Message, field: FieldDescriptor) -> Message:
    wrong = type(good)()
    wrong.CopyFrom(good)
    wrong.ClearField(field.name)
    return wrong


def _with(good: Message, field: FieldDescriptor, value: Any) -> Message:
    """A copy with a field set: to a scalar, a message, a list or a mapping."""
    wrong = _without(good, field)
    if isinstance(value, dict):
        target = getattr(wrong, field.name)
        for name, item in value.items():
            if isinstance(item, Message):
                target[name].CopyFrom(item)
            else:
                target[name] = item
    elif isinstance(value, list):
        getattr(wrong, field.name).extend(value)
    elif isinstance(value, Message):
        inner = getattr(wrong, field.name)
        inner.SetInParent()
        inner.CopyFrom(value)
    else:
        setattr(wrong, field.name, value)
    return wrong


MARK = "MARKMARK"
"""Stands in a string field where bytes that are no UTF-8 shall stand."""


def bad_strings(good: Message) -> Iterator[bytes]:
    """The message as bytes, each time with another string that is not UTF-8."""
    for wrong in _marked(good, 0, ()):
        raw = wrong.SerializeToString()
        assert raw.count(MARK.encode()) >= 1
        for bad in (b"\xff\xfe\xfd\xfc", b"\xed\xa0\x80a", b"abc\xc3", b"\xc0\x80ab"):
            yield raw.replace(MARK.encode(), bad + b"tail")


def _marked(good: Message, depth: int, seen: tuple[str, ...]) -> Iterator[Message]:
    seen = (*seen, good.DESCRIPTOR.full_name)
    for field in good.DESCRIPTOR.fields:
        if field.message_type is None:
            if field.type == FieldDescriptor.TYPE_STRING:
                yield _with(good, field, [MARK] if field.is_repeated else MARK)
            continue
        if field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            usual: Any = "x" if value.message_type is None else _class(value)()
            yield _with(good, field, {MARK: usual})
            if value.message_type is None or not _goes_on(value, depth, seen):
                continue
            for wrong in _marked(usual, depth + 1, seen):
                yield _with(good, field, {"name": wrong})
        elif _goes_on(field, depth, seen):
            for wrong in _marked(_class(field)(), depth + 1, seen):
                yield _with(good, field, [wrong] if field.is_repeated else wrong)


def nested(levels: int, *tags: int) -> bytes:
    """Messages in messages, so many levels deep, by the field numbers of the way down."""
    raw = b""
    for level in range(levels):
        tag = tags[len(tags) - 1 - level % len(tags)]
        raw = bytes([tag << 3 | 2]) + varint(len(raw)) + raw
    return raw


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    raw = bytearray()
    while number > 0x7F:
        raw.append(number & 0x7F | 0x80)
        number >>= 7
    raw.append(number)
    return bytes(raw)
