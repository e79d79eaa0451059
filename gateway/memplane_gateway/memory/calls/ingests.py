"""Notes of ingests that broke off, so that they go on where they were.

A note is a hint: which batches were answered, up to the first one with a refused item. It is written
behind the stream's back, a second apart, and may lag behind; sending a batch again is harmless, since
its memories know it (see `idempotency`). An ingest that comes to its end takes its note back: the same
ingest begins anew then, and finds what it wrote or writes what was deleted since.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging

from memplane_adapters.contract import Address, Kind, StoreError
from memplane_gateway.clock import Clock
from memplane_gateway.memory.calls.idempotency import REMEMBERED_MICROS
from memplane_gateway.memory.calls.notes import Notebook
from memplane_gateway.memory.calls.sweeps import NoteSweep
from memplane_gateway.memory.model import Caller

_NAMESPACE = ("ingests",)
_NOTE_SECONDS = 1.0
_ROUNDS = 10

_log = logging.getLogger(__name__)


class IngestNotes:
    """The notes of all ingests."""

    def __init__(self, notebook: Notebook, clock: Clock) -> None:
        self._notebook = notebook
        self._clock = clock
        self._sweep = NoteSweep(notebook, clock, _NAMESPACE, 2 * REMEMBERED_MICROS)
        self._ends: set[asyncio.Task[None]] = set()

    async def open(self, caller: Caller, ingest_id: str) -> IngestNote:
        """The note of an ingest, whose last stream this one is from now on.

        Without the control store nothing is known, which is right, and slower.
        """
        self._sweep.sweep_sometimes()
        note = IngestNote(
            self._notebook,
            self._clock,
            Address("", Kind.CONTROL, (*_NAMESPACE, caller.tenant), ingest_id),
        )
        try:
            await note.open()
        except StoreError as error:
            _log.warning("an ingest is not noted", extra={"error": str(error)})
        return note

    def keep_soon(self, note: IngestNote) -> None:
        """Note how far a stream came that broke off, behind the back of a caller who is gone."""
        task = asyncio.get_running_loop().create_task(note.keep(), context=contextvars.Context())
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)

    async def close(self) -> None:
        """Let what is being noted end."""
        await asyncio.gather(*self._ends)
        await self._sweep.close()


class IngestNote:
    """The note of one ingest, in the hands of one stream; of an older stream it takes no word."""

    def __init__(self, notebook: Notebook, clock: Clock, address: Address) -> None:
        self.acknowledged = 0
        """All batches up to this one were answered, by this stream or an earlier one."""
        self._notebook = notebook
        self._clock = clock
        self._address = address
        self._revision = 0
        """Under which it was last written by this stream; 0: this stream has no say."""
        self._whole = True
        self._noted = asyncio.get_running_loop().time()
        self._noting: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Read it and take it over. Raises StoreError."""
        for _ in range(_ROUNDS):
            data = await self._notebook.read(self._address)
            found, acknowledged = _decoded(data)
            if await self._write(acknowledged, expected=found):
                self.acknowledged = acknowledged
                return

    def answered(self, sequence: int, *, whole: bool) -> None:
        """A batch was answered; `whole`: with no refused item, of which a retry should hear too."""
        self._whole = self._whole and whole and sequence <= self.acknowledged + 1
        if not self._whole:
            return
        self.acknowledged = max(self.acknowledged, sequence)
        loop = asyncio.get_running_loop()
        if self._noting is None and loop.time() - self._noted >= _NOTE_SECONDS:
            self._noted = loop.time()
            self._noting = loop.create_task(
                self._note(self.acknowledged), context=contextvars.Context()
            )
            self._noting.add_done_callback(self._forget_task)

    async def keep(self) -> None:
        """The last word of a stream that broke off."""
        await self._end(self.acknowledged)

    async def take_back(self) -> None:
        """The last word of a stream that came to its end, before its caller hears of that."""
        await self._end(0)

    async def _end(self, acknowledged: int) -> None:
        if self._noting is not None:
            await asyncio.wait({self._noting})
        await self._note(acknowledged)

    async def _note(self, acknowledged: int) -> None:
        if not self._revision:
            return
        try:
            await self._write(acknowledged, expected=self._revision)
        except StoreError as error:
            _log.warning("an ingest is not noted", extra={"error": str(error)})

    async def _write(self, acknowledged: int, *, expected: int) -> bool:
        revision = self._clock.revision(expected)
        written = await self._notebook.write(
            self._address,
            json.dumps({"revision": revision, "acknowledged": acknowledged}).encode(),
            revision=revision,
            expected=expected,
            expire_time=self._clock.now() + REMEMBERED_MICROS,
        )
        self._revision = revision if written else 0
        return written

    def _forget_task(self, _: asyncio.Task[None]) -> None:
        self._noting = None


def _decoded(data: bytes | None) -> tuple[int, int]:
    """The revision of a note and what it says; 0 and 0 where there is none."""
    if data is None:
        return 0, 0
    note = json.loads(data)
    return int(note["revision"]), int(note["acknowledged"])
