"""What calls return, and refs: frozen, plain, and independent of protobuf and gRPC.

Times are aware datetimes in UTC. Payloads (`Any` here) are what was stored: None, bool, int, float,
str, bytes, datetime, list and dict of such.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self, overload

from memplane import _values
from memplane._enums import Durability, EpisodeType, Kind, Mode, Outcome, coerce
from memplane._errors import InvalidArgument, MemplaneError
from memplane._vectors import VectorLike


def labels_of(namespace: Iterable[str], where: str) -> tuple[str, ...]:
    """The labels of a namespace; a bare string is refused, for it would be taken letter by letter."""
    if isinstance(namespace, str) or not isinstance(namespace, Iterable):
        raise InvalidArgument.at(where, f"must be a sequence of labels, not {namespace!r}")
    labels = tuple(namespace)
    for i, label in enumerate(labels):
        _values.text(label, f"{where}[{i}]")
    return labels


@dataclass(frozen=True, slots=True, order=True, init=False)
class Ref:
    """The identity of one memory inside the caller's tenant.

    `kind` may be given as a string. `namespace` is a path of 0 to 16 labels (1 to 256 bytes each),
    always absolute. `key` has 1 to 512 bytes; in a put it may be empty, and is then minted.
    """

    kind: Kind
    namespace: tuple[str, ...]
    key: str

    def __init__(self, kind: Kind | str, namespace: Iterable[str] = (), key: str = "") -> None:
        object.__setattr__(self, "kind", coerce(Kind, kind, "ref.kind"))
        object.__setattr__(self, "namespace", labels_of(namespace, "ref.namespace"))
        object.__setattr__(self, "key", _values.text(key, "ref.key"))

    @classmethod
    def _of(cls, kind: Kind, namespace: tuple[str, ...], key: str) -> Self:
        """A ref of parts that need no look: those of a reply."""
        ref = object.__new__(cls)
        object.__setattr__(ref, "kind", kind)
        object.__setattr__(ref, "namespace", namespace)
        object.__setattr__(ref, "key", key)
        return ref

    def __str__(self) -> str:
        return f"{self.kind.value}:{list(self.namespace)!r}/{self.key!r}"


@dataclass(frozen=True, slots=True)
class Episode:
    """What an EPISODIC memory has beside its text."""

    type: EpisodeType = EpisodeType.CUSTOM
    """The sort of event."""
    event_time: datetime | None = None
    """When it happened. Naive datetimes are refused; None means at the write."""
    session_id: str = ""
    """The conversation or run that it belongs to, at most 512 bytes."""
    agent_id: str = ""
    """The agent that took part, at most 512 bytes."""
    actor: str = ""
    """Who spoke or acted, at most 512 bytes."""
    input: Any = None
    """What went in, for example a tool's arguments. None means none."""
    output: Any = None
    """What came out, for example a tool's result. None means none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", coerce(EpisodeType, self.type, "episode.type"))


@dataclass(frozen=True, slots=True)
class IndexedText:
    """A further text, or a vector, that a memory is found by."""

    path: str
    """Its name in the memory, 1 to 64 bytes; no name twice. A hit says by it what matched."""
    text: str = ""
    """What is embedded and searched: at most 65,536 bytes. Give it or a vector."""
    vector: VectorLike | None = None
    """A vector instead. Of a memory that was read: only where `with_vectors` asked for it, and then
    beside the text too."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """What made vectors. Vectors of different identities are never compared."""

    provider: str
    model: str
    dimension: int
    metric: str
    normalized: bool


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the last change came from, as the gateway saw it."""

    principal: str
    request_id: str
    source: str


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory as it is stored."""

    ref: Ref
    text: str = ""
    """What is embedded and searched. Empty means none."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Facts to filter by."""
    value: Any = None
    """The payload. None means null, or none at all: see `has_value`."""
    has_value: bool = False
    """Whether there is a payload; null is one."""
    episode: Episode | None = None
    """Only for EPISODIC."""
    importance: float | None = None
    """How much it matters, 0 to 1. None is not 0."""
    pinned: bool = False
    """Whether forgetting and caps leave it alone."""
    vector: array[float] | None = None
    """float32, L2-normalised; only where `with_vectors` asked for it."""
    indexed_texts: tuple[IndexedText, ...] = ()
    """Further texts that it is found by."""
    etag: str = ""
    """Opaque version for `if_match`; another after every change."""
    revision: int = 0
    """Place in the gateway's clock; grows with every change of this memory."""
    create_time: datetime | None = None
    update_time: datetime | None = None
    expire_time: datetime | None = None
    """From when on it is gone. None means never."""
    content_hash: str = ""
    """Opaque fingerprint, equal for equal content."""
    embedding: Embedding | None = None
    """What made its vector, or without one those of its further texts. None without any."""
    provenance: Provenance | None = None
    searchable: bool = False
    """Whether VECTOR or KEYWORD search can find it."""

    @property
    def kind(self) -> Kind:
        """The kind of its ref."""
        return self.ref.kind

    @property
    def namespace(self) -> tuple[str, ...]:
        """The namespace of its ref."""
        return self.ref.namespace

    @property
    def key(self) -> str:
        """The key of its ref."""
        return self.ref.key


@dataclass(frozen=True, slots=True)
class FilterReport:
    """How a filter was evaluated. The rows are the same however that was."""

    pushed: bool
    """Whether the store evaluated some of it."""
    residual: bool
    """Whether the gateway evaluated it again on the full memories."""
    scanned: int
    """How many rows the gateway looked at."""
    truncated: bool
    """Whether the scan budget ran out: more matches may exist."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the relevance of a hit is made of. None is what had no part in it."""

    vector_score: float | None = None
    """Raw cosine, -1 to 1."""
    vector_rank: int | None = None
    """The rank in the list of VECTOR, from 1; equal ones share a rank."""
    keyword_relevance: float | None = None
    """What relevance would be in KEYWORD, 0 to 1."""
    keyword_rank: int | None = None
    """The rank in the list of KEYWORD, from 1; equal ones share a rank."""
    fused: float | None = None
    """What HYBRID makes of both ranks, 0 to 1."""
    recency: float | None = None
    """How recent it is, 0 to 1."""
    importance: float | None = None
    """How important it is, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One memory found."""

    memory: Memory
    relevance: float
    """What ranks: 0 to 1, higher is better. Always 0 for RECENT, whose order is time."""
    score: float | None = None
    """Raw cosine, -1 to 1. None without a vector match."""
    explanation: Explanation | None = None
    """What relevance is made of. None unless `explain` asked for it."""
    matched_path: str = ""
    """The path of the further text that `score` is of. Empty: it is of the memory's own text."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to one query; iterating gives its hits, best first."""

    hits: tuple[Hit, ...]
    mode: Mode
    """The mode that was used; never AUTO."""
    approximate: bool = False
    """Whether the store may have missed a hit."""
    filter: FilterReport | None = None
    """How the filter and the time window were evaluated. None without both."""
    notice: str = ""
    """Something that the caller should know, as a sentence. Empty means nothing."""
    truncated: bool = False
    """Whether hits may have been left out because the reply or the scan would have become too
    large. Ask for fewer at a time, or filter more closely."""
    incomplete: bool = False
    """Whether writes to what was searched still wait in the gateway's outbox: the hits are what the
    store had without them."""
    next_page_token: str = ""
    """Where to go on with the same query, for 24 hours. Empty means the end, which is after 1,000
    hits at the latest; the page that it leads to may be empty."""

    @property
    def memories(self) -> tuple[Memory, ...]:
        """The memories of the hits, in order."""
        return tuple(hit.memory for hit in self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, index: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[index]


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of one write."""

    ref: Ref
    """Which memory, with the minted key where none was given."""
    outcome: Outcome
    """What happened; UNKNOWN together with `error`."""
    error: MemplaneError | None = None
    """Why nothing happened (or, where it is `ambiguous`, may have). None for a success."""
    etag: str = ""
    """The version now there. Empty after a delete or an error."""
    revision: int = 0
    create_time: datetime | None = None
    update_time: datetime | None = None
    expire_time: datetime | None = None
    searchable: bool = False
    """Whether VECTOR or KEYWORD search can find it."""
    replayed: bool = False
    """Whether this is the outcome of an earlier try with the same request id."""
    durability: Durability = Durability.UNKNOWN
    """How safe the write is, as reached."""
    replicas_acked: int = 0
    """How many replicas acknowledged it; 0 where the store has none."""
    visible: bool = False
    """Whether the next read of this caller sees it; else give `consistency_token` to the read."""
    consistency_token: str = ""
    """A later read that passes it sees this write. Empty where every read does."""

    @property
    def key(self) -> str:
        """The key of its ref."""
        return self.ref.key

    @property
    def ok(self) -> bool:
        """Whether the write took effect."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class StateUpdate:
    """What became of a change to a state."""

    value: dict[str, Any]
    """The state after the change."""
    result: WriteResult | None
    """What became of the write. None when nothing was changed, and so nothing written."""
    returned: Any
    """What the function returned in the try that counts."""
    attempts: int
    """How often the function ran."""


@dataclass(frozen=True, slots=True)
class PurgeResult:
    """What a purge did."""

    count: int
    """How many memories were deleted; with `dry_run` how many would have been."""
    dry_run: bool = False
    """Whether nothing was deleted, but counted."""
    filter: FilterReport | None = None
    """How the filter was evaluated. None without a filter, and of a retry."""
    replayed: bool = False
    """Whether an earlier try with the same request id did some of it."""
    durability: Durability = Durability.UNKNOWN
    """How safe the deletes are, as reached. UNKNOWN for a dry run."""


class WriteResults(tuple[WriteResult, ...]):
    """What became of a batch: one result an item, in order, some perhaps with an `error`."""

    __slots__ = ()

    @property
    def failed(self) -> tuple[WriteResult, ...]:
        """The results that have an error."""
        return tuple(result for result in self if result.error is not None)

    def raise_for_error(self) -> Self:
        """Raises the first error, with a note on how many there are; returns itself if none."""
        failed = self.failed
        if not failed:
            return self
        first = failed[0]
        assert first.error is not None
        first.error.add_note(f"{len(failed)} of {len(self)} items failed, the first at {first.ref}")
        raise first.error


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing; iterating gives its memories."""

    memories: tuple[Memory, ...]
    next_page_token: str = ""
    """Where to go on, for 24 hours. Empty means that this was the last page."""
    filter: FilterReport | None = None
    """How the filter was evaluated. None without a filter."""
    incomplete: bool = False
    """As in SearchResult."""

    def __iter__(self) -> Iterator[Memory]:
        return iter(self.memories)

    def __len__(self) -> int:
        return len(self.memories)


class Count(int):
    """A number of memories: an int that also says how its filter was evaluated."""

    filter: FilterReport | None
    incomplete: bool
    """As in SearchResult."""

    def __new__(
        cls, count: int, filter: FilterReport | None = None, *, incomplete: bool = False
    ) -> Self:
        """Makes the number."""
        self = super().__new__(cls, count)
        self.filter = filter
        self.incomplete = incomplete
        return self

    @property
    def truncated(self) -> bool:
        """Whether the scan budget ran out, so that there are at least this many."""
        return self.filter is not None and self.filter.truncated


@dataclass(frozen=True, slots=True)
class NamespacePage:
    """One page of namespaces; iterating gives them."""

    namespaces: tuple[tuple[str, ...], ...]
    """Absolute, whatever is bound where they were asked for."""
    next_page_token: str = ""
    """Where to go on, for 24 hours. Empty means that this was the last page."""
    incomplete: bool = False
    """As in SearchResult."""

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return iter(self.namespaces)

    def __len__(self) -> int:
        return len(self.namespaces)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Figures about the memories of one kind."""

    count: int
    oldest: datetime | None = None
    """When the oldest happened (else: was last changed). None without memories."""
    newest: datetime | None = None
    """When the newest happened (else: was last changed). None without memories."""
    mean_importance: float | None = None
    """Of those that have one, 0 to 1. None when none has."""
    importance_count: int = 0
    """How many have an importance."""
    truncated: bool = False
    """Whether the scan budget ran out: the mean is of some memories only, and so may the others be."""
    filter: FilterReport | None = None
    """How the filter was evaluated. None without a filter."""
    incomplete: bool = False
    """As in SearchResult."""
