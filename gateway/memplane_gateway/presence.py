"""Gateways whose control stores differ, over one store: seen by a note that each leaves in the store.

They know nothing of each other: leases, request ids and page tokens of the one mean nothing to the
other, and over a store that compares no revisions updates get lost. So the second one does not serve
the route, and says why.

The note says whose it is and changes every `BEAT_SECONDS` while its gateway lives. One that has not
changed for `SILENT_SECONDS` is of a gateway that has died, or has moved to another control store, and
is replaced. So nobody is kept out for longer than that, and a gateway that comes back with its own
control store not at all.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Protocol

import numpy as np

from memplane_adapters.contract import (
    Address,
    Collection,
    Delete,
    EmbeddingIdentity,
    Entry,
    KeyValueStore,
    Kind,
    Point,
    Stored,
    StoreError,
    VectorStore,
    Write,
    WriteStatus,
)
from memplane_gateway.clock import Clock
from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.memory.write.leases import needs_leases
from memplane_gateway.memory.write.shared_leases import elapsed

BEAT_SECONDS = 10.0
SILENT_SECONDS = 30.0
OLD_SECONDS = 300
"""By the clocks on the wall, which may differ a little: so old is silent, without waiting for it."""
_PATIENCE_SECONDS = 2.0

_ADDRESS = Address("", Kind.CONTROL, ("gateways",), "present")
_COLLECTION = Collection(Kind.CONTROL, EmbeddingIdentity("none", "control", 1), "none")

_log = logging.getLogger(__name__)


class Notes(Protocol):
    """The one note in a store."""

    async def read(self) -> bytes | None:
        """What it says. Raises StoreError."""
        ...

    async def write(self, record: bytes, revision: int, expected: int) -> bool:
        """Replace the one of the expected revision, where that can be seen; whether it did.

        Raises StoreError.
        """
        ...

    async def remove(self) -> None:
        """Take it away. Raises StoreError."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...


class EntryNotes:
    """A note in a key-value store, beside the memories; the store is its route's to open and close."""

    def __init__(self, store: KeyValueStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def read(self) -> bytes | None:
        """What it says."""
        return _record(await self._store.get([_ADDRESS]))

    async def write(self, record: bytes, revision: int, expected: int) -> bool:
        """Replace it."""
        now = self._clock.now()
        entry = Entry(address=_ADDRESS, revision=revision, update_time=now, time=now, record=record)
        compares = not needs_leases(self._store.capabilities)
        (result,) = await self._store.put([Write(entry, expected if compares else None)])
        return result.status is WriteStatus.APPLIED

    async def remove(self) -> None:
        """Take it away."""
        await self._store.delete([Delete(_ADDRESS)])

    async def close(self) -> None:
        """Nothing is its own."""


class PointNotes:
    """A note in a collection of its own of a vector store, by a connection of its own.

    So it is in nobody's count, and a collection that vanishes means nothing to the routes.
    """

    def __init__(self, store: VectorStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ensured = False

    async def read(self) -> bytes | None:
        """What it says."""
        if not self._ensured:
            await self._store.open()
            await self._store.ensure(_COLLECTION)
            self._ensured = True
        return _record(await self._store.fetch([_ADDRESS]))

    async def write(self, record: bytes, revision: int, expected: int) -> bool:  # noqa: ARG002
        """Replace it; such a store does not see what was there."""
        now = self._clock.now()
        bare = self._store.capabilities.vectorless
        point = Point(
            address=_ADDRESS,
            revision=revision,
            update_time=now,
            time=now,
            record=record,
            vector=None if bare else np.ones(1, np.float32),
        )
        (result,) = await self._store.upsert([Write(point)])
        return result.status is WriteStatus.APPLIED

    async def remove(self) -> None:
        """Take it away."""
        await self._store.delete([Delete(_ADDRESS)])

    async def close(self) -> None:
        """Close the connection."""
        await self._store.close()


class Presence:
    """This gateway's presence in one store."""

    def __init__(self, store: str, notes: Notes, clock: Clock, control: Callable[[], str]) -> None:
        self._store = store
        self._control = control
        """Names our control store, once that is ready."""
        self._notes = notes
        self._clock = clock
        self._looked: float | None = None
        self._seen: tuple[bytes, float] | None = None
        """Another one's note, and since when it has been as it is."""
        self._ours = False

    async def check(self) -> None:
        """Look for others and say that we are here, now and then.

        Raises FAILED_PRECONDITION when a gateway with another one is here. What the store cannot
        answer now says nothing.
        """
        due = self._looked is None or elapsed() - self._looked >= BEAT_SECONDS
        if not due and self._seen is None:
            return
        control = self._control()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                found = await self._notes.read()
                if found is None or not self._is_other_alive(found, control):
                    await self._leave_note(control, _revision_of(found))
        except (StoreError, TimeoutError) as error:
            _log.debug(
                "could not look for others", extra={"store": self._store, "error": str(error)}
            )
            return
        if self._seen is not None:
            self._ours = False
            raise _occupied(self._store)

    async def close(self) -> None:
        """Say that we have gone, and let go."""
        try:
            if self._ours:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self._notes.remove()
        except (StoreError, TimeoutError) as error:
            _log.debug("a note was left behind", extra={"store": self._store, "error": str(error)})
        await self._notes.close()

    async def _leave_note(self, control: str, replaced: int) -> None:
        revision = self._clock.revision(replaced)
        note = {"control": control, "revision": revision, "time": self._clock.now()}
        self._seen = None
        if await self._notes.write(json.dumps(note).encode(), revision, replaced):
            self._ours, self._looked = True, elapsed()

    def _is_other_alive(self, found: bytes, control: str) -> bool:
        try:
            note = json.loads(found)
            owner, written = note["control"], int(note["time"])
        except (KeyError, TypeError, ValueError):
            return False
        if owner == control:
            return False
        if self._seen is None or self._seen[0] != found:
            self._seen = found, elapsed()
        old = self._clock.now() - written > OLD_SECONDS * 1_000_000
        return not old and elapsed() - self._seen[1] < SILENT_SECONDS


def _revision_of(found: bytes | None) -> int:
    try:
        return 0 if found is None else int(json.loads(found)["revision"])
    except (KeyError, TypeError, ValueError):
        return 0


def _record(found: list[Stored | None]) -> bytes | None:
    (stored,) = found
    return None if stored is None else stored.record


def _occupied(store: str) -> MemplaneError:
    return MemplaneError(
        Code.FAILED_PRECONDITION,
        Reason.BACKEND_MISCONFIGURED,
        f"another gateway, which has another control store, uses the store {store}: give both the "
        "same one (control: {store: NAME}), or stop one of them; this one serves when the other has "
        f"been silent for {SILENT_SECONDS:.0f} seconds",
        metadata={"store": store},
    )
