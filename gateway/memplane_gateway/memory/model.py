"""The words of the middle as values. Times are microseconds since 1970 in UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Final, TypeAlias

from memplane_adapters.contract import (
    Address,
    EmbeddingIdentity,
    Value,
    Vector,
)
from memplane_gateway.errors import MemplaneError


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
class IndexedText:
    """A further text that a memory is found by, or, with its digest, a vector that a caller gave."""

    path: str
    text: str = ""
    vector_digest: bytes = b""
    """As in Content."""


FurtherVectors: TypeAlias = tuple[Vector | None, ...]
"""The vectors of a memory's further texts, one each; empty where they were not asked for."""


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
    indexed_texts: tuple[IndexedText, ...] = ()

    @property
    def client_vector(self) -> bool:
        """Whether the vector came from the caller, not from the embedder."""
        return bool(self.vector_digest)

    @property
    def texts(self) -> tuple[str, ...]:
        """Its own text and the further ones, which KEYWORD takes for one document."""
        return self.text, *(each.text for each in self.indexed_texts if each.text)


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
    FORGET = "forget"
    CONSOLIDATE = "consolidate"


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
    """What made its vector; without one of its own, those of its further texts."""
    provenance: Provenance
    tokens: Sequence[WriteToken] = ()
    """Oldest first."""
    embedded_texts: tuple[int, ...] = ()
    """The places of the further texts that have a vector, ascending."""

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
    further: FurtherVectors = ()


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
    prolongs: bool = False
    """Whether `expire_time` counts only where it is later than what is there, whose period stays."""

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
    further: FurtherVectors = ()
    """The vectors that the caller gave among its further texts."""


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
    indexed_texts: tuple[IndexedText, ...] | None = None
    further: FurtherVectors = ()
    """As in Put, with `indexed_texts`."""
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
