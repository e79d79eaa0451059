"""How a memory becomes a point of Qdrant, and back.

Its payload:

    record      the whole memory, base64
    text        its text, for people who look into the store
    tenant, namespace, key
    scopes      a digest for each scope that it lies in (kit.scopes)
    tokens      its fields as typed names (kit.typed)
    numbers     [{"path": .., "value": float}, ..], and `instants` alike, in half microseconds
    time, update_time, expire_time   microseconds since 1970; without expire_time it never expires
    revision    of the gateway; 0 marks a delete under way, which has nothing of the above
    write       a random name of the write that made this
    writes      those of the up to 15 writes before
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeVar

import numpy as np
from qdrant_client import models

from memplane_adapters.contract import (
    Address,
    Point,
    Stored,
    StoreError,
    StoreReason,
    Vector,
    point_id,
)
from memplane_adapters.kit import scopes, typed
from memplane_adapters.qdrant import words

T = TypeVar("T")

VECTOR: Final = "memory"
"""The name of the vector: points of a collection with a named one may go without."""

WORDS: Final = "words"
"""The name of the sparse vector that its terms make; a point without terms goes without."""

KEPT_WRITES: Final = 16
"""So many writes may follow one at once, and it is still known to have been applied."""

RECORD: Final = "record"
TENANT: Final = "tenant"
NAMESPACE: Final = "namespace"
KEY: Final = "key"
SCOPES: Final = "scopes"
TOKENS: Final = "tokens"
NUMBERS: Final = "numbers"
INSTANTS: Final = "instants"
EXPIRE_TIME: Final = "expire_time"
REVISION: Final = "revision"
WRITE: Final = "write"
WRITES: Final = "writes"


@dataclass(frozen=True, slots=True)
class Version:
    """What stands at an address: a row, or the mark of a delete under way."""

    revision: int
    write: str
    before: tuple[str, ...]

    @property
    def deleted(self) -> bool:
        """Whether there is no memory any more."""
        return self.revision == 0

    def has(self, write: str) -> bool:
        """Whether a write made it, or one that came before."""
        return write == self.write or write in self.before


# A conditional write makes it several times: to look what is there, to write, and to read it again.
@lru_cache(maxsize=4_096)
def id_of(address: Address) -> str:
    """The id of an address's point."""
    return str(point_id(address))


def new_write() -> str:
    """A name that no other write of any gateway has."""
    return secrets.token_urlsafe(12)


def to_point(entry: Point, write: str, base: Version | None) -> models.PointStruct:
    """The point of a memory, made by a write on top of what was there."""
    address = entry.address
    found = typed.indexed(entry.fields)
    payload: dict[str, Any] = {
        RECORD: base64.b64encode(entry.record).decode("ascii"),
        "text": entry.text,
        TENANT: address.tenant,
        NAMESPACE: list(address.namespace),
        KEY: address.key,
        SCOPES: [*scopes.prefix_digests(address), scopes.exact_digest(address)],
        TOKENS: found.tokens,
        NUMBERS: _listed(found.numbers),
        INSTANTS: _listed(found.instants),
        "time": entry.time,
        "update_time": entry.update_time,
        **_history(entry.revision, write, base),
    }
    if entry.expire_time is not None:
        payload[EXPIRE_TIME] = entry.expire_time
    vector: dict[str, Any] = {} if entry.vector is None else {VECTOR: entry.vector.tolist()}
    worded = words.of_row(address.tenant, entry.terms)
    if worded is not None:
        vector[WORDS] = worded
    return models.PointStruct(id=id_of(address), vector=vector, payload=payload)


def to_mark(address: Address, write: str, base: Version) -> models.PointStruct:
    """What takes a memory's place for the moment in which it is deleted; in no scope."""
    return models.PointStruct(id=id_of(address), vector={}, payload=_history(0, write, base))


def _history(revision: int, write: str, base: Version | None) -> dict[str, Any]:
    before = () if base is None else (base.write, *base.before)
    return {REVISION: revision, WRITE: write, WRITES: list(before[: KEPT_WRITES - 1])}


def _listed(by_path: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"path": path, "value": float(value)} for path, value in by_path.items()]


def read(make: Callable[[], T]) -> T:
    """What a function makes of a payload. Raises PROTOCOL where it is none of ours."""
    try:
        return make()
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise StoreError(
            StoreReason.PROTOCOL, f"a point of Qdrant is none of ours: {error!r}"
        ) from error


def version_of(payload: Mapping[str, Any] | None) -> Version:
    """The version that a payload tells of."""

    def make() -> Version:
        assert payload is not None
        return Version(
            int(payload[REVISION]), str(payload[WRITE]), tuple(map(str, payload[WRITES]))
        )

    return read(make)


def stored(record: models.Record, *, vectors: bool) -> Stored:
    """The row of a point."""
    payload = record.payload or {}
    return Stored(record_of(payload), vector_of(record.vector) if vectors else None)


def record_of(payload: Mapping[str, Any]) -> bytes:
    """The record in a payload."""
    return read(lambda: base64.b64decode(payload[RECORD], validate=True))


def vector_of(named: Any) -> Vector | None:
    """The vector of a point; None where it has none."""
    numbers: Sequence[float] | None = named.get(VECTOR) if isinstance(named, dict) else None
    return None if numbers is None else read(lambda: np.array(numbers, np.float32))


def place_of(payload: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """Namespace and key."""
    return read(lambda: (tuple(map(str, payload[NAMESPACE])), str(payload[KEY])))
