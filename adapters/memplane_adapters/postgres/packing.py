"""Vectors as pgvector has them on the wire: dimension, zero, and big-endian float32 numbers."""

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


def pack_all(vectors: Sequence[Packed | None], oid: int) -> Packed:
    """An array of vectors; `oid` is that of their type, and None is null."""
    parts = [_ARRAY.pack(1, 1, oid, len(vectors), 1)]
    for one in vectors:
        parts += (_NULL,) if one is None else (_LENGTH.pack(len(one)), one)
    return Packed(b"".join(parts))


def unpack(data: bytes) -> Vector:
    """The vector."""
    return np.frombuffer(data, ">f4", offset=_HEAD.size).astype(np.float32)
