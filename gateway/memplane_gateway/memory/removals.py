"""Deletes that are sent again take effect once.

A delete leaves no record to remember it (see `idempotency`), so a call of deletes with a request id is
noted in the control store for 24 hours: that it runs, before anything is deleted, and its outcomes
afterwards. Without a request id nothing is noted and the control store is not asked.

A try that broke off (its gateway was killed, a store failed) leaves a note without outcomes. The next
try then deletes what is still there, but not what was created since the first one had begun: for that
the call is over. Of what the first one had deleted it says MISSING, for nobody knows more.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from memplane_adapters.contract import Address, Kind, StoreError, StoreReason
from memplane_gateway.clock import Clock, revision_at
from memplane_gateway.deadline import remaining
from memplane_gateway.errors import MemplaneError, is_ambiguous
from memplane_gateway.memory.idempotency import (
    DELAY_SECONDS,
    REMEMBERED_MICROS,
    reused,
    still_running,
)
from memplane_gateway.memory.leases import OVERTIME_SECONDS
from memplane_gateway.memory.model import Caller, Outcome, Removal, Written
from memplane_gateway.memory.shared_leases import control_failure

_NAMESPACE = ("requests", "delete")
_FORMAT = 1
_OUTCOMES = {Outcome.DELETED: "d", Outcome.MISSING: "m", Outcome.SPOOLED: "s"}
_UNKNOWN = "-"
_LETTERS = {letter: outcome for outcome, letter in _OUTCOMES.items()}

_LONGEST_CALL_SECONDS = 30.0
"""Of a call without a deadline; there is none over the wire."""

_SWEEP_MICROS = 3600 * 1_000_000
_ROUNDS = 10

_log = logging.getLogger(__name__)

Delete: TypeAlias = Callable[[list[Removal]], Awaitable[list[Written]]]


class Notebook(Protocol):
    """The control store, as far as notes need it."""

    async def read(self, address: Address) -> bytes | None:
        """What was written there, expired or not. Raises StoreError."""
        ...

    async def write(
        self,
        address: Address,
        record: bytes,
        *,
        revision: int,
        expected: int,
        expire_time: int | None = None,
    ) -> bool:
        """Write in place of a revision; False when another is there. Raises StoreError."""
        ...

    async def sweep(self, namespace: tuple[str, ...], *, max_revision: int) -> int:
        """Delete what was written below a namespace up to a revision."""
        ...


@dataclass(frozen=True, slots=True)
class Note:
    """What is noted of one call."""

    address: Address
    revision: int
    body_hash: bytes
    began: int
    """When its first try did."""
    until: int
    """Until when the last try may run; 0 once it has ended and what it did is known."""
    owner: str
    """The process of the last try."""
    outcomes: str
    """A letter an item."""

    @property
    def remembered(self) -> Mapping[int, Outcome]:
        """The outcomes that are known, by the item's place in the call."""
        return {
            index: _LETTERS[letter]
            for index, letter in enumerate(self.outcomes)
            if letter != _UNKNOWN
        }

    def encode(self) -> bytes:
        """As bytes."""
        return json.dumps(
            {
                "format": _FORMAT,
                "revision": self.revision,
                "body_hash": self.body_hash.hex(),
                "began": self.began,
                "until": self.until,
                "owner": self.owner,
                "outcomes": self.outcomes,
            }
        ).encode()

    @classmethod
    def decode(cls, address: Address, data: bytes) -> Note:
        """From bytes. Raises StoreError when they are none."""
        try:
            read = json.loads(data)
            note = cls(
                address=address,
                revision=read["revision"],
                body_hash=bytes.fromhex(read["body_hash"]),
                began=read["began"],
                until=read["until"],
                owner=read["owner"],
                outcomes=read["outcomes"],
            )
            known = read["format"] == _FORMAT
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(StoreReason.PROTOCOL, f"no note of a delete: {error}") from error
        if not known:
            raise StoreError(StoreReason.PROTOCOL, "a note of another release")
        return note


class RemovalNotes:
    """The notes of deletes. A call must not run twice at a time in one process (see `Running`)."""

    def __init__(self, notebook: Notebook, clock: Clock, *, shared: bool = False) -> None:
        """`shared` says that other gateways may use the control store."""
        self._notebook = notebook
        self._clock = clock
        self._shared = shared
        self._owner = secrets.token_hex(8)
        self._ends: dict[Address, asyncio.Task[None]] = {}
        self._swept = 0
        self._sweeping: asyncio.Task[None] | None = None

    async def once(
        self, caller: Caller, removals: Sequence[Removal], delete: Delete
    ) -> list[Written]:
        """Delete, unless that was done before; `delete` does it for some of the call's items.

        Raises ALREADY_EXISTS when the request id was that of another call, ABORTED when the call
        still runs elsewhere, UNAVAILABLE when the control store does not answer.
        """
        if not caller.request_id:
            return await delete(list(removals))
        note, since = await self._noted(caller, len(removals))
        written = {
            index: Written(removals[index].address, outcome, replayed=True)
            for index, outcome in note.remembered.items()
        }
        left = [index for index in range(len(removals)) if index not in written]
        if left:
            wanted = [replace(removals[index], began=since) for index in left]
            try:
                done = await delete(wanted)
            except MemplaneError as error:
                if not is_ambiguous(error):  # else the note goes on to say that it runs
                    self._end_soon(note, note.outcomes, known=True)
                raise
            written.update(zip(left, done, strict=True))
            outcomes = _letters([written[index] for index in range(len(removals))])
            known = not any(each.error is not None and is_ambiguous(each.error) for each in done)
            self._end_soon(note, outcomes, known=known)
            self._sweep_sometimes()
        return [written[index] for index in range(len(removals))]

    async def close(self) -> None:
        """Let what is being noted end, and end the sweep."""
        await asyncio.gather(*self._ends.values())
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)

    async def _noted(self, caller: Caller, items: int) -> tuple[Note, int | None]:
        """The note of a call, which now says that it runs unless all was done before.

        With it comes when a try began of which nobody knows what it did, if there was one.
        """
        address = Address("", Kind.CONTROL, (*_NAMESPACE, caller.tenant), caller.request_id)
        if address in self._ends:
            await asyncio.shield(self._ends[address])
        try:
            return await self._written(address, caller, items)
        except StoreError as error:
            raise control_failure(error) from error

    async def _written(
        self, address: Address, caller: Caller, items: int
    ) -> tuple[Note, int | None]:
        for _ in range(_ROUNDS):
            now = self._clock.now()
            seconds = remaining()
            lasts = (_LONGEST_CALL_SECONDS if seconds is None else seconds) + OVERTIME_SECONDS
            note = Note(
                address=address,
                revision=self._clock.revision(),
                body_hash=caller.body_hash,
                began=now,
                until=now + round(lasts * 1_000_000),
                owner=self._owner,
                outcomes=_UNKNOWN * items,
            )
            if await self._write(note, expected=0):
                return note, None
            data = await self._notebook.read(address)
            if data is None:
                continue  # cleaned up meanwhile
            found, since = Note.decode(address, data), None
            if found.began + REMEMBERED_MICROS > now:
                if found.body_hash != caller.body_hash:
                    raise reused(caller.request_id)
                if self._runs_elsewhere(found, now):
                    delay = min(DELAY_SECONDS, (found.until - now) / 1_000_000)
                    raise still_running(caller.request_id, delay)
                if _UNKNOWN not in found.outcomes:
                    return found, None
                note = replace(note, began=found.began, outcomes=found.outcomes)
                since = found.began if found.until else None
            note = replace(note, revision=self._clock.revision(found.revision))
            if await self._write(note, expected=found.revision):
                return note, since
        raise still_running(caller.request_id, DELAY_SECONDS)

    def _runs_elsewhere(self, found: Note, now: int) -> bool:
        return self._shared and found.owner != self._owner and now < found.until

    def _end_soon(self, note: Note, outcomes: str, *, known: bool) -> None:
        """Note the end of a try behind its caller's back: only a retry needs it, and waits for it.

        Should the gateway die before, a retry hears MISSING of what was deleted.
        """
        ending = self._end(note, outcomes, known=known)
        task = asyncio.get_running_loop().create_task(ending, context=contextvars.Context())
        self._ends[note.address] = task
        task.add_done_callback(lambda _: self._ends.pop(note.address))

    async def _end(self, note: Note, outcomes: str, *, known: bool) -> None:
        """Note the outcomes of a try, and that there is nothing else to know."""
        revision = self._clock.revision(note.revision)
        until = 0 if known else note.until
        ended = replace(note, revision=revision, until=until, outcomes=outcomes)
        try:
            await self._write(ended, expected=note.revision)
        except StoreError as error:
            # The call has done what it did: a retry will find the note that it runs, and delete
            # nothing that was created since.
            _log.warning("could not note the end of a delete", extra={"error": str(error)})

    async def _write(self, note: Note, *, expected: int) -> bool:
        return await self._notebook.write(
            note.address,
            note.encode(),
            revision=note.revision,
            expected=expected,
            expire_time=note.began + REMEMBERED_MICROS,
        )

    def _sweep_sometimes(self) -> None:
        """Not every store drops what has expired."""
        now = self._clock.now()
        if now - self._swept < _SWEEP_MICROS:
            return
        self._swept = now
        self._sweeping = asyncio.create_task(self._sweep(now), name="sweep-notes")

    async def _sweep(self, now: int) -> None:
        try:
            await self._notebook.sweep(
                _NAMESPACE, max_revision=revision_at(now - 2 * REMEMBERED_MICROS)
            )
        except StoreError as error:
            _log.warning("could not sweep the notes of deletes", extra={"error": str(error)})


def _letters(written: Sequence[Written]) -> str:
    """What to remember; not what was refused or failed, which a retry decides anew."""
    return "".join(
        _UNKNOWN if each.outcome is None else _OUTCOMES[each.outcome] for each in written
    )
