"""Lets the periods of memories begin again that a read found (`refresh_ttl`), behind the answers.

A renewal changes the expiry of a record and nothing else: revision, and with it the etag, stay, so that
who holds one is not refused for a read. It is written in place of the very revision that was read, and
only where that record is still alive and expires when the read saw it to: what was written meanwhile is
never overwritten, and what has expired is never brought back. A write at the same time, which has read
the old expiry, may put that back; the next read renews again.

What waits is bounded and in this process only: a renewal that is lost is none of the caller's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from memplane_adapters.contract import Address, StoreError, WriteStatus
from memplane_gateway.clock import Clock
from memplane_gateway.deadline import within
from memplane_gateway.errors import MemplaneError, from_store
from memplane_gateway.memory.model import Outcome, Record, Written
from memplane_gateway.memory.shelf import Row, RowWrite, Shelf
from memplane_gateway.memory.write.leases import Turn
from memplane_gateway.memory.write.writing import Writer

WAITING = 1_000
"""Most memories that wait for it."""
_BATCH = 100
_SHARES = 10
"""A period begins again only when so manieth of it is over: so often at most in one."""
_SECONDS = 10.0
_STOP_SECONDS = 1.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Renewals:
    """What became of them since the start."""

    renewed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class _Due:
    """A memory whose period is to begin again, as it was read."""

    address: Address
    revision: int
    expire_time: int


class Renewer:
    """Renews the memories of one shelf."""

    def __init__(self, route: str, shelf: Shelf, clock: Clock, writer: Writer) -> None:
        self.renewals = Renewals()
        self._route = route
        self._shelf = shelf
        self._clock = clock
        self._writer = writer
        self._waiting: dict[Address, _Due] = {}
        self._task: asyncio.Task[None] | None = None

    def saw(self, records: Iterable[Record]) -> None:
        """A read found these; those that are due are renewed soon. Never fails, never waits."""
        now = self._clock.now()
        for record in records:
            if not is_due(record, now) or record.address in self._waiting:
                continue
            if len(self._waiting) >= WAITING:
                self.renewals.skipped += 1
                continue
            assert record.expire_time is not None, "due"
            due = _Due(record.address, record.revision, record.expire_time)
            self._waiting[record.address] = due
        if self._waiting and (self._task is None or self._task.done()):
            # In a context of its own: the deadline of the read is not this one's.
            self._task = asyncio.get_running_loop().create_task(
                self._renew_all(), name=f"renew-{self._route}", context=contextvars.Context()
            )

    async def close(self) -> None:
        """Renew what waits, as far as that is quick."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_STOP_SECONDS)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _renew_all(self) -> None:
        while self._waiting:
            batch = list(self._waiting.values())[:_BATCH]
            try:
                with within(_SECONDS):
                    written = await self._writer.until_settled(batch, self._round)
            except Exception as error:  # noqa: BLE001 (logged and counted)
                # It is nobody's call, and must not end those that wait behind it.
                self._say(error)
                self.renewals.failed += len(batch)
            else:
                self._count(written)
            for due in batch:
                with contextlib.suppress(KeyError):
                    del self._waiting[due.address]

    def _say(self, error: Exception) -> None:
        if isinstance(error, StoreError | MemplaneError):
            _log.warning("memories were not renewed", extra={"error": str(error)})
        else:
            _log.error("bug in a renewal", exc_info=error)

    def _count(self, written: Sequence[Written]) -> None:
        for each in written:
            if each.error is not None:
                self.renewals.failed += 1
            elif each.outcome is Outcome.UPDATED:
                self.renewals.renewed += 1
            else:
                self.renewals.skipped += 1

    async def _round(
        self, batch: Sequence[_Due], rows: Sequence[Row | None], turn: Turn
    ) -> list[Written | None]:
        """Renew what is as it was read (see `Writer.until_settled`)."""
        settled: list[Written | None] = [Written(due.address, Outcome.UNCHANGED) for due in batch]
        now = self._clock.now()
        writes: dict[int, RowWrite] = {}
        for index, (due, row) in enumerate(zip(batch, rows, strict=True)):
            if row is not None and _is_as_read(due, row.record) and row.record.alive(now):
                writes[index] = RowWrite(renewed(row, now), due.revision)
        if not writes:
            return settled
        send = functools.partial(self._shelf.write, list(writes.values()), atomic=False)
        addresses = [batch[index].address for index in writes]
        results = await turn.finish(send, addresses, renews=True)
        for index, result in zip(writes, results, strict=True):
            address = batch[index].address
            if result.status is WriteStatus.APPLIED:
                settled[index] = Written(address, Outcome.UPDATED)
            elif result.error is not None:
                settled[index] = Written(address, error=from_store(result.error, self._route))
        return settled


def is_due(record: Record, now: int) -> bool:
    """Whether a read now lets the period of a memory begin again."""
    if record.ttl is None or record.expire_time is None or not record.alive(now):
        return False
    if record.embedded_texts:  # their points are told apart by the revision, which stays
        return False
    return now - (record.expire_time - record.ttl) >= record.ttl // _SHARES


def renewed(row: Row, now: int) -> Row:
    """The row with its period beginning now; the very same otherwise."""
    record = row.record
    assert record.ttl is not None, "due"
    assert record.expire_time is not None, "due"
    expire_time = max(record.expire_time, now + record.ttl)
    return replace(row, record=replace(record, expire_time=expire_time))


def _is_as_read(due: _Due, record: Record) -> bool:
    return (record.revision, record.expire_time) == (due.revision, due.expire_time)
