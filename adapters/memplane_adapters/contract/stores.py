"""The two promises: what the gateway asks of a vector store and of a key-value store.

Every method but the constructor may raise StoreError, and nothing else but CancelledError. Batches
come back in the order of the request. Constructors do no I/O. A cancelled write has either
happened or will not happen.

A write that raises UNAVAILABLE or EXHAUSTED has written nothing, so that it can be sent again. Of a
batch that a store takes in parts, the parts behind a failure are FAILED results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from memplane_adapters.contract.capabilities import Capabilities, Durability, Reached
from memplane_adapters.contract.entries import (
    Collection,
    Count,
    Delete,
    Entry,
    Page,
    Point,
    Query,
    QueryResult,
    Scan,
    Stats,
    Stored,
    Write,
    WriteResult,
)
from memplane_adapters.contract.filters import Filter
from memplane_adapters.contract.identity import Address, Kind, Scope


class Store(Protocol):
    """What both promises share."""

    @property
    def capabilities(self) -> Capabilities:
        """The facts; known without a connection."""
        ...

    async def open(self) -> None:
        """Get ready to be called. Idempotent.

        MISCONFIGURED here is what waiting does not mend, such as a directory that cannot be written.
        What a server refuses is heard from `ensure` and `ping`, so that a route can recover.
        """
        ...

    async def close(self) -> None:
        """Let go of everything; calls that are under way finish. Idempotent."""
        ...

    async def ping(self) -> Durability | Reached:
        """Prove with a round trip that the store answers; returns the level that it reaches now."""
        ...

    async def delete(self, deletes: Sequence[Delete]) -> list[WriteResult]:
        """Delete memories by address."""
        ...

    async def scan(self, scan: Scan) -> Page:
        """Walk over rows in order."""
        ...

    async def count(self, scope: Scope, filter: Filter | None = None) -> Count:
        """Count rows of a scope that match."""
        ...

    async def delete_where(
        self, scope: Scope, filter: Filter | None = None, *, max_revision: int
    ) -> int:
        """Delete all rows of a scope that match and have at most that revision; says how many."""
        ...

    async def stats(self, kind: Kind) -> Stats:
        """Figures about one kind."""
        ...


@runtime_checkable
class Eventual(Protocol):
    """What a store has besides whose reads may lag behind writes (`read_your_writes` is False).

    Reads of one store object see what that object wrote. For what others wrote there are tokens.
    Neither does any I/O.
    """

    def token(self, kind: Kind, tenant: str) -> str:
        """What `reach` takes to see all that this object has written of the tenant and kind so far.

        Empty when every read sees it already.
        """
        ...

    def reach(self, token: str) -> None:
        """From now on reads of this object see that. Raises UNSUPPORTED for no token of its kind."""
        ...


class VectorStore(Store, Protocol):
    """A store of points."""

    async def ensure(self, collection: Collection) -> None:
        """Make ready what a kind needs, or check it.

        Raises IDENTITY_MISMATCH (metadata `stored`, `configured`) when what is there was made with
        another embedding or analyzer, COLLECTION_MISSING when a collection that was made before
        is not there. Never drops and never remakes; a store that keeps no row of the kind may take
        the new one. An error while looking is raised, never taken for "not there".
        """
        ...

    async def upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:
        """Write points, each replacing the whole memory of its address."""
        ...

    async def fetch(
        self, addresses: Sequence[Address], *, vectors: bool = False
    ) -> list[Stored | None]:
        """Read memories by address, expired ones too; None where there is no row."""
        ...

    async def query(self, query: Query) -> QueryResult:
        """Find the best points by vector or by terms."""
        ...


class KeyValueStore(Store, Protocol):
    """A store of entries."""

    async def put(
        self, writes: Sequence[Write[Entry]], *, atomic: bool = False
    ) -> list[WriteResult]:
        """Write entries. With `atomic` either all are applied or none is.

        Of an atomic batch that is not applied, what stood in the way says so (CONFLICT or FAILED
        with its error), and the others are FAILED without an error.
        """
        ...

    async def delete(self, deletes: Sequence[Delete], *, atomic: bool = False) -> list[WriteResult]:
        """Delete memories by address; `atomic` as in `put`.

        What is MISSING stands in nobody's way, and stays MISSING when others do.
        """
        ...

    async def get(self, addresses: Sequence[Address]) -> list[Stored | None]:
        """Read memories by address, expired ones too; None where there is no row."""
        ...
