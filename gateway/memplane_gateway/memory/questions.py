"""What is asked of memories, and the answers, as values. Times are microseconds since 1970 in UTC."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import StrEnum

from memplane_adapters.contract import Address, Filter, Kind, Order, Scope, Vector
from memplane_gateway.limits import PAGE_BYTES
from memplane_gateway.memory.model import Memory


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
    path: str = ""
    """Of the further text that `score` is of; empty: of the memory's own."""


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
class Forget:
    """Memories to delete that meet every condition that is given. Periods are microseconds."""

    selection: Selection
    binding: bytes
    """As in Purge."""
    older_than: int | None = None
    """Least age: since its event_time, else its create_time."""
    inactive_for: int | None = None
    """Least time since its last change."""
    importance_below: float | None = None
    half_life: int | None = None
    """In which importance halves with age."""
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class ForgottenMemory:
    """A memory that went, or would go, and what it was judged by: None was not asked for."""

    namespace: tuple[str, ...]
    key: str
    age: int | None = None
    inactive_for: int | None = None
    importance: float | None = None
    """Decayed, where a half-life was given."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a forget did; with a token it stopped before its end."""

    count: int
    memories: tuple[ForgottenMemory, ...] = ()
    """The first of them."""
    next_page_token: str = ""
    filter: FilterReport | None = None
    replayed: bool = False
    """As in Purged."""


@dataclass(frozen=True, slots=True)
class Consolidate:
    """Memories to merge where they are near-duplicates."""

    selection: Selection
    binding: bytes
    """As in Purge."""
    min_similarity: float = 0.95
    """The lowest cosine to the memory that is kept."""
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A memory that is kept, and keys of those that were merged into it with their similarity."""

    namespace: tuple[str, ...]
    kept: str
    merged: tuple[tuple[str, float], ...]
    """The most similar ones first, and of many only the first."""
    merged_count: int


@dataclass(frozen=True, slots=True)
class Consolidated:
    """What a consolidation did; with a token it stopped before its end."""

    groups: tuple[Group, ...]
    merged_count: int
    conflicts: int
    """Groups that were not merged, or not as a whole."""
    compared: int
    next_page_token: str = ""
    replayed: bool = False
    """As in Purged."""


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
