"""The writes of one route that wait for its store: durable in the control store, in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from memplane_adapters.contract import (
    Address,
    Delete,
    Entry,
    KeyValueStore,
    Kind,
    Scan,
    Scope,
    StoreError,
    StoreReason,
    Write,
)
from memplane_gateway.clock import Clock
from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.memory.shared_leases import control_failure
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

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Outbox:
    """One route's outbox. What `open` has not read is not there yet."""

    def __init__(
        self,
        kind: Kind,
        store: KeyValueStore,
        clock: Clock,
        codec: SpooledCodec,
        limits: Limits,
    ) -> None:
        self.kind = kind
        self.changed = asyncio.Event()
        """Set whenever something more waits."""
        self._store = store
        self._clock = clock
        self._codec = codec
        self._limits = limits
        self._namespace = ("outbox", kind.value)
        self._index = Index()
        self._opened = False
        self._changing: set[asyncio.Task[Any]] = set()

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
                    # What waits was written before whatever comes now, wherever the clock stands.
                    self._clock.revision(known.id)
            after = page.next
            if after is None:
                break
        self._index, self._opened = index, True
        if index:
            self.changed.set()

    def waits(self, address: Address) -> bool:
        """Whether a write of a memory waits."""
        return self._index.newest(address) is not None

    def touches(self, scope: Scope) -> bool:
        """Whether a write of a memory in a scope waits."""
        return self._index.touches(scope)

    async def newest(self, addresses: Iterable[Address]) -> Mapping[Address, Spooled]:
        """The last write of each memory that waits. Raises UNAVAILABLE, DATA_LOSS."""
        ids = {address: self._index.newest(address) for address in addresses}
        wanted = {address: each for address, each in ids.items() if each is not None}
        found = await self._read(list(wanted.values()))
        known = map(self._index.get, wanted.values())
        if any(each is not None and each.address is None for each in known):
            raise damaged()
        return {address: found[each] for address, each in wanted.items() if each in found}

    async def append(self, entries: Sequence[Spooled]) -> None:
        """Keep these behind all others, all or none, on disk when this returns.

        Raises RESOURCE_EXHAUSTED when there is no room, UNAVAILABLE when the control store fails.
        """
        rows = [self._entry(entry) for entry in entries]
        self._check_room(sum(ROOM_BYTES + len(row.record) for row in rows))
        await self._change(self._written(entries, rows))

    async def next_batch(self, limit: int) -> list[Spooled]:
        """The writes to carry out next: the first ones, no memory twice, an atomic call by itself."""
        ids = self._index.next_batch(limit, _PAGE_BYTES)
        found = await self._read(ids)
        return [found[each] for each in ids if each in found]

    async def remove(self, ids: Sequence[int]) -> None:
        """Forget entries: they were carried out, or dropped."""
        await self._change(self._removed(ids))

    async def bury(self, entry: Spooled, death: Death) -> None:
        """Make an entry a dead letter."""
        _log.warning(
            "a write in the outbox is a dead letter",
            extra={
                "kind": self.kind.value,
                "entry": entry.id,
                "reason": death.error.reason.value,
                "error": death.error.message,
            },
        )
        await self._rewrite(replace(entry, death=death, batch=0))

    async def listed(self, *, dead: bool, after: int, limit: int) -> list[Spooled | int]:
        """Entries behind an id; of one that is damaged its id alone."""
        ids = self._index.listed(dead=dead, after=after, limit=limit)
        found = await self._read(ids)
        return [found.get(each, each) for each in ids]

    async def retry(self, id: int) -> MemplaneError | None:
        """Have a dead letter wait again, as if it was written now; says why that may not be."""
        refused = self._untouchable(id)
        if refused is not None:
            return refused
        entry = (await self._read([id])).get(id)
        if entry is None or entry.death is None:
            return damaged()
        if self.waits(entry.address):
            return _precondition("later writes of the same memory wait: drop this one, or wait")
        revision = self._clock.revision(entry.death.revision)
        row = entry.row
        if row is not None:
            row = replace(row, record=replace(row.record, revision=revision))
        await self._rewrite(replace(entry, row=row, revision=revision, death=None))
        return None

    async def drop(self, id: int) -> MemplaneError | None:
        """Forget a dead letter; says why that may not be."""
        refused = self._untouchable(id)
        if refused is None:
            await self.remove([id])
        return refused

    async def close(self) -> None:
        """Let what is being written end."""
        await asyncio.gather(*self._changing, return_exceptions=True)

    def _untouchable(self, id: int) -> MemplaneError | None:
        known = self._index.get(id)
        if known is None:
            return MemplaneError(
                Code.NOT_FOUND, Reason.MEMORY_NOT_FOUND, "no such entry in the outbox (any more)"
            )
        if not known.dead:
            return _precondition("this write waits for its store and is no dead letter")
        return None

    async def _read(self, ids: Sequence[int]) -> dict[int, Spooled]:
        """Entries by their ids; the damaged ones are left out, and become dead letters."""
        if not ids:
            return {}
        try:
            stored = await self._store.get([self._place(each) for each in ids])
        except StoreError as error:
            raise control_failure(error) from error
        found: dict[int, Spooled] = {}
        for entry_id, each in zip(ids, stored, strict=True):
            if each is None:  # it was carried out meanwhile
                continue
            try:
                found[entry_id] = self._codec.decode(each.record)
            except ValueError as error:
                self._index.add(self._damage(entry_id, len(each.record), error))
        return found

    async def _rewrite(self, entry: Spooled) -> None:
        await self._change(self._written([entry], [self._entry(entry)]))

    async def _written(self, entries: Sequence[Spooled], rows: Sequence[Entry]) -> None:
        results = await self._store.put([Write(row) for row in rows], atomic=True)
        for result in results:
            if result.error is not None:
                raise result.error
        for entry, row in zip(entries, rows, strict=True):
            self._index.add(Known.of(entry, len(row.record)))
        self.changed.set()

    async def _removed(self, ids: Sequence[int]) -> None:
        results = await self._store.delete([Delete(self._place(each)) for each in ids], atomic=True)
        for result in results:
            if result.error is not None:
                raise result.error
        for each in ids:
            self._index.remove(each)

    async def _change(self, change: Awaitable[T]) -> T:
        """Let a change end even if its caller goes: the index must follow the file."""
        task = asyncio.ensure_future(change)
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        try:
            return await asyncio.shield(task)
        except StoreError as error:
            if error.reason is StoreReason.EXHAUSTED:
                raise _full("the gateway's disk is full") from error
            raise control_failure(error) from error

    def _check_room(self, more: int) -> None:
        standing, limits = self._index.standing, self._limits
        size = standing.size_bytes + more
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
        try:
            return Known.of(self._codec.decode(data), len(data))
        except ValueError as error:
            try:
                found = self._codec.id_of(data)
            except ValueError:
                _log.error("an entry of the outbox is damaged, its id too: it stays in the file")
                return None
            return self._damage(found, len(data), error)

    def _damage(self, id: int, size: int, error: ValueError) -> Known:
        _log.error(
            "an entry of the outbox is damaged",
            extra={"kind": self.kind.value, "entry": id, "error": str(error)},
        )
        return Known(id, None, 0, size, 0, dead=True)

    def _place(self, id: int) -> Address:
        return Address("", Kind.CONTROL, self._namespace, f"{id:0{_DIGITS}d}")

    def _entry(self, entry: Spooled) -> Entry:
        return Entry(
            address=self._place(entry.id),
            revision=self._clock.revision(),
            update_time=entry.time,
            time=entry.time,
            record=self._codec.encode(entry),
        )


def damaged() -> MemplaneError:
    """DATA_LOSS of an entry whose bytes have changed."""
    return MemplaneError(
        Code.DATA_LOSS, Reason.DATA_DAMAGED, "the entry cannot be read: its bytes have changed"
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
