"""Values as they are on the wire in binary, where psycopg has no form for them or a slow one.

A vector of pgvector: dimension, zero, and big-endian float32 numbers. An array: dimensions, whether
it holds nulls, the type's number, length, first index, then each value behind its length.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np
from psycopg.adapt import Dumper
from psycopg.pq import Format

from memplane_adapters.contract import Vector

_HEAD: Final = struct.Struct(">HH")
_ARRAY: Final = struct.Struct(">iiIii")
_LENGTH: Final = struct.Struct(">i")
_NULL: Final = _LENGTH.pack(-1)


class Packed(bytes):
    """A value in binary; the statement says of what type it is."""

    __slots__ = ()


class PackedDumper(Dumper):
    """Sends it as it is."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: Packed) -> bytes:
        return obj


def pack(vector: Vector) -> Packed:
    """A vector."""
    return Packed(_HEAD.pack(vector.size, 0) + vector.astype(">f4").tobytes())


def pack_all(values: Sequence[bytes | str | None], oid: int) -> Packed:
    """An array of values in binary; `oid` is that of their type, and None is null.

    Nothing of it has to be quoted by us and read by the server, as in an array that is sent as text.
    """
    parts = [_ARRAY.pack(1, 1, oid, len(values), 1)]
    for value in values:
        if value is None:
            parts.append(_NULL)
            continue
        encoded = value.encode() if isinstance(value, str) else value
        parts += (_LENGTH.pack(len(encoded)), encoded)
    return Packed(b"".join(parts))


def unpack(data: bytes) -> Vector:
    """The vector."""
    return np.frombuffer(data, ">f4", offset=_HEAD.size).astype(np.float32)
