"""What the gateway says about itself: capabilities and status, as frozen dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from memplane._enums import (
    ConditionalWrite,
    Durability,
    Kind,
    Mode,
    Op,
    OutboxOperation,
    Pushdown,
    RouteState,
)
from memplane._errors import MemplaneError
from memplane._models import Embedding, Ref
from memplane._sweeps import RenewalStatus, SweeperStatus


@dataclass(frozen=True, slots=True)
class RouteCapabilities:
    """What the route of one kind can do: what its adapter declares about its store."""

    kind: Kind
    store: str
    """The store's name in the gateway's configuration."""
    adapter: str
    """The adapter's name, for example "embedded"."""
    auto_mode: Mode
    """What AUTO means here when there is a text."""
    embedding: Embedding | None
    """What makes vectors. None for PROCEDURAL and before the dimension is known."""
    filters: Mapping[Op, Pushdown]
    """How each filter operator is pushed down."""
    conditional_write: ConditionalWrite
    """How preconditions are kept."""
    ordered_scan: bool
    """Whether the store walks in the listing orders by itself."""
    vector: bool
    """Whether VECTOR search works."""
    keyword: bool
    """Whether KEYWORD search works."""
    hybrid: bool
    """Whether HYBRID search works."""
    exact_search: bool
    """Whether `exact` search works."""
    approximate: bool
    """Whether search is approximate unless `exact` is set."""
    expiry: bool
    """Whether the store drops expired rows by itself."""
    exact_count: bool
    """Whether counts are exact."""
    read_your_writes: bool
    """Whether a write is visible to the next read."""
    vectorless: bool
    """Whether a memory without vector can be kept."""
    atomic: bool
    """Whether several writes can be made atomic."""
    durability: tuple[Durability, ...]
    """The levels that the store can reach."""
    isolation: str
    """How the store keeps tenants apart, in words."""
    max_batch_items: int | None
    """Most items in one call to the store; the gateway splits. None means no limit."""
    max_batch_bytes: int | None
    """Most bytes in one call to the store; the gateway splits. None means no limit."""
    max_item_bytes: int | None
    """Most bytes of one item. None means no limit of the store's own."""
    max_dimension: int | None
    """Most dimensions of a vector. None means no limit of the store's own."""
    max_metadata_bytes: int | None
    """Most bytes of a memory beside its vectors, as the gateway counts them; a put that has more is
    refused before anything is done. None means no limit of the store's own."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the gateway can do."""

    routes: Mapping[Kind, RouteCapabilities]
    limits: Mapping[str, int]
    """Limits of the contract by name, in the unit that the name ends with."""

    def __getitem__(self, kind: Kind | str) -> RouteCapabilities:
        return self.routes[Kind(kind)]


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """What waits for a store (on_backend_down: spool)."""

    waiting: int
    """Writes that wait."""
    dead: int
    """Dead letters: writes that the store refused when it was back, until they are retried or
    dropped."""
    size_bytes: int
    oldest_time: datetime | None
    """When the oldest that waits was written. None when none does."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One write in the gateway's outbox."""

    id: str
    """Its name in `retry_outbox` and `drop_outbox`."""
    tenant: str
    ref: Ref | None
    """Which memory. None where the entry is damaged."""
    operation: OutboxOperation
    spool_time: datetime | None
    """When it was written."""
    size_bytes: int
    error: MemplaneError | None = None
    """Why it is a dead letter. None while it waits."""

    @property
    def dead(self) -> bool:
        """Whether it is a dead letter."""
        return self.error is not None


@dataclass(frozen=True, slots=True)
class OutboxResult:
    """What became of one entry that was to be retried or dropped."""

    id: str
    error: MemplaneError | None = None
    """Why nothing was done. None for a success."""

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """How the route of one kind fares."""

    kind: Kind
    store: str
    """The store's name in the gateway's configuration."""
    adapter: str
    state: RouteState
    error: str
    """Why it does not serve: an `ErrorReason`, for example "BACKEND_UNAVAILABLE". Else empty."""
    message: str
    """The same as a sentence."""
    persistent: bool
    """Whether memories survive a restart of the store."""
    durability: Durability
    """What an acknowledged write survives."""
    rows: int | None
    """Rows of this kind in the store, all tenants, the expired ones too. None means not known."""
    size_bytes: int | None
    """Bytes of the store. None means not known."""
    embedding: Embedding | None
    """What makes vectors, as recorded in the store. None for PROCEDURAL."""
    ping_seconds: float | None
    """Round trip of the last ping, in seconds. None means not known."""
    last_backup_time: datetime | None
    """When a backup was last verified. None means never."""
    durability_why: str = ""
    """What decides the durability, in the store's own words, such as "appendfsync everysec"."""
    replicas: int | None = None
    """Copies beside the store that answers, which have a write soon after. None is not known."""
    outbox: OutboxStatus | None = None
    """What waits for the store. None where writes are refused while it is down."""
    renewals: RenewalStatus | None = None
    """Periods that began again because a memory was read. None where reads do not renew."""

    @property
    def serving(self) -> bool:
        """Whether it serves."""
        return self.state is RouteState.SERVING


@dataclass(frozen=True, slots=True)
class ControlStatus:
    """How the gateway's own state is kept."""

    store: str
    adapter: str
    shared: bool
    """Whether other gateways may have the same one, as several over the same stores need."""
    state: RouteState
    durability: Durability


@dataclass(frozen=True, slots=True)
class Status:
    """How the gateway fares."""

    version: str
    start_time: datetime | None
    routes: Mapping[Kind, RouteStatus]
    notices: tuple[str, ...]
    """Things that its operator should know, one a sentence."""
    control: ControlStatus | None = None
    """None where an older gateway does not say it."""
    sweeper: SweeperStatus | None = None
    """The task that deletes what has expired and what retention policies do not keep."""

    @property
    def serving(self) -> bool:
        """Whether every route serves."""
        return all(route.serving for route in self.routes.values())

    def __getitem__(self, kind: Kind | str) -> RouteStatus:
        return self.routes[Kind(kind)]
