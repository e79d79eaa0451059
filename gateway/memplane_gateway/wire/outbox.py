"""Entries of the outbox: to bytes that every later release can read, and to messages."""

from __future__ import annotations

import zlib

import numpy as np
from google.protobuf.message import DecodeError

from memplane.v1 import admin_service_pb2, error_reason_pb2
from memplane_adapters.contract import Address, Vector
from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.generated.memplane.storage.v1 import outbox_pb2 as pb
from memplane_gateway.memory.shelf import RecordCodec, Row
from memplane_gateway.outbox.entries import Death, Spooled, Standing
from memplane_gateway.wire.memories import KINDS, write_ref
from memplane_gateway.wire.replies import reason_number, write_item_error
from memplane_gateway.wire.values import write_time

FORMAT = 1
_ID_BYTES = 8
_CHECKSUM_BYTES = 4
_HEAD_BYTES = _ID_BYTES + _CHECKSUM_BYTES
_PREFIX = "ERROR_REASON_"


class ProtobufSpooled:
    """Entries as memplane.storage.v1.Spooled, behind their id with its CRC-32, and that of the rest (big-endian)."""

    def __init__(self, records: RecordCodec) -> None:
        self._records = records

    def encode(self, entry: Spooled) -> bytes:
        """The entry as bytes, losslessly."""
        message = pb.Spooled(
            format=FORMAT,
            tenant=entry.address.tenant,
            revision=entry.revision,
            spool_time_us=entry.time,
            base=entry.base,
            batch=entry.batch,
            place=entry.place,
        )
        write_ref(entry.address, message.ref)
        if entry.row is not None:
            message.record = self._records.encode(entry.row.record)
            if entry.row.vector is not None:
                message.vector = _packed(entry.row.vector)
            further = (each for each in entry.row.further if each is not None)
            message.further_vectors.extend(map(_packed, further))
        if entry.death is not None:
            error = entry.death.error
            message.death.code = int(error.code)
            message.death.reason = reason_number(error.reason)
            message.death.message = error.message
            message.death.metadata.update(error.metadata)
            message.death.revision = entry.death.revision
        body = message.SerializeToString()
        return _checked(entry.id.to_bytes(_ID_BYTES, "big")) + _checksum(body) + body

    def decode(self, data: bytes) -> Spooled:
        """The entry again. Raises ValueError when the bytes are none, changed, or of a later format."""
        found, rest = self.id_of(data), data[_HEAD_BYTES:]
        checksum, body = rest[:_CHECKSUM_BYTES], rest[_CHECKSUM_BYTES:]
        if _checksum(body) != checksum:
            raise ValueError("the entry's checksum is another")
        try:
            message = pb.Spooled.FromString(body)
        except DecodeError as error:
            raise ValueError("the bytes are no entry") from error
        if message.format != FORMAT:
            raise ValueError(f"entry format {message.format} is not {FORMAT}")
        kind = KINDS.get(message.ref.kind)
        if kind is None:
            raise ValueError(f"unknown kind {message.ref.kind}")
        return Spooled(
            id=found,
            address=Address(message.tenant, kind, tuple(message.ref.namespace), message.ref.key),
            row=self._row(message) if message.record else None,
            revision=message.revision,
            time=message.spool_time_us,
            base=message.base,
            batch=message.batch,
            place=message.place,
            death=_death(message.death) if message.HasField("death") else None,
        )

    def id_of(self, data: bytes) -> int:
        """The id of an entry whose other bytes may have changed. Raises ValueError without one."""
        head = data[:_ID_BYTES]
        if data[:_HEAD_BYTES] != _checked(head):
            raise ValueError("the checksum of the entry's id is another")
        return int.from_bytes(head, "big")

    def _row(self, message: pb.Spooled) -> Row:
        vector = _unpacked(message.vector) if message.vector else None
        size = len(message.record) + len(message.vector) + sum(map(len, message.further_vectors))
        record = self._records.decode(message.record)
        found = dict(zip(record.embedded_texts, message.further_vectors, strict=True))
        further = tuple(
            _unpacked(found[number]) if number in found else None
            for number in range(len(record.content.indexed_texts))
        )
        return Row(record, vector, size, further)


def _packed(vector: Vector) -> bytes:
    return vector.astype("<f4").tobytes()


def _unpacked(data: bytes) -> Vector:
    return np.frombuffer(data, dtype="<f4").astype(np.float32)


def _checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(_CHECKSUM_BYTES, "big")


def _checked(head: bytes) -> bytes:
    return head + _checksum(head)


def _death(message: pb.Death) -> Death:
    name = error_reason_pb2.ErrorReason.Name(message.reason).removeprefix(_PREFIX)
    error = MemplaneError(
        Code(message.code), Reason(name), message.message, metadata=message.metadata
    )
    return Death(error, message.revision)


def write_standing(standing: Standing, message: admin_service_pb2.OutboxStatus) -> None:
    """Set a message to how an outbox fares."""
    message.waiting = standing.waiting
    message.dead = standing.dead
    message.size_bytes = standing.size_bytes
    if standing.oldest is not None:
        write_time(standing.oldest, message.oldest_time)


def write_spooled(entry: Spooled, message: admin_service_pb2.OutboxEntry) -> None:
    """Set a message, but for its id, to an entry."""
    message.tenant = entry.address.tenant
    write_ref(entry.address, message.ref)
    message.operation = admin_service_pb2.OUTBOX_OPERATION_DELETE
    if entry.row is not None:
        message.operation = admin_service_pb2.OUTBOX_OPERATION_PUT
        message.size_bytes = entry.row.size
    write_time(entry.time, message.spool_time)
    if entry.death is not None:
        write_item_error(entry.death.error, message.error)
