"""The writes of one route that wait for its store: durable in the control store, in order."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from memplane_adapters.contract import (
    Address,
    Delete,
    Entry,
    KeyValueStore,
    Kind,
    Scan,
    Scope,
    Stored,
    StoreError,
    StoreReason,
    Write,
    WriteResult,
)
from memplane_gateway.clock import Clock
from memplane_gateway.deadline import set_deadline
from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.memory.model import Record
from memplane_gateway.memory.write.leases import Leases
from memplane_gateway.memory.write.shared_leases import control_failure
from memplane_gateway.outbox.entries import (
    ROOM_BYTES,
    Death,
    Limits,
    Spooled,
    SpooledCodec,
    Standing,
)
from memplane_gateway.outbox.index import Index, Known

_PAGE_ITEMS = 500
_PAGE_BYTES = 16 * 1024 * 1024
_DIGITS = 20
_PATIENCE_SECONDS = 3600.0
"""For the control store, once it has been asked to change something: its end must be known."""
_PAUSE_SECONDS = 0.5
_NOTHING_WRITTEN = frozenset({StoreReason.UNAVAILABLE, StoreReason.EXHAUSTED, StoreReason.CLOSED})

Change: TypeAlias = Callable[[], Awaitable[list[WriteResult]]]

_log = logging.getLogger(__name__)


class Outbox:
    """One route's outbox. What `open` has not read is not there yet.

    `closed` is one that takes nothing and carries nothing out, for a route whose writes do not wait
    (any more): what is left from before is shown as dead letters.
    """

    def __init__(
        self,
        kind: Kind,
        place: str,
        store: KeyValueStore,
        clock: Clock,
        *,
        codec: SpooledCodec,
        limits: Limits | None,
    ) -> None:
        """`place` tells the route's store from others; `limits` None: it is closed."""
        self.kind = kind
        self.closed = limits is None
        self.changed = asyncio.Event()
        """Set whenever something more waits."""
        self.turns = Leases()
        """Who has a memory's turn is alone to write it, here and in its store."""
        self._place = place
        self._store = store
        self._clock = clock
        self._codec = codec
        self._limits = limits or Limits(0, 0.0)
        self._namespace = ("outbox", kind.value)
        self._index = Index()
        self._under_way = 0
        self._opened = False
        self._changing: set[asyncio.Task[None]] = set()

    @property
    def standing(self) -> Standing:
        """How it fares."""
        return self._index.standing

    async def open(self) -> None:
        """Read what was left from before, once. Raises StoreError."""
        if self._opened:
            return
        index, after = Index(), None
        while True:
            scope = Scope("", Kind.CONTROL, 0, self._namespace, exact=True)
            page = await self._store.scan(
                Scan(scope=scope, after=after, limit=_PAGE_ITEMS, max_bytes=_PAGE_BYTES)
            )
            for stored in page.rows:
                known = self._known(stored.record)
                if known is not None:
                    index.add(known)
            after = page.next
            if after is None:
                break
        self._index, self._opened = index, True
        if index.standing.waiting:
            self.changed.set()

    def waits(self, address: Address) -> bool:
        """Whether a write of a memory waits."""
        return self._index.newest(address) is not None

    def touches(self, scope: Scope) -> bool:
        """Whether a write of a memory in a scope waits."""
        return self._index.touches(scope)

    def size_of(self, addresses: Iterable[Address]) -> int:
        """About how many bytes the last writes of memories take that wait."""
        return sum(self._index.size(self._index.newest(each) or 0) for each in addresses)

    async def newest(self, addresses: Iterable[Address]) -> Mapping[Address, Spooled]:
        """The last write of each memory that waits. Raises UNAVAILABLE, DATA_LOSS."""
        ids = {address: self._index.newest(address) for address in addresses}
        wanted = {address: each for address, each in ids.items() if each is not None}
        found = await self._read(list(wanted.values()))
        if any(map(self._is_damaged, wanted.values())):
            raise damaged()
        return {address: found[each] for address, each in wanted.items() if each in found}

    async def append(self, entries: Sequence[Spooled]) -> None:
        """Keep these behind all others, all or none, on disk when this returns.

        Raises RESOURCE_EXHAUSTED when there is no room, UNAVAILABLE when the control store fails.
        """
        placed = [replace(entry, place=self._place) for entry in entries]
        rows = [self._entry(entry) for entry in placed]
        size = sum(ROOM_BYTES + len(row.record) for row in rows)
        self._check_room(size)
        self._under_way += size
        try:
            await self._write(placed, rows)
        finally:
            self._under_way -= size

    async def next_batch(self, limit: int) -> list[Spooled]:
        """The writes to carry out next: the first ones, no memory twice, an atomic call by itself.

        Of an atomic call with a damaged entry nothing is carried out: the others are dead letters.
        """
        ids = self._index.next_batch(limit, _PAGE_BYTES)
        found = await self._read(ids)
        batch = [found[each] for each in ids if each in found]
        if batch and batch[0].batch and len(batch) < len(ids):
            await self.bury([(entry, Death(damaged())) for entry in batch])
            return []
        return batch

    async def remove(self, ids: Sequence[int]) -> None:
        """Forget entries: they were carried out, or dropped."""
        places = [Delete(self._place_of(each)) for each in ids]

        def settle() -> None:
            for each in ids:
                self._index.remove(each)

        await self._change(ids, lambda: self._store.delete(places, atomic=True), settle)

    async def bury(self, deaths: Iterable[tuple[Spooled, Death]]) -> None:
        """Make entries dead letters, all at once."""
        dead = [replace(entry, death=death, batch=0) for entry, death in deaths]
        for entry in dead:
            assert entry.death is not None, "said"
            _log.warning(
                "a write in the outbox is a dead letter",
                extra={
                    "kind": self.kind.value,
                    "entry": entry.id,
                    "reason": entry.death.error.reason.value,
                    "error": entry.death.error.message,
                },
            )
        await self._write(dead, [self._entry(entry) for entry in dead])

    async def listed(self, *, dead: bool, after: int, limit: int) -> list[Spooled | int]:
        """Entries behind an id, perhaps fewer than `limit`; of one that is damaged its id alone."""
        ids = self._index.listed(dead=dead, after=after, limit=limit, max_bytes=_PAGE_BYTES)
        found = await self._read(ids)
        # What is neither was carried out meanwhile.
        there = [each for each in ids if each in found or self._is_damaged(each)]
        return [self._shown(found[each]) if each in found else each for each in there]

    async def retry(self, id: int) -> MemplaneError | None:
        """Have a dead letter wait again, as if it was written now; says why that may not be."""
        known = self._index.get(id)
        if known is None or known.address is None:
            return _absent() if known is None else damaged()
        if self.closed:
            return _precondition("writes of this route do not wait (on_backend_down: reject)")
        async with self.turns.turn([known.address]):
            entry = (await self._read([id])).get(id)
            refused = self._untouchable(id)
            if refused is not None or entry is None:
                return refused or damaged()
            if self.waits(entry.address):
                return _precondition("later writes of the same memory wait: drop this one, or wait")
            again = self._anew(entry)
            await self._write([again], [self._entry(again)])
        return None

    async def drop(self, id: int) -> MemplaneError | None:
        """Forget a dead letter; says why that may not be."""
        known = self._index.get(id)
        async with self.turns.turn([known.address] if known and known.address else []):
            refused = self._untouchable(id)
            if refused is None:
                await self.remove([id])
        return refused

    async def close(self) -> None:
        """Let what is being written end."""
        await asyncio.gather(*self._changing, return_exceptions=True)
        await self.turns.close()

    def _untouchable(self, id: int) -> MemplaneError | None:
        known = self._index.get(id)
        if known is None:
            return _absent()
        if not known.dead:
            return _precondition("this write waits for its store and is no dead letter")
        return None

    def _anew(self, entry: Spooled) -> Spooled:
        """The entry as if it was written now, for today's store."""
        above = 0 if entry.death is None else entry.death.revision
        revision = self._clock.revision(max(above, entry.revision))
        row = entry.row
        if row is not None:
            row = replace(row, record=_at_revision(row.record, revision))
        now = self._clock.now()
        return replace(
            entry, row=row, revision=revision, base=0, time=now, place=self._place, death=None
        )

    def _is_damaged(self, id: int) -> bool:
        known = self._index.get(id)
        return known is not None and known.damaged

    def _is_dead(self, entry: Spooled) -> bool:
        return self.closed or entry.death is not None or entry.place != self._place

    def _shown(self, entry: Spooled) -> Spooled:
        """The entry with the reason why it is a dead letter, if it is one."""
        if entry.death is not None or not self._is_dead(entry):
            return entry
        why = (
            "the route's writes do not wait any more" if self.closed else "it was for another store"
        )
        return replace(entry, death=Death(_precondition(f"left from before: {why}")))

    async def _read(self, ids: Sequence[int]) -> dict[int, Spooled]:
        """Entries by their ids; the damaged ones are left out, and become dead letters."""
        if not ids:
            return {}
        try:
            stored = await self._store.get([self._place_of(each) for each in ids])
        except StoreError as error:
            raise control_failure(error) from error
        found: dict[int, Spooled] = {}
        for entry_id, each in zip(ids, stored, strict=True):
            if each is None:  # it was carried out meanwhile
                continue
            try:
                found[entry_id] = self._codec.decode(each.record)
            except ValueError as error:
                known = self._index.get(entry_id)
                address = known.address if known is not None else None
                self._index.add(self._damage(entry_id, address, len(each.record), error))
        return found

    async def _write(self, entries: Sequence[Spooled], rows: Sequence[Entry]) -> None:
        def settle() -> None:
            for entry, row in zip(entries, rows, strict=True):
                self._index.add(Known.of(entry, len(row.record), dead=self._is_dead(entry)))
            self.changed.set()

        writes = [Write(row) for row in rows]
        ids = [entry.id for entry in entries]
        await self._change(ids, lambda: self._store.put(writes, atomic=True), settle)

    async def _change(self, ids: Sequence[int], change: Change, settle: Callable[[], None]) -> None:
        """Change the file, and the index after it. Whoever asked for it stays until it is over.

        He may have a memory's turn, and nobody else may have it while this goes on.
        """
        # In a context of its own: no caller's deadline ends it half-way.
        task = asyncio.get_running_loop().create_task(
            self._changed(ids, change, settle), context=contextvars.Context()
        )
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await _ended(task)
            raise
        except StoreError as error:
            if error.reason is StoreReason.EXHAUSTED:
                raise _full("the gateway's disk is full") from error
            raise control_failure(error) from error

    async def _changed(
        self, ids: Sequence[int], change: Change, settle: Callable[[], None]
    ) -> None:
        set_deadline(_PATIENCE_SECONDS)
        try:
            results = await change()
        except StoreError as error:
            if error.reason not in _NOTHING_WRITTEN:
                await self._reconcile(ids)
            raise
        for result in results:
            if result.error is not None:
                raise result.error
        settle()

    async def _reconcile(self, ids: Sequence[int]) -> None:
        """Learn from the file what became of a change that nobody knows the end of."""
        stored: list[Stored | None] | None = None
        while stored is None:
            try:
                stored = await self._store.get([self._place_of(each) for each in ids])
            except StoreError as error:
                _log.warning("the outbox cannot be read", extra={"error": str(error)})
                await asyncio.sleep(_PAUSE_SECONDS)
        for entry_id, each in zip(ids, stored, strict=True):
            known = None if each is None else self._known(each.record)
            if known is None:
                self._index.remove(entry_id)
            else:
                self._index.add(known)
        self.changed.set()

    def _check_room(self, more: int) -> None:
        standing, limits = self._index.standing, self._limits
        size = standing.size_bytes + self._under_way + more
        if size > limits.max_bytes:
            raise _full(
                f"it would hold {size} bytes of {limits.max_bytes} (outbox.max_bytes)",
                limit_bytes=str(limits.max_bytes),
            )
        if standing.oldest is None:
            return
        age = (self._clock.now() - standing.oldest) / 1_000_000
        if age > limits.max_age_seconds:
            raise _full(
                f"its oldest write has waited {age:.0f} seconds, above "
                f"{limits.max_age_seconds:.0f} (outbox.max_age_seconds)",
                limit_seconds=f"{limits.max_age_seconds:.0f}",
            )

    def _known(self, data: bytes) -> Known | None:
        """What is known of an entry that was found in the file."""
        try:
            entry = self._codec.decode(data)
        except ValueError as error:
            try:
                found = self._codec.id_of(data)
            except ValueError:
                _log.error("an entry of the outbox is damaged, its id too: it stays in the file")
                return None
            return self._damage(found, None, len(data), error)
        # What waits was written before whatever comes now, wherever the clock stands.
        self._clock.revision(max(entry.id, entry.revision))
        return Known.of(entry, len(data), dead=self._is_dead(entry))

    def _damage(self, id: int, address: Address | None, size: int, error: ValueError) -> Known:
        _log.error(
            "an entry of the outbox is damaged",
            extra={"kind": self.kind.value, "entry": id, "error": str(error)},
        )
        return Known(id, address, 0, size + ROOM_BYTES, 0, dead=True, damaged=True)

    def _place_of(self, id: int) -> Address:
        return Address("", Kind.CONTROL, self._namespace, f"{id:0{_DIGITS}d}")

    def _entry(self, entry: Spooled) -> Entry:
        return Entry(
            address=self._place_of(entry.id),
            revision=self._clock.revision(),
            update_time=entry.time,
            time=entry.time,
            record=self._codec.encode(entry),
        )


async def _ended(task: asyncio.Task[None]) -> None:
    """Wait for a task, however often this one is cancelled."""
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({task})


def _at_revision(record: Record, revision: int) -> Record:
    """A record as if it was written at another revision, its own token too."""
    tokens = tuple(
        replace(token, revision=revision) if token.revision == record.revision else token
        for token in record.tokens
    )
    return replace(record, revision=revision, tokens=tokens)


def damaged() -> MemplaneError:
    """DATA_LOSS of an entry whose bytes have changed."""
    return MemplaneError(
        Code.DATA_LOSS,
        Reason.DATA_DAMAGED,
        "an entry of the outbox cannot be read, its bytes have changed: drop it",
    )


def _absent() -> MemplaneError:
    return MemplaneError(
        Code.NOT_FOUND, Reason.MEMORY_NOT_FOUND, "no such entry in the outbox (any more)"
    )


def _precondition(message: str) -> MemplaneError:
    return MemplaneError(Code.FAILED_PRECONDITION, Reason.SUPERSEDED, message)


def _full(why: str, **metadata: str) -> MemplaneError:
    return MemplaneError(
        Code.RESOURCE_EXHAUSTED,
        Reason.OUTBOX_FULL,
        f"the store is down and the gateway's outbox takes no more: {why}; nothing was written",
        metadata=metadata,
        retry_after=5.0,
    )
