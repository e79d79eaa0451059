"""What a store can do, as data. Written once by the adapter, read by everybody else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from types import MappingProxyType

from memplane_adapters.contract.filters import Op
from memplane_adapters.contract.identity import Kind


class Durability(IntEnum):
    """What an acknowledged write survives; DISK is above PROCESS is above BUFFERED."""

    BUFFERED = 1
    PROCESS = 2
    DISK = 3
    MANAGED = 4
    SPOOLED = 5


@dataclass(frozen=True, slots=True)
class Reached:
    """What an acknowledged write survives now, for a store that has more to say than the level."""

    level: Durability
    why: str = ""
    """The setting that decides it, for people, for example "appendfsync everysec"."""
    replicas: int | None = None
    """How many copies beside the one that answers have it soon after; None is not known."""
    wordless: frozenset[Kind] = frozenset()
    """The kinds whose collection was made without words: KEYWORD and HYBRID are refused there."""


def reached_of(answer: Durability | Reached) -> Reached:
    """What `ping` says, in one form."""
    return answer if isinstance(answer, Reached) else Reached(answer)


class Pushdown(StrEnum):
    """How well a store evaluates a filter operator."""

    EXACT = "exact"
    SUPERSET = "superset"
    NONE = "none"


class ConditionalWrite(StrEnum):
    """Whether a store honours `expected` revisions."""

    NATIVE = "native"
    COORDINATED = "coordinated"
    NONE = "none"


EVERY_OP_EXACT: Mapping[Op, Pushdown] = MappingProxyType(dict.fromkeys(Op, Pushdown.EXACT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The facts. The defaults promise nothing; limits of 0 mean no limit."""

    filters: Mapping[Op, Pushdown] = field(default_factory=dict)
    """Operators that are not named are NONE."""
    scalar_operands: bool = False
    """Filters compare with scalars only; the gateway replaces a condition on a list or map by a
    wider one and re-checks."""
    float_ranges: bool = False
    """GT, GTE, LT and LTE compare as 64-bit floats. The gateway widens a bound that would be
    rounded (see `filters.is_rounded`) and re-checks."""
    conditional_write: ConditionalWrite = ConditionalWrite.NONE
    ordered_scan: bool = False
    """Scans by Order.TIME and Order.UPDATE_TIME."""
    vector: bool = False
    keyword: bool = False
    exact_search: bool = False
    approximate: bool = False
    """Queries may miss hits unless `exact` is asked."""
    expiry: bool = False
    """The store drops expired rows by itself."""
    exact_count: bool = False
    read_your_writes: bool = False
    """Every read sees every acknowledged write, whoever made it; otherwise see `Eventual`."""
    vectorless: bool = False
    """Points without a vector can be kept."""
    atomic: bool = False
    durability: tuple[Durability, ...] = ()
    """Levels that the store can reach, lowest first."""
    isolation: str = ""
    """How tenants are kept apart, in a word."""
    max_batch_items: int = 0
    """Most items in a call of upsert, put, fetch, get or delete; the gateway splits, but for an atomic
    batch, which comes as one whatever its size."""
    max_batch_bytes: int = 0
    """Most bytes of the items of one write, as the gateway holds them (record, float32 vector, text,
    terms, fields): to be declared with room for how they are written on the wire. The gateway
    splits, but for an atomic batch."""
    max_item_bytes: int = 0
    """Most bytes of one item, counted likewise; a larger one is refused unsent."""
    max_metadata_bytes: int = 0
    """Most bytes that an item may have beside its vector, as `metadata_bytes` counts them, which is
    no less than what the adapter writes; a put that has more is refused before anything is done."""
    max_dimension: int = 0
    """Most numbers in a vector; the gateway does not start with an embedder that makes longer ones."""

    @property
    def hybrid(self) -> bool:
        """Whether the gateway can fuse the lists of both searches."""
        return self.vector and self.keyword

    def pushdown(self, op: Op) -> Pushdown:
        """How an operator is pushed down."""
        return self.filters.get(op, Pushdown.NONE)
