"""Who a memory is, and which memories a call is about."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

POINT_NAMESPACE = UUID("6d656d70-6c61-5e65-8000-6d656d6f7279")
"""The fixed, public UUID namespace of point ids (RFC 9562, version 5)."""


class Kind(StrEnum):
    """The sort of a memory; each of the first three has one route."""

    SEMANTIC = "semantic"
    EPISODIC = "episodic"
    PROCEDURAL = "procedural"
    CONTROL = "control"
    """The gateway's own state; no route leads here and no caller can name it."""
    SEMANTIC_TEXTS = "semantic-texts"
    """Further texts of SEMANTIC memories, a point each; no caller can name this kind either."""
    EPISODIC_TEXTS = "episodic-texts"
    """The same of EPISODIC memories."""


@dataclass(frozen=True, slots=True)
class Address:
    """The identity of a memory. Labels and key are compared literally, by code point."""

    tenant: str
    kind: Kind
    namespace: tuple[str, ...]
    key: str

    @property
    def place(self) -> tuple[tuple[str, ...], str]:
        """What orders memories of one tenant and kind: namespace label by label, then key."""
        return self.namespace, self.key


@dataclass(frozen=True, slots=True)
class Scope:
    """Which memories a call is about.

    `namespace` is a prefix of whole labels, or with `exact` the very namespace. Rows whose
    expire_time is at or before `alive_at` (microseconds since 1970) are not there; with `expired`
    they alone are, which is what a sweep walks over, counts and deletes. No query asks for it.
    """

    tenant: str
    kind: Kind
    alive_at: int
    namespace: tuple[str, ...] = ()
    exact: bool = False
    expired: bool = False

    def shows(self, expire_time: int | None) -> bool:
        """Whether a row that expires then (None: never) is there."""
        return (expire_time is not None and expire_time <= self.alive_at) is self.expired

    def covers(self, address: Address) -> bool:
        """Whether an address lies in the scope (expiry aside)."""
        if (address.tenant, address.kind) != (self.tenant, self.kind):
            return False
        if self.exact:
            return address.namespace == self.namespace
        return address.namespace[: len(self.namespace)] == self.namespace


@dataclass(frozen=True, slots=True)
class EmbeddingIdentity:
    """What made vectors; vectors of different identities are never compared."""

    provider: str
    model: str
    dimension: int
    metric: str = "cosine"
    normalized: bool = True

    def __str__(self) -> str:
        """For messages, e.g. "openai/text-embedding-3-small/1536"."""
        return f"{self.provider}/{self.model}/{self.dimension}"


def point_id(address: Address, part: int = 0) -> UUID:
    """The id of a point: UUIDv5 over the length-prefixed parts, so that no two addresses meet.

    Each part is its length in bytes as four big-endian bytes and then its UTF-8; the labels are
    preceded by their number in the same four bytes, the point's number `part` follows as four.
    """
    digest = hashlib.sha1(POINT_NAMESPACE.bytes, usedforsecurity=False)
    for text in (address.tenant, address.kind.value):
        digest.update(_prefixed(text))
    digest.update(len(address.namespace).to_bytes(4, "big"))
    for label in address.namespace:
        digest.update(_prefixed(label))
    digest.update(_prefixed(address.key))
    digest.update(part.to_bytes(4, "big"))
    return UUID(bytes=digest.digest()[:16], version=5)


def _prefixed(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(4, "big") + encoded
