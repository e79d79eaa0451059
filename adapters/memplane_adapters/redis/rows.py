"""A row as one value: a head of fixed length, the fields as JSON, the record.

    offset  bytes
    0       1      version of this layout, 1
    1       1      1 if the record is compressed (zlib)
    2       8      revision
    10      8      update_time, latest first
    18      8      time, latest first
    26      8      expire_time, earliest first; eight times 255 is never
    34      4      bytes of the fields
    38      4      bytes of the record as it was
    42             fields, then the record

Scripts read and compare the first 34, which they know as the head.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final, NamedTuple

from memplane_adapters.contract import Entry, Fields, Stored, StoreError, StoreReason
from memplane_adapters.kit.codec import decode_fields, encode_fields
from memplane_adapters.redis.layout import earliest_first, latest_first, micros_of, time_of

NEVER: Final = b"\xff" * 8
GRACE_MILLIS: Final = 3_600_000
"""How long Redis keeps a row when it has expired, or was written expired: the gateway's clock says
on reads what is over, so the two clocks may differ by this much."""

_VERSION: Final = 1
_HEAD: Final = struct.Struct(">BB8s8s8s8sII")
_LEVEL: Final = 1


class Row(NamedTuple):
    """A row as it is kept, taken apart; fields and record are not decoded yet."""

    revision: int
    update_time: int
    time: int
    expire_time: int | None
    fields_json: bytes
    body: bytes
    compressed: bool
    size: int
    """Bytes of the record as it was."""

    def fields(self) -> Fields:
        """What filters see. Raises DAMAGED."""
        try:
            return decode_fields(self.fields_json.decode()) if self.fields_json else {}
        except ValueError as error:
            raise _damaged(str(error)) from error

    def record(self) -> bytes:
        """The record. Raises DAMAGED."""
        if not self.compressed:
            return self.body
        unpacker = zlib.decompressobj()
        try:
            record = unpacker.decompress(self.body, self.size + 1)
        except zlib.error as error:
            raise _damaged(str(error)) from error
        if len(record) != self.size:
            raise _damaged(f"a record is not of {self.size} bytes")
        return record

    def stored(self) -> Stored:
        """The row as callers get it."""
        return Stored(self.record())


def encode(entry: Entry, compress_above: int) -> bytes:
    """An entry as a value. Raises ValueError for what cannot be written."""
    record, compressed = entry.record, False
    if len(record) > compress_above:
        packed = zlib.compress(record, _LEVEL)
        if len(packed) < len(record):
            record, compressed = packed, True
    fields = encode_fields(entry.fields).encode() if entry.fields else b""
    expire_time = entry.expire_time
    head = _HEAD.pack(
        _VERSION,
        compressed,
        entry.revision.to_bytes(8, "big"),
        latest_first(entry.update_time),
        latest_first(entry.time),
        NEVER if expire_time is None else earliest_first(expire_time),
        len(fields),
        len(entry.record),
    )
    return head + fields + record


def decode(value: bytes) -> Row:
    """A value taken apart. Raises DAMAGED."""
    if len(value) < _HEAD.size:
        raise _damaged(f"a row of {len(value)} bytes")
    version, compressed, revision, updated, time, expiry, fields, size = _HEAD.unpack_from(value)
    if version != _VERSION:
        raise _damaged(f"a row of version {version}")
    end = _HEAD.size + fields
    return Row(
        int.from_bytes(revision, "big"),
        time_of(updated),
        time_of(time),
        None if expiry == NEVER else micros_of(expiry),
        value[_HEAD.size : end],
        value[end:],
        bool(compressed),
        size,
    )


def dropped_at(expire_time: int | None, now: int) -> bytes:
    """When Redis is to drop a row, in milliseconds since 1970; empty is never."""
    if expire_time is None:
        return b""
    return b"%d" % (max(expire_time, now) // 1000 + GRACE_MILLIS)


def _damaged(what: str) -> StoreError:
    return StoreError(StoreReason.DAMAGED, f"what is kept in Redis is damaged: {what}")
