"""Whose turn it is to sweep, among gateways that share a control store; and what the last sweep did.

One note in the control store names who sweeps. Who does, writes it anew all the time. A gateway that sees
the same note for `LEASE_SECONDS` of its own clock takes the turn of one that has died: no two clocks are
compared. Where a gateway that was only slow goes on, both sweep for a moment (`memory.lifecycle.sweeping`
says what that may cost a cap).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any, Final

from memplane_adapters.contract import Address, Kind, StoreError, StoreReason
from memplane_gateway.clock import Clock
from memplane_gateway.memory.calls.notes import Notebook
from memplane_gateway.sweeper.run import Run

LEASE_SECONDS = 30.0
_NOTE: Final = Address("", Kind.CONTROL, ("gateway",), "sweeper")
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class _Note:
    revision: int = 0
    holder: str = ""
    """Who sweeps now; empty is nobody."""
    last: Run | None = None

    def encode(self) -> bytes:
        last = None if self.last is None else self.last.encode()
        fields: dict[str, Any] = {"revision": self.revision, "holder": self.holder, "last": last}
        return json.dumps({"format": _FORMAT, **fields}).encode()

    @classmethod
    def decode(cls, data: bytes) -> _Note:
        try:
            read = json.loads(data)
            last = None if read["last"] is None else Run.decode(read["last"])
            return cls(int(read["revision"]), str(read["holder"]), last)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(StoreReason.DAMAGED, f"the sweeper's note: {error}") from error


class Turn:
    """This gateway's part in it. Everything raises StoreError when the control store fails."""

    def __init__(self, notebook: Notebook, clock: Clock, *, shared: bool) -> None:
        """`shared` says that other gateways may use the control store."""
        self._notebook = notebook
        self._clock = clock
        self._shared = shared
        self._name = secrets.token_hex(8)
        self._users = 0
        self._writing = asyncio.Lock()
        self._mine = _Note()
        self._seen = 0
        self._seen_at = 0.0

    async def last(self) -> Run | None:
        """The last sweep that ended."""
        return (await self._read()).last

    async def take(self) -> bool:
        """Begin to sweep; False while another gateway does. Taken twice it is to be left twice."""
        async with self._writing:
            if not self._users:
                note = await self._read()
                if note.holder not in ("", self._name) and self._shared and not self._is_dead(note):
                    return False
                if not await self._write(note, self._name, note.last):
                    return False
            self._users += 1
            return True

    async def keep(self) -> bool:
        """Say that this gateway still sweeps; False when it was taken for dead."""
        async with self._writing:
            return await self._write(self._mine, self._name, self._mine.last)

    async def leave(self, run: Run | None = None) -> None:
        """End a sweep, and note what it did."""
        async with self._writing:
            self._users -= 1
            holder = self._name if self._users else ""
            await self._write(self._mine, holder, run or self._mine.last)

    def _is_dead(self, note: _Note) -> bool:
        now = time.monotonic()
        if note.revision != self._seen:
            self._seen, self._seen_at = note.revision, now
        return now - self._seen_at >= LEASE_SECONDS

    async def _read(self) -> _Note:
        data = await self._notebook.read(_NOTE)
        return _Note() if data is None else _Note.decode(data)

    async def _write(self, there: _Note, holder: str, last: Run | None) -> bool:
        note = _Note(self._clock.revision(there.revision), holder, last)
        written = await self._notebook.write(
            _NOTE, note.encode(), revision=note.revision, expected=there.revision
        )
        if written:
            self._mine = note
        return written
