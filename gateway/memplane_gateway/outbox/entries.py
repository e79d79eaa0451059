"""The words of the outbox as values. Times are microseconds since 1970 in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from memplane_adapters.contract import Address
from memplane_gateway.errors import MemplaneError
from memplane_gateway.memory.shelf import Row

ROOM_BYTES = 512
"""What an entry takes beside its bytes, about: in the file and in memory."""


@dataclass(frozen=True, slots=True)
class Death:
    """Why a write is a dead letter; `revision` is what the store had, 0 where that is not known."""

    error: MemplaneError
    revision: int = 0


Fate: TypeAlias = MemplaneError | Death | None
"""What became of a write when it was carried out: it failed, must not be, or was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """One write that waits for its store."""

    id: int
    """Grows in the order of writing."""
    address: Address
    row: Row | None
    """The whole memory as the store is to keep it; None is a delete."""
    revision: int
    """The clock at the write: the store must not have a later one."""
    base: int = 0
    """The revision of the waiting write that it was decided on; 0: it depends on none."""
    time: int
    """When it was written."""
    batch: int = 0
    """The id of the first write of an atomic call; 0: it stands alone."""
    place: str = ""
    """What tells the store's place from others."""
    death: Death | None = None


class SpooledCodec(Protocol):
    """How entries become bytes; `wire` has the one that is used."""

    def encode(self, entry: Spooled) -> bytes:
        """The entry as bytes, losslessly."""
        ...

    def decode(self, data: bytes) -> Spooled:
        """The entry again. Raises ValueError when the bytes are none or have changed."""
        ...

    def id_of(self, data: bytes) -> int:
        """The id of an entry whose other bytes may have changed. Raises ValueError without one."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """When an outbox takes no more: it holds too many bytes, or something too old."""

    max_bytes: int
    max_age_seconds: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How an outbox fares."""

    waiting: int
    dead: int
    size_bytes: int
    oldest: int | None
    """When the oldest that waits was written."""
