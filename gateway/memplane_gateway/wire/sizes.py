"""How large a memory becomes in a store, known before anything is done."""

from __future__ import annotations

from typing import Final

from memplane_adapters.contract import EmbeddingIdentity, metadata_bytes
from memplane_gateway.limits import REQUEST_ID_BYTES
from memplane_gateway.memory.calls.idempotency import TOKENS
from memplane_gateway.memory.model import (
    Caller,
    Operation,
    Outcome,
    Provenance,
    Put,
    Record,
    WriteToken,
)
from memplane_gateway.memory.shelf import fields_of
from memplane_gateway.wire.records import ProtobufRecords

_LARGEST: Final = 2**63 - 1
_LATEST: Final = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""
_TOKEN: Final = WriteToken(
    Operation.UPDATE, "x" * REQUEST_ID_BYTES, 2**31 - 1, bytes(32), _LARGEST, Outcome.UNCHANGED
)
_RECORDS: Final = ProtobufRecords()


def largest_metadata(put: Put, caller: Caller, embedding: EmbeddingIdentity | None) -> int:
    """At most how many bytes of metadata a put makes, whatever is there and comes after it."""
    record = Record(
        address=put.address,
        content=put.content,
        revision=_LARGEST,
        create_time=_LATEST,
        update_time=_LATEST,
        expire_time=_LATEST,
        ttl=_LARGEST,
        content_hash=bytes(16),
        embedding=embedding,
        provenance=Provenance(caller.principal, "x" * REQUEST_ID_BYTES, caller.source),
        tokens=(_TOKEN,) * TOKENS,
        embedded_texts=tuple(range(len(put.content.indexed_texts))),
    )
    size = len(_RECORDS.encode(record))
    return metadata_bytes(put.address, fields_of(record), size, put.content.text)
