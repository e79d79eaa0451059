"""What calls take: the items of batches and the queries of a search, as frozen dataclasses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, Literal, TypeAlias

from memplane._enums import Kind, Mode
from memplane._filter_dicts import FilterLike
from memplane._models import Episode, IndexedText, Memory, Ref
from memplane._values import ValueLike
from memplane._vectors import VectorLike


class Unset(Enum):
    """The type of UNSET."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""Not given, where None means null."""

OrUnset: TypeAlias = ValueLike | Literal[Unset.UNSET]


IndexedTexts: TypeAlias = "Mapping[str, str | VectorLike] | Sequence[IndexedText]"
"""Further texts, or vectors, by their paths."""


@dataclass(frozen=True, slots=True)
class Put:
    """One memory to write whole, replacing what is there under the same ref.

    At most one of `ttl` and `expire_time`, and one of the three preconditions.
    """

    ref: Ref
    """Which memory; its key may be empty, and is then minted."""
    _: KW_ONLY
    text: str = ""
    """What is embedded and searched: at most 65,536 bytes. Empty means none."""
    attributes: Mapping[str, ValueLike] | None = None
    """Facts to filter by: at most 64 names of 1 to 128 bytes, not starting with "@"."""
    value: OrUnset = UNSET
    """A payload that comes back as it went in. None is null; UNSET means no payload."""
    episode: Episode | None = None
    """Only for EPISODIC, where None means a CUSTOM one that happens at the write."""
    importance: float | None = None
    """0 to 1. None is not 0."""
    pinned: bool = False
    """Whether forgetting and caps leave it alone."""
    vector: VectorLike | None = None
    """Its own vector, of the route's dimension, finite and not zero; then `text` serves KEYWORD."""
    indexed_texts: IndexedTexts = ()
    """Up to 16 further texts or vectors that it is found by, by their paths."""
    ttl: timedelta | float | None = None
    """From when on it is gone, counted from the write; a timedelta or seconds. 0 means never."""
    expire_time: datetime | None = None
    """From when on it is gone; an aware datetime in the future."""
    if_match: str | None = None
    """Only if the memory has this etag: else Aborted, or FailedPrecondition if it is missing."""
    if_absent: bool = False
    """Only if the memory is missing: else AlreadyExists."""
    if_present: bool = False
    """Only if the memory is there: else NotFound."""

    def check(self) -> None:
        """Sees, without a call, whether it is something that a gateway may be sent.

        Raises:
            InvalidArgument: It is not: a call with it would raise the same, or fail by its size.
        """
        from memplane import _requests  # which knows how it is sent, and imports this module

        _requests.sized_put(self, "put")

    @classmethod
    def of(cls, memory: Memory) -> Put:
        """The put that writes a memory as it was read; what only the gateway sets is left out."""
        return cls(
            memory.ref,
            text=memory.text,
            attributes=memory.attributes,
            value=memory.value if memory.has_value or memory.value is not None else UNSET,
            episode=memory.episode,
            importance=memory.importance,
            pinned=memory.pinned,
            vector=memory.vector,
            indexed_texts=tuple(
                IndexedText(each.path, each.text, None if each.text else each.vector)
                for each in memory.indexed_texts
            ),
            expire_time=memory.expire_time,
        )


@dataclass(frozen=True, slots=True)
class Update:
    """A change to parts of one memory; what is not named stays as it is, the vector too."""

    ref: Ref
    """Which memory."""
    _: KW_ONLY
    text: str | None = None
    """The new text; empty removes it. None means unchanged."""
    attributes: Mapping[str, ValueLike] | None = None
    """Attributes to set; the others stay."""
    remove_attributes: Sequence[str] = ()
    """Names of attributes to remove; one that is not there is no error."""
    value: OrUnset = UNSET
    """The new payload. None is null; UNSET means unchanged."""
    importance: float | None = None
    """The new importance, 0 to 1. None means unchanged."""
    pinned: bool | None = None
    """Whether it is pinned. None means unchanged."""
    indexed_texts: IndexedTexts | None = None
    """All further texts anew; empty removes them. None means unchanged."""
    ttl: timedelta | float | None = None
    """The new time to live from now on; 0 means for ever. None means unchanged."""
    expire_time: datetime | None = None
    """The new instant of expiry. None means unchanged."""
    if_match: str | None = None
    """Only if the memory has this etag: else Aborted."""


@dataclass(frozen=True, slots=True)
class Delete:
    """One memory to delete."""

    ref: Ref
    """Which memory. One that is missing is no error."""
    _: KW_ONLY
    if_match: str | None = None
    """Only if the memory has this etag: else Aborted, or FailedPrecondition if it is missing."""
    if_present: bool = False
    """Only if the memory is there: else NotFound."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question about one kind."""

    text: str | None = None
    """A question or words, at most 65,536 bytes. None means none, which RECENT and AUTO take."""
    _: KW_ONLY
    kind: Kind | str = Kind.SEMANTIC
    """Which kind."""
    namespace: Sequence[str] | None = None
    """Only namespaces that begin with these whole labels. None means those of the scope."""
    exact_namespace: bool = False
    """Only this very namespace, not those below it."""
    vector: VectorLike | None = None
    """A vector instead of a text; only VECTOR and AUTO take it."""
    like: Ref | None = None
    """A memory of the kind instead of a text: what is near its vector, but for itself."""
    mode: Mode | str = Mode.AUTO
    """How to search."""
    filter: FilterLike | None = None
    """Which memories may be hits."""
    time_from: datetime | None = None
    """Only what happened (else: was last changed) at or after this."""
    time_to: datetime | None = None
    """Only what happened (else: was last changed) before this."""
    min_relevance: float | None = None
    """Only hits of at least this relevance, 0 to 1."""
    limit: int = 0
    """How many hits at most, 1 to 1,000. 0 means 50."""
    with_vectors: bool = False
    """Whether the memories come with their vectors."""
    exact: bool = False
    """Ask an approximate store for the exact answer; Unimplemented where it cannot. With weights it
    also weighs all that matches, not the first 100 alone."""
    vector_share: float | None = None
    """How much the list of VECTOR counts in HYBRID, 0 to 1. None means 0.5, or 0.2 where the
    embedder knows no meaning."""
    recency_half_life: timedelta | float | None = None
    """In how much time (a timedelta or seconds) recency halves. None means that it does not count."""
    recency_weight: float | None = None
    """How much recency counts, 0 to 1. None means 0.5 with a half-life."""
    importance_weight: float = 0.0
    """How much importance counts, 0 to 1; where a memory does not say it, it is taken as 0.5."""
    diversity: float = 0.0
    """How much hits should differ from each other, 0 (by relevance alone) to 1."""
    explain: bool = False
    """Whether hits say what their relevance is made of."""
    page_token: str = ""
    """The `next_page_token` of the page before, of the very same query. Empty means the first."""
