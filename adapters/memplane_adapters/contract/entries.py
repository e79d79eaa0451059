"""What passes between the gateway and a store. Times are microseconds since 1970 in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from memplane_adapters.contract.errors import StoreError
from memplane_adapters.contract.filters import Filter
from memplane_adapters.contract.identity import Address, EmbeddingIdentity, Kind, Scope
from memplane_adapters.contract.values import Fields

Vector: TypeAlias = npt.NDArray[np.float32]
"""One vector of shape (dimension,), float32, of length 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A memory as a key-value store keeps it."""

    address: Address
    revision: int
    """The gateway's clock at the write, above 0."""
    update_time: int
    time: int
    """When it happened: its event_time, else its update_time."""
    expire_time: int | None = None
    """From when on it is gone; None is never."""
    fields: Fields = field(default_factory=dict)
    """What filters see."""
    record: bytes
    """The whole memory; opaque to the store and given back byte by byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point(Entry):
    """A memory as a vector store keeps it: the head point, which carries the record."""

    vector: Vector | None = None
    text: str = ""
    """The text in plain, for people who look into the store."""
    terms: tuple[str, ...] = ()
    """The text as analysed words (lower-case letters and digits, in order, repeats kept)."""


EntryT_co = TypeVar("EntryT_co", bound=Entry, covariant=True)


@dataclass(frozen=True, slots=True)
class Write(Generic[EntryT_co]):
    """One entry to write.

    `expected` is the revision that must be there now: None for whatever, 0 for no row at all.
    An expired row still is a row here. A store that writes may reach late answers CONFLICT where
    None is expected and the entry's own revision is below the one that is there.
    """

    entry: EntryT_co
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """One memory to delete, with `expected` as in Write."""

    address: Address
    expected: int | None = None


class WriteStatus(StrEnum):
    """What became of one write or delete."""

    APPLIED = "applied"
    CONFLICT = "conflict"
    """Another revision than expected was there; nothing was done."""
    MISSING = "missing"
    """A delete found no row."""
    FAILED = "failed"
    """The store refused this one; see the error."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of one write or delete, and why when it failed."""

    status: WriteStatus
    error: StoreError | None = None
    replicas: int = 0
    """How many copies beside the store itself have acknowledged it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A row that a store gives back."""

    record: bytes
    vector: Vector | None = None
    """Only when asked for."""

    @property
    def size(self) -> int:
        """How many bytes it counts towards `max_bytes`."""
        return len(self.record) + (0 if self.vector is None else self.vector.nbytes)


@dataclass(frozen=True, slots=True)
class Hit(Stored):
    """A row that a query found."""

    score: float = 0.0
    """VECTOR: the cosine, -1 to 1. KEYWORD: the BM25 sum, 0 or more."""


class Order(StrEnum):
    """What a scan goes by; ties go by place (namespace, key) ascending, in both directions."""

    PLACE = "place"
    UPDATE_TIME = "update_time"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in a scan: rows behind it come next."""

    value: int
    """The row's update_time or time; 0 for Order.PLACE."""
    namespace: tuple[str, ...]
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A walk over rows in order."""

    scope: Scope
    order: Order = Order.PLACE
    descending: bool = False
    """Turns the order's value round; for Order.PLACE the place itself."""
    after: Cursor | None = None
    resumes: Cursor | None = None
    """Where the page before ended, when `after` lies beyond that: what a store keeps of a walk still
    holds."""
    limit: int = 50
    """Most rows to return, 1 or more."""
    budget: int = 10_000
    """Most rows to look at, 1 or more."""
    filter: Filter | None = None
    """What the store is to evaluate; only operators that it declares."""
    vectors: bool = False
    max_bytes: int = 2**62
    """About how many bytes of rows to return at most; the row that passes it is the last."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of a walk."""

    rows: tuple[Stored, ...]
    next: Cursor | None
    """Where to go on; None is the end. Set when limit or budget ran out before the end."""
    scanned: int
    """Rows looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A search: by vector, or by terms."""

    scope: Scope
    vector: Vector | None = None
    terms: tuple[str, ...] = ()
    """Rows that hold at least one of these match, best BM25 first."""
    limit: int = 50
    filter: Filter | None = None
    exact: bool = False
    vectors: bool = False
    max_bytes: int = 2**62
    """As in Scan; a result that ends there says so."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Hits, best first by `ranking.rank_key`, of which ties at the limit are cut in that order too."""

    hits: tuple[Hit, ...]
    approximate: bool
    scanned: int
    cut: bool = False
    """Whether `max_bytes` ended it before `limit`."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many rows; `exact` is False when there are at least so many."""

    count: int
    scanned: int
    exact: bool = True


class FieldType(StrEnum):
    """What an indexed attribute mostly holds."""

    STRING = "string"
    NUMBER = "number"
    BOOL = "bool"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Collection:
    """What a route needs a store to have ready, and what it must have been made with."""

    kind: Kind
    embedding: EmbeddingIdentity
    analyzer: str
    """Name of the text analysis that made `terms`."""
    index: Mapping[tuple[str, ...], FieldType] = field(default_factory=dict)
    """Attributes that filters often name, by path; a store may give them an index of their own."""
    made: bool = False
    """Whether it has been made ready before: if it is not there now, it has vanished."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures about one kind in a store; None is not known."""

    rows: int | None
    """Rows of the kind, all tenants, expired ones too."""
    size_bytes: int | None
    """Size of the whole store."""
