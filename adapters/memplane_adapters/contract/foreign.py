"""Collections that somebody else made: what an adapter may offer so that they can be adopted.

They are read and never written. What a row means is nobody's business here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from memplane_adapters.contract.entries import Vector

FOREIGN_PAGE_ROWS: Final = 200
"""Rows of a page, at most: with vectors of 4,096 dimensions as JSON still below 20 MB."""


@dataclass(frozen=True, slots=True)
class ForeignRow:
    """A row as its vendor keeps it."""

    id: str
    """The vendor's name for it, as text; no other row of the collection has it."""
    document: str | None = None
    """The text that the vendor keeps apart from the payload. None: none, or it keeps none."""
    payload: Mapping[str, Any] = field(default_factory=dict)
    """What else it has, as JSON would say it: null, truth values, numbers, strings, lists, maps."""
    vector: Vector | None = None
    """As it is kept, of any length. None: none, or it was not asked for."""


@dataclass(frozen=True, slots=True)
class ForeignPage:
    """Some rows in an order that writes to other rows do not change."""

    rows: list[ForeignRow]
    next: str = ""
    """Where the page behind begins. Empty: there is none."""


@dataclass(frozen=True, slots=True)
class ForeignFacts:
    """What a collection says of itself."""

    rows: int
    dimension: int | None = None
    """Of its vectors. None: it has none that could be kept."""
    metric: str = ""
    """How it compares them: cosine, dot, euclid, or the vendor's own word for another way."""


class ForeignCollection(Protocol):
    """One collection of a vendor, to be read. Methods raise StoreError as those of a store."""

    async def open(self) -> None:
        """Get ready to be called.

        Raises COLLECTION_MISSING, with the names that there are in the metadata `collections`, and
        MISCONFIGURED for a collection that our own adapter made.
        """
        ...

    async def close(self) -> None:
        """Let go of everything. Idempotent."""
        ...

    async def facts(self) -> ForeignFacts:
        """What it is now."""
        ...

    async def page(self, after: str = "", *, vectors: bool = False) -> ForeignPage:
        """The rows from `next` of the page before on; at first those from the beginning."""
        ...
