"""How a point is a record of Pinecone, and back.

| part | what it holds |
| --- | --- |
| id | the point id, as text |
| values | the vector; for a point without one a direction made from its id, which no query sees |
| metadata | tokens, numbers and instants for filters; the record in chunks of base64; where it |
|          | stands, as exact JSON text (numbers are float64 there); the beginning of the text |
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from memplane_adapters.contract import Address, Point, Stored, StoreError, StoreReason, Vector
from memplane_adapters.contract import point_id as id_of
from memplane_adapters.kit import typed
from memplane_adapters.pinecone import errors
from memplane_adapters.pinecone.client import json_bytes, shortest
from memplane_adapters.pinecone.filters import (
    BARE,
    EXPIRE_TIME,
    NEVER_EXPIRES,
    TOKENS,
    number_key,
    scope_tokens,
)
from memplane_adapters.pinecone.names import record_id

ID: Final = "id"
OUTLINE: Final = "outline"
HIGH: Final = "revision_high"
LOW: Final = "revision_low"
"""A revision has 64 bits and a float64 only 53: each half is exact."""

MOST_METADATA: Final = 40_000
"""Pinecone's 40 KB, however it counts these."""
_CHUNK: Final = 8_000
_SHOWN: Final = 500
"""Bytes of the text that are kept in plain, for people; the record holds all of it."""
_HALF: Final = 2**32


@dataclass(frozen=True, slots=True)
class Row:
    """What is written of a point, and how many bytes that is."""

    id: str
    values: list[float]
    metadata: dict[str, Any]
    size: int

    @property
    def vector(self) -> dict[str, Any]:
        """As the client library takes it."""
        return {"id": self.id, "values": self.values, "metadata": self.metadata}


@dataclass(frozen=True, slots=True)
class Outline:
    """Where a row stands."""

    namespace: tuple[str, ...]
    key: str
    time: int
    update_time: int
    revision: int


def encode(point: Point, dimension: int) -> Row | StoreError:
    """A record; the vector, where there is one, has the dimension. Or why it must not be written."""
    address = point.address
    high, low = divmod(point.revision, _HALF)
    place = [address.namespace, address.key, point.time, point.update_time, point.revision]
    expire_time = point.expire_time
    found = typed.indexed(point.fields)
    metadata: dict[str, Any] = {
        TOKENS: [*scope_tokens(point), *found.tokens],
        ID: record_id(address),
        HIGH: high,
        LOW: low,
        "time": point.time,
        "update_time": point.update_time,
        EXPIRE_TIME: NEVER_EXPIRES if expire_time is None else expire_time,
        BARE: point.vector is None,
        OUTLINE: json.dumps(place, ensure_ascii=False),
        "text": _beginning(point.text),
        **_chunks(point.record),
    }
    for name, number in found.numbers.items():
        metadata[number_key("number", name)] = number
    for name, instant in found.instants.items():
        metadata[number_key("instant", name)] = instant
    size = json_bytes(metadata)
    if size > MOST_METADATA:
        return StoreError(
            StoreReason.ITEM_TOO_LARGE,
            f"{size} bytes of metadata, above {MOST_METADATA}",
            metadata={"limit_bytes": str(MOST_METADATA), "actual_bytes": str(size)},
        )
    values = shortest(_stand_in(address, dimension) if point.vector is None else point.vector)
    return Row(record_id(address), values, metadata, size + json_bytes(values) + 100)


def _chunks(record: bytes) -> dict[str, str]:
    text = base64.b64encode(record).decode()
    starts = range(0, max(len(text), 1), _CHUNK)
    return {f"record.{number}": text[start : start + _CHUNK] for number, start in enumerate(starts)}


def _beginning(text: str) -> str:
    encoded = text.encode()
    return text if len(encoded) <= _SHOWN else encoded[:_SHOWN].decode(errors="ignore") + "…"


def _stand_in(address: Address, dimension: int) -> Vector:
    """A direction of its own for each row: rows that share one would clog the index."""
    chance = np.random.default_rng(id_of(address).int)
    direction = chance.standard_normal(dimension)
    return (direction / np.linalg.norm(direction)).astype(np.float32)


def metadata_of(vector: Any) -> Mapping[str, Any]:
    """The metadata of a record that was read. Raises PROTOCOL unless it is ours."""
    metadata = vector.metadata
    if not isinstance(metadata, dict) or not metadata.keys() >= _OURS:
        raise errors.malformed(f"a record of Pinecone lacks what we write: {vector.id}")
    return metadata


_OURS: Final = frozenset({TOKENS, EXPIRE_TIME, BARE, OUTLINE, "record.0"})


def held_bytes(vector: Any, dimension: int) -> int:
    """About how much memory a record takes that was read: a float is an object, and so is a token."""
    texts = (value for value in vector.metadata.values() if isinstance(value, str))
    return sum(map(len, texts)) + 120 * len(vector.metadata[TOKENS]) + 32 * dimension


def decode(vector: Any, dimension: int, *, vectors: bool) -> Stored:
    """The row of a record that was read. Raises PROTOCOL."""
    metadata = metadata_of(vector)
    values = None
    if vectors and not metadata[BARE]:
        values = decode_vector(vector.values, dimension)
    return Stored(_record(metadata), values)


def _record(metadata: Mapping[str, Any]) -> bytes:
    parts: list[str] = []
    while (part := metadata.get(f"record.{len(parts)}")) is not None:
        parts.append(part)
    try:
        return base64.b64decode("".join(parts), validate=True)
    except (binascii.Error, TypeError) as error:
        raise errors.malformed("a record of Pinecone is broken") from error


def decode_vector(values: Any, dimension: int) -> Vector:
    """The vector of a record. Raises PROTOCOL."""
    try:
        vector = np.array(values, np.float32)
    except (TypeError, ValueError) as error:
        raise errors.malformed("a record of Pinecone holds no numbers") from error
    if vector.shape != (dimension,):
        raise errors.malformed(f"a record of Pinecone has {vector.size} dimensions")
    return vector


def decode_outline(metadata: Mapping[str, Any]) -> Outline:
    """Where a row stands. Raises PROTOCOL."""
    try:
        namespace, key, time, update_time, revision = json.loads(metadata[OUTLINE])
        return Outline(tuple(namespace), key, time, update_time, revision)
    except (TypeError, ValueError) as error:
        raise errors.malformed("a record of Pinecone does not say where it stands") from error


def up_to_revision(revision: int) -> dict[str, Any]:
    """The rows of at most that revision, exactly."""
    high, low = divmod(revision, _HALF)
    same = {"$and": [{HIGH: {"$eq": high}}, {LOW: {"$lte": low}}]}
    return {"$or": [{HIGH: {"$lt": high}}, same]}
