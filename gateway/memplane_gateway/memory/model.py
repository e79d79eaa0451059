"""The words of the middle as values. Times are microseconds since 1970 in UTC."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Final

from memplane_adapters.contract import (
    Address,
    EmbeddingIdentity,
    Filter,
    Kind,
    Order,
    Scope,
    Value,
    Vector,
)
from memplane_gateway.errors import MemplaneError
from memplane_gateway.limits import PAGE_BYTES


class Absent(Enum):
    """The type of what was not given, where null is something else."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


class EpisodeType(StrEnum):
    """The sort of an event."""

    CONVERSATION = "conversation"
    OBSERVATION = "observation"
    ACTION = "action"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class Episode:
    """What an EPISODIC memory has beside its text; `event_time` None is the time of the write."""

    type: EpisodeType = EpisodeType.CUSTOM
    event_time: int | None = None
    session_id: str = ""
    agent_id: str = ""
    actor: str = ""
    input: Value | Absent = ABSENT
    output: Value | Absent = ABSENT


@dataclass(frozen=True, slots=True)
class Content:
    """What a caller gives of a memory, but for the vector itself."""

    text: str = ""
    attributes: Mapping[str, Value] = field(default_factory=dict)
    value: Value | Absent = ABSENT
    episode: Episode | None = None
    importance: float | None = None
    pinned: bool = False
    vector_digest: bytes = b""
    """Of a vector that the caller gave, as it was given: stores may round theirs. Empty: none."""

    @property
    def client_vector(self) -> bool:
        """Whether the vector came from the caller, not from the embedder."""
        return bool(self.vector_digest)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a change came from."""

    principal: str
    request_id: str
    source: str


class Operation(StrEnum):
    """What a call does to memories; request ids are scoped to it."""

    PUT = "put"
    UPDATE = "update"
    DELETE = "delete"
    PURGE = "purge"


class Outcome(StrEnum):
    """What a write did to one memory."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    MISSING = "missing"
    SPOOLED = "spooled"


@dataclass(frozen=True, slots=True)
class WriteToken:
    """One of the last writes of a memory that had a request id."""

    operation: Operation
    request_id: str
    item_index: int
    body_hash: bytes
    revision: int
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One whole memory as it is stored, but for its vector."""

    address: Address
    content: Content
    revision: int
    create_time: int
    update_time: int
    expire_time: int | None
    ttl: int | None
    content_hash: bytes
    embedding: EmbeddingIdentity | None
    provenance: Provenance
    tokens: Sequence[WriteToken] = ()
    """Oldest first."""

    @property
    def time(self) -> int:
        """When it happened: its event_time, else its update_time."""
        episode = self.content.episode
        if episode is None or episode.event_time is None:
            return self.update_time
        return episode.event_time

    def alive(self, now: int) -> bool:
        """Whether it has not expired."""
        return self.expire_time is None or self.expire_time > now


@dataclass(frozen=True, slots=True)
class Memory:
    """A memory that a read found."""

    record: Record
    etag: str
    searchable: bool
    vector: Vector | None = None
    size: int = 0
    """About how many bytes it takes in a reply."""


class Must(StrEnum):
    """What a precondition asks for."""

    MATCH = "if_match"
    ABSENT = "if_absent"
    PRESENT = "if_present"


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must hold for a write to take effect; `etag` only with MATCH."""

    must: Must
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Expiry:
    """From when on a memory is gone: after a period, at an instant, or (both None) never."""

    ttl: int | None = None
    expire_time: int | None = None

    def at(self, now: int) -> int | None:
        """The instant, for a write now."""
        return now + self.ttl if self.ttl is not None else self.expire_time


NEVER = Expiry()


@dataclass(frozen=True, slots=True)
class Put:
    """One memory to write; a key is already there."""

    address: Address
    content: Content
    vector: Vector | None = None
    expiry: Expiry = NEVER
    precondition: Precondition | None = None
    minted: bool = False
    """Whether the key was made of the request id."""
    index: int = 0
    """Its place in the call."""


@dataclass(frozen=True, slots=True)
class Update:
    """A change to parts of one memory; None and ABSENT are unchanged."""

    address: Address
    text: str | None = None
    set_attributes: Mapping[str, Value] = field(default_factory=dict)
    remove_attributes: frozenset[str] = frozenset()
    value: Value | Absent = ABSENT
    importance: float | None = None
    pinned: bool | None = None
    expiry: Expiry | None = None
    precondition: Precondition | None = None
    index: int = 0
    """Its place in the call."""


@dataclass(frozen=True, slots=True)
class Removal:
    """One memory to delete."""

    address: Address
    precondition: Precondition | None = None
    began: int | None = None
    """When a try began of which nobody knows what it did: what was created since stays."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What is still known of a write that others have written over; create_time None: not known."""

    etag: str
    revision: int
    create_time: int | None
    searchable: bool


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one item of a write; `memory` is what it left there."""

    address: Address
    outcome: Outcome | None = None
    memory: Memory | None = None
    error: MemplaneError | None = None
    replicas: int = 0
    """How many copies beside the store itself acknowledged the write."""
    replayed: bool = False
    """Whether an earlier try of the same call did it."""
    trace: Trace | None = None
    """In place of `memory`, where that is no longer known."""
    spooled: bool = False
    """Whether it is about a write that waits in the outbox."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. The tenant comes from the credential, never from a request."""

    tenant: str = "default"
    principal: str = "anonymous"
    source: str = ""
    request_id: str = ""
    body_hash: bytes = b""
    """Of all that the call asks for; with a request id."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which memories of a kind a read is about."""

    kind: Kind
    namespace: tuple[str, ...] = ()
    exact: bool = False
    filter: Filter | None = None

    def scope(self, tenant: str, now: int) -> Scope:
        """The memories of a tenant that this is about, as of now and before any filter."""
        return Scope(tenant, self.kind, now, self.namespace, self.exact)


class Mode(StrEnum):
    """How memories are found and ranked."""

    AUTO = "auto"
    VECTOR = "vector"
    KEYWORD = "keyword"
    HYBRID = "hybrid"
    RECENT = "recent"


@dataclass(frozen=True, slots=True)
class Weights:
    """How much else counts in what ranks than the match, each 0 (not at all) to 1."""

    recency: float = 0.0
    half_life: int = 0
    """In microseconds; above 0 where `recency` is."""
    importance: float = 0.0

    def __bool__(self) -> bool:
        return self.recency > 0.0 or self.importance > 0.0


UNWEIGHTED = Weights()


@dataclass(frozen=True, slots=True)
class Search:
    """One question; `binding` ties its page tokens to the caller's very question."""

    selection: Selection
    text: str | None = None
    vector: Vector | None = None
    like: Address | None = None
    """A memory whose vector is the question."""
    mode: Mode = Mode.AUTO
    min_relevance: float | None = None
    page_size: int = 50
    vectors: bool = False
    exact: bool = False
    max_bytes: int = PAGE_BYTES
    vector_share: float | None = None
    """How much the list of VECTOR counts in HYBRID, 0 to 1; None is the default."""
    weights: Weights = UNWEIGHTED
    diversity: float = 0.0
    explain: bool = False
    page_token: str = ""
    binding: bytes = b""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the relevance of a hit is made of; None is what had no part in it."""

    vector_score: float | None = None
    vector_rank: int | None = None
    keyword_relevance: float | None = None
    keyword_rank: int | None = None
    fused: float | None = None
    recency: float | None = None
    importance: float | None = None


@dataclass(frozen=True, slots=True)
class FoundMemory:
    """One hit."""

    memory: Memory
    relevance: float
    score: float | None = None
    parts: Parts | None = None
    """Only where they were asked for."""


@dataclass(frozen=True, slots=True)
class FilterReport:
    """How a filter was evaluated."""

    pushed: bool
    residual: bool
    scanned: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to one question."""

    hits: tuple[FoundMemory, ...]
    mode: Mode
    approximate: bool = False
    filter: FilterReport | None = None
    notice: str = ""
    truncated: bool = False
    incomplete: bool = False
    """Whether writes to what was searched still wait in the outbox."""
    next_page_token: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a walk to ask for; `binding` ties its token to the caller's very question."""

    selection: Selection
    binding: bytes
    order: Order = Order.PLACE
    descending: bool = False
    page_size: int = 50
    page_token: str = ""
    vectors: bool = False


@dataclass(frozen=True, slots=True)
class ListedPage:
    """A page of a walk."""

    memories: tuple[Memory, ...]
    next_page_token: str
    filter: FilterReport | None = None
    incomplete: bool = False
    """As in Found."""


@dataclass(frozen=True, slots=True)
class Counted:
    """How many memories."""

    count: int
    filter: FilterReport | None = None
    incomplete: bool = False
    """As in Found."""


@dataclass(frozen=True, slots=True)
class Purge:
    """Memories to delete by what they are; `binding` as in Listing, over all but the token."""

    selection: Selection
    binding: bytes
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge did; with a token it stopped before its end."""

    count: int
    next_page_token: str = ""
    filter: FilterReport | None = None
    replayed: bool = False
    """Whether an earlier try of the same call did it."""


@dataclass(frozen=True, slots=True)
class NamespaceQuery:
    """Which namespaces to list, and a page of them; None in a pattern is any label."""

    kind: Kind
    binding: bytes
    prefix: tuple[str | None, ...] = ()
    suffix: tuple[str | None, ...] = ()
    max_depth: int = 0
    """Longer ones are cut to so many labels; 0 is none."""
    page_size: int = 50
    page_token: str = ""

    @property
    def selection(self) -> Selection:
        """What all of them lie in."""
        literal = itertools.takewhile(lambda label: label is not None, self.prefix)
        return Selection(self.kind, tuple(label for label in literal if label is not None))

    def mismatch(self, namespace: tuple[str, ...]) -> int | None:
        """The first label that the prefix does not allow; None: there is none so far."""
        for index, (label, wanted) in enumerate(zip(namespace, self.prefix, strict=False)):
            if wanted not in (None, label):
                return index
        return None

    def matches(self, namespace: tuple[str, ...]) -> bool:
        """Whether prefix and suffix allow a namespace."""
        length = len(namespace)
        if length < max(len(self.prefix), len(self.suffix)) or self.mismatch(namespace) is not None:
            return False
        last = namespace[length - len(self.suffix) :]
        pairs = zip(last, self.suffix, strict=True)
        return all(wanted in (None, label) for label, wanted in pairs)


@dataclass(frozen=True, slots=True)
class NamespacePage:
    """A page of namespaces, in order."""

    namespaces: tuple[tuple[str, ...], ...]
    next_page_token: str = ""
    incomplete: bool = False
    """As in Found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Figures about memories; None where there is nothing to say it of."""

    count: int
    oldest: int | None
    newest: int | None
    mean_importance: float | None
    importance_count: int
    truncated: bool
    """Whether the mean (with a residual all of them) are of some memories only."""
    filter: FilterReport | None = None
    incomplete: bool = False
    """As in Found."""
