"""Notes of calls that delete, so that one that is sent again takes effect once.

What is deleted leaves no record to remember the call (see `idempotency`), so a call with a request id
is noted in the control store for 24 hours: that it runs, before anything is deleted, and what came of
it afterwards. Without a request id nothing is noted and the control store is not asked.

A try that broke off (its gateway was killed, a store failed) leaves a note that says how far it came,
as far as that is known; the next try goes on from there.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from memplane_adapters.contract import Address, Kind, StoreError, StoreReason
from memplane_gateway.clock import Clock
from memplane_gateway.deadline import remaining
from memplane_gateway.memory.calls.idempotency import (
    DELAY_SECONDS,
    REMEMBERED_MICROS,
    reused,
    still_running,
)
from memplane_gateway.memory.calls.note_sweep import NoteSweep, Sweepable
from memplane_gateway.memory.model import Caller, Operation
from memplane_gateway.memory.write.leases import OVERTIME_SECONDS
from memplane_gateway.memory.write.shared_leases import control_failure

_FORMAT = 1

_LONGEST_CALL_SECONDS = 30.0
"""Of a call without a deadline; there is none over the wire."""

_ROUNDS = 10

_log = logging.getLogger(__name__)


class Notebook(Sweepable, Protocol):
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
    """What came of it, in the words of the operation."""

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
            raise StoreError(StoreReason.PROTOCOL, f"no note of a call: {error}") from error
        if not known:
            raise StoreError(StoreReason.PROTOCOL, "a note of another release")
        return note


class CallNotes:
    """The notes of one operation. A call must not run twice at a time in one process (see `Running`)."""

    def __init__(
        self,
        notebook: Notebook,
        clock: Clock,
        operation: Operation,
        is_over: Callable[[str], bool],
        *,
        shared: bool = False,
    ) -> None:
        """`is_over` says of outcomes that nothing is left to do.

        `shared` says that other gateways may use the control store.
        """
        self._namespace = ("requests", operation.value)
        self._is_over = is_over
        self._notebook = notebook
        self._clock = clock
        self._shared = shared
        self._owner = secrets.token_hex(8)
        self._ends: dict[Address, asyncio.Task[None]] = {}
        self._sweep = NoteSweep(notebook, clock, self._namespace, 2 * REMEMBERED_MICROS)

    async def begin(self, caller: Caller, unknown: str) -> tuple[Note, int | None]:
        """The note of a call, which now says that it runs unless it was over before.

        `unknown` are the outcomes of a call of which nothing is done. With the note comes when a try
        began of which nobody knows what it did, if there was one.

        Raises ALREADY_EXISTS when the request id was that of another call, ABORTED when the call
        still runs elsewhere, UNAVAILABLE when the control store does not answer.
        """
        address = Address("", Kind.CONTROL, (*self._namespace, caller.tenant), caller.request_id)
        if address in self._ends:
            await asyncio.shield(self._ends[address])
        try:
            return await self._written(address, caller, unknown)
        except StoreError as error:
            raise control_failure(error) from error

    def end_soon(self, note: Note, outcomes: str, *, known: bool) -> None:
        """Note the end of a try behind its caller's back: only a retry needs it, and waits for it.

        Without `known` it may still be going on somewhere. Should the gateway die before, a retry
        finds the outcomes that were noted at the beginning.
        """
        ending = self._end(note, outcomes, known=known)
        task = asyncio.get_running_loop().create_task(ending, context=contextvars.Context())
        self._ends[note.address] = task
        task.add_done_callback(lambda _: self._ends.pop(note.address))
        self._sweep.sweep_sometimes()

    async def close(self) -> None:
        """Let what is being noted end, and end the sweep."""
        await asyncio.gather(*self._ends.values())
        await self._sweep.close()

    async def _written(
        self, address: Address, caller: Caller, unknown: str
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
                outcomes=unknown,
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
                if self._is_over(found.outcomes):
                    return found, None
                note = replace(note, began=found.began, outcomes=found.outcomes)
                since = found.began if found.until else None
            note = replace(note, revision=self._clock.revision(found.revision))
            if await self._write(note, expected=found.revision):
                return note, since
        raise still_running(caller.request_id, DELAY_SECONDS)

    def _runs_elsewhere(self, found: Note, now: int) -> bool:
        return self._shared and found.owner != self._owner and now < found.until

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
            _log.warning("could not note the end of a call", extra={"error": str(error)})

    async def _write(self, note: Note, *, expected: int) -> bool:
        return await self._notebook.write(
            note.address,
            note.encode(),
            revision=note.revision,
            expected=expected,
            expire_time=note.began + REMEMBERED_MICROS,
        )
