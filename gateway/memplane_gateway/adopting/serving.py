"""A foreign collection as a store of vectors: snapshots, one after the other, read-only.

Every read is answered from the snapshot that is there, by the embedded store. Another one is read in
the background now and then, and takes its place when it is whole; one that fails changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn

from memplane_adapters.contract import (
    Address,
    Capabilities,
    Collection,
    Count,
    Delete,
    Durability,
    Filter,
    Kind,
    Page,
    Point,
    Query,
    QueryResult,
    Reached,
    Scan,
    Scope,
    Stats,
    Stored,
    StoreError,
    StoreReason,
    VectorStore,
    Write,
    WriteResult,
    from_micros,
)
from memplane_gateway.adopting.snapshot import (
    Contents,
    Snapshot,
    SnapshotMaker,
    embedded_store,
    read_only,
)
from memplane_gateway.errors import Code, MemplaneError, Reason, from_store

FIRST_WAIT_SECONDS: Final = 2.5
"""So long a start waits for the first snapshot; what takes longer is served when it is there."""
_RETRY_SECONDS: Final = 2.0
"""After the first failure; the wait doubles with each further one up to `refresh_seconds`."""
_REASONS_SHOWN: Final = 3

_log = logging.getLogger(__name__)


class SnapshotStore:
    """A VectorStore over one foreign collection, for one route."""

    def __init__(self, maker: SnapshotMaker, *, name: str, refresh_seconds: float) -> None:
        """`name` is that of the store in the configuration."""
        self.capabilities: Capabilities = replace(
            embedded_store(Path()).capabilities, durability=()
        )
        self._maker = maker
        self._name = name
        self._refresh_seconds = refresh_seconds
        self._current: Snapshot | None = None
        self._replaced: Snapshot | None = None
        """What was served before, while it is being closed."""
        self._failure: StoreError | MemplaneError | None = None
        """Of the last try; None when that went well, or is still to come."""
        self._failures = 0
        self._tried = asyncio.Event()
        self._waited = False
        self._task: asyncio.Task[None] | None = None

    @property
    def contents(self) -> Contents | None:
        """What is served now; None before the first snapshot."""
        return None if self._current is None else self._current.contents

    @property
    def refusal(self) -> MemplaneError:
        """What a caller hears who would write."""
        kind, source = self._maker.kind.value, self._maker.adoption.source
        return MemplaneError(
            Code.UNIMPLEMENTED,
            Reason.CAPABILITY_MISSING,
            f"the {kind} route is read-only: it serves the {source.adapter} collection "
            f"{source.collection} of somebody else; memplane adopt takes it over into a store that "
            "is written",
            metadata={"capability": "write", "route": kind},
        )

    @property
    def notice(self) -> str:
        """What the operator should know: how old the snapshot is, and what is not in it."""
        kind, source = self._maker.kind.value, self._maker.adoption.source
        said = f"The {kind} route is read-only, over the {source.adapter} collection {source.collection}"
        contents = self.contents
        if contents is not None:
            taken = from_micros(contents.taken).isoformat(timespec="seconds").replace("+00:00", "Z")
            said += f": {contents.memories} memories, read at {taken}"
            if contents.refused:
                said += f"; {contents.refused} rows did not map ({_reasons(contents)})"
            if contents.changed:
                said += "; it was written to meanwhile, so that rows may be missing"
        if self._failure is not None:
            kept = "; the last reading failed" if contents is not None else "; it cannot be read"
            said += f"{kept}: {_told(self._failure, kind)}"
        return f"{said}."

    async def ready(self) -> None:
        """Raises MemplaneError or StoreError without a snapshot; the first call waits a little."""
        if self.contents is None and not self._waited:
            self._waited = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_WAIT_SECONDS):
                    await self._tried.wait()
        if self.contents is not None:
            return
        if self._failure is not None:
            raise self._failure
        kind = self._maker.kind.value
        raise MemplaneError(
            Code.UNAVAILABLE,
            Reason.BACKEND_UNAVAILABLE,
            f"{kind}: the collection {self._maker.adoption.source.collection} is being read for the "
            "first time; try again later",
            metadata={"route": kind},
            retry_after=_RETRY_SECONDS,
        )

    async def open(self) -> None:
        """Begin to read."""
        if self._task is None:
            # In a context of its own: no call's deadline is this one's.
            self._task = asyncio.get_running_loop().create_task(
                self._keep_fresh(), name="snapshots", context=contextvars.Context()
            )

    async def close(self) -> None:
        """Stop reading, and delete the snapshot when calls that are under way are done."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        current, self._current = self._current, None
        for snapshot in (self._replaced, current):
            if snapshot is not None:
                await snapshot.close()

    async def refresh(self) -> bool:
        """Read anew, and serve that when it is whole; whether it went well."""
        before = self._current
        try:
            made = await self._maker.make(before)
        except (StoreError, MemplaneError) as error:
            self._note(error)
        except Exception as error:  # noqa: BLE001 (logged, and shown)
            _log.exception("bug in a reading", extra={"store": self._name})
            self._note(StoreError(StoreReason.PROTOCOL, str(error)))
        else:
            self._current, self._failure, self._failures = made, None, 0
            self._replaced = before
            _log.info(
                "snapshot taken",
                extra={
                    "store": self._name,
                    "memories": made.contents.memories,
                    "refused": made.contents.refused,
                },
            )
            if before is not None:
                await before.close()
            self._replaced = None
        self._tried.set()
        return self._failure is None

    async def ping(self) -> Durability | Reached:
        """Nothing is written here, so that nothing survives."""
        await self._now().ping()
        return Reached(Durability.BUFFERED, "read-only")

    async def ensure(self, collection: Collection) -> None:
        """Each snapshot is made for the route's collection."""
        if collection.kind is not self._maker.kind:
            raise read_only()

    async def fetch(
        self, addresses: Sequence[Address], *, vectors: bool = False
    ) -> list[Stored | None]:
        """Read memories by address."""
        return await self._now().fetch(addresses, vectors=vectors)

    async def query(self, query: Query) -> QueryResult:
        """Find the best points."""
        return await self._now().query(query)

    async def scan(self, scan: Scan) -> Page:
        """Walk over rows."""
        return await self._now().scan(scan)

    async def count(self, scope: Scope, filter: Filter | None = None) -> Count:
        """Count rows."""
        return await self._now().count(scope, filter)

    async def stats(self, kind: Kind) -> Stats:
        """Figures about the snapshot."""
        return await self._now().stats(kind)

    async def upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:  # noqa: ARG002
        """Refused, as all that writes; routes refuse it before it comes here."""
        _refuse()

    async def delete(self, deletes: Sequence[Delete]) -> list[WriteResult]:  # noqa: ARG002
        """Refused."""
        _refuse()

    async def delete_where(
        self,
        scope: Scope,  # noqa: ARG002
        filter: Filter | None = None,  # noqa: ARG002
        *,
        max_revision: int,  # noqa: ARG002
    ) -> int:
        """Refused."""
        _refuse()

    def _now(self) -> VectorStore:
        if self._current is None:
            raise StoreError(StoreReason.CLOSED, "no snapshot is there", retryable=True)
        return self._current.store

    async def _keep_fresh(self) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        if not self._failures:
            return self._refresh_seconds
        return min(_RETRY_SECONDS * 2.0 ** min(self._failures - 1, 30), self._refresh_seconds)

    def _note(self, error: StoreError | MemplaneError) -> None:
        self._failure = error
        self._failures += 1
        _log.warning(
            "a collection could not be read",
            extra={"store": self._name, "error": str(error), "served": self._current is not None},
        )


def _refuse() -> NoReturn:
    raise read_only()


def _told(error: StoreError | MemplaneError, route: str) -> str:
    """Without the vendor's own text, which is in the log."""
    message = (error if isinstance(error, MemplaneError) else from_store(error, route)).message
    return message.removeprefix(f"{route}: ").removesuffix(".")


def _reasons(contents: Contents) -> str:
    most = sorted(contents.reasons.items(), key=lambda each: -each[1])
    said = [f"{number} for {reason}" for reason, number in most[:_REASONS_SHOWN]]
    return ", ".join(said) + (", ..." if len(most) > _REASONS_SHOWN else "")
