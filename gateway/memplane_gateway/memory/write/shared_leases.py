"""Leases in a control store that several gateways share, beside those in the process of each.

One entry a memory says who may write it. It is taken, renewed and given back by compare-and-set, all
memories of a call with one put. No gateway trusts another one's clock: a holder counts its time from
before it asked, others from when they first saw the entry, on clocks that only measure. So a holder
that dies keeps others out for `LEASE_SECONDS` from when they first wanted the memory.

A write counts as done when it ended in time, or when its lease can be given back afterwards: then the
entry is as the holder left it, and nobody else had it in between.

The revision at which a lease was taken is its fence. Revisions of memories written under it are above
it, and below those of the next holder. The entry keeps for an hour under which fence the memory was
last written or deleted: a read that shows less is older than that.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import json
import logging
import random
import secrets
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from memplane_adapters.contract import (
    Address,
    Entry,
    KeyValueStore,
    Kind,
    Scope,
    Stored,
    StoreError,
    StoreReason,
    Write,
    WriteResult,
    WriteStatus,
)
from memplane_gateway.clock import Clock, revision_at
from memplane_gateway.deadline import remaining
from memplane_gateway.errors import Code, MemplaneError, Reason

LEASE_SECONDS = 10.0
KEPT_SECONDS = 3600
"""How long an entry is kept that nobody has touched."""

_NAMESPACE = ("leases",)
_SAFE = 0.9
"""The part of its time that a holder relies on: clocks do not run alike."""
_FIRST_PAUSE_SECONDS = 0.002
_LONGEST_PAUSE_SECONDS = 0.02
_MOST_SEEN = 10_000
"""Entries that are remembered; many more than one call can name."""
_SWEEP_SECONDS = 600.0
_CLOSE_SECONDS = 5.0
_TICK_SECONDS = 0.005
"""Timers of event loops go off so much too early at most."""

_log = logging.getLogger(__name__)


def elapsed() -> float:
    """Seconds on a clock that only goes on, also while the machine sleeps where there is such one."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@dataclass(frozen=True, slots=True)
class Note:
    """What the entry of one memory says."""

    revision: int
    """The entry's own; a store gives back the record alone."""
    holder: str = ""
    """Which gateway has the lease; nobody is empty."""
    fence: int = 0
    written: int = 0
    """The fence under which the memory was last written or deleted; 0 is not known."""
    gone: bool = False
    """Whether that was a delete."""
    place: str = ""
    """Where that was: another store may hold something else."""


@dataclass(slots=True)
class _Seen:
    note: Note
    since: float
    """When it was first seen as it is."""


class Grant:
    """The leases of one call's memories, renewed until they are given back."""

    def __init__(self, leases: SharedLeases, notes: Mapping[str, Note], began: float) -> None:
        self._leases = leases
        self._notes = dict(notes)
        self._lock = asyncio.Lock()
        self._lost = False
        self._release: asyncio.Task[bool] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._extend(began)

    @property
    def sure(self) -> bool:
        """Whether nobody else can have these leases yet."""
        return not self._lost and elapsed() < self._until

    @property
    def contended(self) -> bool:
        """Whether another gateway wanted one of these memories lately."""
        return any(map(self._leases.is_contended, self._notes))

    def is_stale(self, address: Address, revision: int | None) -> bool:
        """Whether a read of a memory is older than the last write known; None is no row."""
        note = self._notes[name_of(address)]
        if not note.written or note.place != self._leases.place:
            return False
        if revision is None:
            return not note.gone
        return revision < note.written

    def wrote(self, addresses: Iterable[Address], *, gone: bool) -> None:
        """Note that memories were written, or deleted, under these leases."""
        for address in addresses:
            name = name_of(address)
            note = self._notes[name]
            self._notes[name] = replace(
                note, written=note.fence, gone=gone, place=self._leases.place
            )

    def release(self) -> asyncio.Task[bool]:
        """Give the leases back, if that is not under way yet, whoever waits for it.

        The answer says whether nobody else had one of them since they were taken; raises
        UNAVAILABLE when nobody knows.
        """
        if self._release is None:
            if self._timer is not None:
                self._timer.cancel()
            self._release = self._leases.spawn(self._give_back())
        return self._release

    async def _give_back(self) -> bool:
        async with self._lock:
            if self._lost:
                return False
            free = {name: replace(note, holder="") for name, note in self._notes.items()}
            return await self._replace(free)

    def _extend(self, began: float) -> None:
        self._until = began + self._leases.seconds * _SAFE
        self._renew_in(self._leases.seconds / 3)

    def _renew_in(self, seconds: float) -> None:
        if self._release is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(seconds, lambda: self._leases.spawn(self._renew()))

    async def _renew(self) -> None:
        async with self._lock:
            if self._release is not None:
                return
            began = elapsed()
            try:
                # Applied also means that nobody had it, even if it came late.
                self._lost = not await self._replace(self._notes)
            except MemplaneError:
                self._renew_in(self._leases.seconds / 10)
                return
        if self._lost:
            _log.warning("another gateway took over a lease of a write that was under way")
        else:
            self._extend(began)

    async def _replace(self, notes: Mapping[str, Note]) -> bool:
        """Write our entries anew; says whether they were ours until then."""
        behind = await self._put(notes)
        if not behind:
            return True
        # One that we sent before may have arrived although its answer did not.
        found = await self._leases.look(behind)
        again = {}
        for name in behind:
            note = found[name]
            if note is None or note.fence != notes[name].fence:
                return False
            again[name] = replace(notes[name], revision=note.revision)
        return not await self._put(again)

    async def _put(self, notes: Mapping[str, Note]) -> list[str]:
        """Write entries; says in whose place another stood."""
        new, results = await self._leases.put(notes)
        for name, result in results.items():
            if result.status is WriteStatus.APPLIED:
                self._notes[name] = new[name]
        return [
            name for name, result in results.items() if result.status is not WriteStatus.APPLIED
        ]


class SharedLeases:
    """The leases of the memories of one store and kind, in a store that gateways share."""

    def __init__(
        self,
        store: KeyValueStore,
        clock: Clock,
        *,
        place: str = "",
        seconds: float = LEASE_SECONDS,
    ) -> None:
        self.place = place
        self.seconds = seconds
        self._store = store
        self._clock = clock
        self._holder = secrets.token_hex(8)
        self._seen: dict[str, _Seen] = {}
        self._contended: dict[str, float] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._swept = elapsed()

    async def close(self) -> None:
        """Finish giving back what is being given back; what takes too long runs out."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def take(self, addresses: Iterable[Address]) -> Grant:
        """Leases for all of these memories, once no other gateway has one of them.

        The caller keeps others in its own process away, and ends the call at its deadline. Raises
        UNAVAILABLE when the control store fails: nothing was written.
        """
        self._sweep_at_times()
        names = sorted(map(name_of, addresses))
        pause = _FIRST_PAUSE_SECONDS
        while True:
            held = [name for name in names if not self._is_free(name)]
            if not held:
                began = elapsed()
                taken, held = await self._claim(names)
                if not held:
                    return Grant(self, taken, began)
                await self.look(held)
                if all(map(self._is_free, held)) and pause == _FIRST_PAUSE_SECONDS:
                    pause *= 2
                    continue  # what was known of them was old, and that is all
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 (spreads gateways, no secret)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            await self.look(held)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Do something that no caller's deadline or patience ends."""
        task = asyncio.create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def put(
        self, notes: Mapping[str, Note], *, atomic: bool = False
    ) -> tuple[dict[str, Note], dict[str, WriteResult]]:
        """Write entries in place of the revisions that their notes have. Raises UNAVAILABLE.

        Says what the entries are then, and what became of each write.
        """
        now = self._clock.now()
        new = {
            name: replace(note, revision=self._clock.revision(note.revision))
            for name, note in notes.items()
        }
        writes = [Write(_entry(name, new[name], now), notes[name].revision) for name in notes]
        try:
            results = await self._store.put(writes, atomic=atomic)
        except StoreError as error:
            raise control_failure(error) from error
        for name, result in zip(notes, results, strict=True):
            if result.status is WriteStatus.APPLIED:
                self._know(name, new[name])
            elif result.error is not None:
                raise control_failure(result.error)
        return new, dict(zip(notes, results, strict=True))

    async def look(self, names: Sequence[str]) -> dict[str, Note | None]:
        """Read entries; None where there is none. Raises UNAVAILABLE."""
        try:
            found = await self._store.get([_address(name) for name in names])
            notes = {
                name: None if stored is None else _note(stored)
                for name, stored in zip(names, found, strict=True)
            }
        except StoreError as error:
            raise control_failure(error) from error
        for name, note in notes.items():
            if note is None:
                self._seen.pop(name, None)
                continue
            if note.holder not in ("", self._holder):
                self._contended[name] = elapsed()
                _limit(self._contended)
            self._know(name, note)
        return notes

    def is_contended(self, name: str) -> bool:
        """Whether another gateway had or wanted it lately."""
        seen = self._contended.get(name)
        return seen is not None and elapsed() - seen < self.seconds

    async def _claim(self, names: Sequence[str]) -> tuple[dict[str, Note], list[str]]:
        """Take all of them, or none; the entries, and those that stood in the way."""
        work = self.spawn(self._put_claims(names))
        try:
            taken, held = await asyncio.shield(work)
        except asyncio.CancelledError:
            self.spawn(self._give_up(work))
            raise
        if held and taken:
            await self._give_back(taken)
        return taken, held

    async def _put_claims(self, names: Sequence[str]) -> tuple[dict[str, Note], list[str]]:
        claims = {}
        for name in names:
            seen = self._seen.get(name)
            note = Note(0) if seen is None else seen.note
            if note.holder not in ("", self._holder):
                _log.warning("taking over the lease of a gateway that is not heard of any more")
            claims[name] = replace(note, holder=self._holder)
        able = self._store.capabilities
        atomic = able.atomic and (not able.max_batch_items or len(names) <= able.max_batch_items)
        new, results = await self.put(_fenced(claims, self._clock), atomic=atomic)
        taken = {
            name: new[name]
            for name, result in results.items()
            if result.status is WriteStatus.APPLIED
        }
        held = [name for name, result in results.items() if result.status is WriteStatus.CONFLICT]
        return taken, held

    async def _give_up(self, work: asyncio.Task[tuple[dict[str, Note], list[str]]]) -> None:
        """Give back what a call that has ended may have taken yet."""
        try:
            taken, _ = await work
        except MemplaneError:
            return  # taken or not: it is ours, and free for others after its time
        await self._give_back(taken)

    async def _give_back(self, taken: Mapping[str, Note]) -> None:
        try:
            await self.put({name: replace(note, holder="") for name, note in taken.items()})
        except MemplaneError:
            _log.info("leases could not be given back; they run out")

    def _is_free(self, name: str) -> bool:
        """Whether it may be taken as far as is known. What is ours already nobody here uses."""
        seen = self._seen.get(name)
        if seen is None or seen.note.holder in ("", self._holder):
            return True
        return elapsed() - seen.since >= self.seconds

    def _know(self, name: str, note: Note) -> None:
        seen = self._seen.pop(name, None)
        if seen is None or seen.note.revision != note.revision:
            seen = _Seen(note, elapsed())
        self._seen[name] = seen
        _limit(self._seen)

    def _sweep_at_times(self) -> None:
        if self._store.capabilities.expiry or elapsed() - self._swept < _SWEEP_SECONDS:
            return
        self._swept = elapsed()
        self.spawn(self._sweep())

    async def _sweep(self) -> None:
        """Delete what nobody has touched for its time, where the store does not."""
        old = revision_at(self._clock.now() - KEPT_SECONDS * 1_000_000)
        everything = Scope("", Kind.CONTROL, alive_at=0, namespace=_NAMESPACE)
        try:
            await self._store.delete_where(everything, max_revision=old)
        except StoreError as error:
            _log.info("old leases could not be deleted", extra={"error": str(error)})


def name_of(address: Address) -> str:
    """What the lease of a memory is called, wherever the memory is kept."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (address.tenant, address.kind.value, *address.namespace, address.key):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def control_failure(error: StoreError) -> MemplaneError:
    """What a caller hears when the control store fails. Its own text goes to the log."""
    left = remaining()
    if error.reason is StoreReason.TIMEOUT and left is not None and left < _TICK_SECONDS:
        return MemplaneError(
            Code.DEADLINE_EXCEEDED,
            Reason.DEADLINE_PASSED,
            "the deadline passed before the control store answered; nothing was written",
        )
    _log.warning(
        "the control store failed", extra={"reason": error.reason.value, "error": str(error)}
    )
    return MemplaneError(
        Code.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
        "the gateway's control store does not answer, and this needs it; nothing was written; "
        "try again later",
        metadata={"store": "control"},
        retry_after=error.retry_after or 1.0,
    )


def _fenced(claims: Mapping[str, Note], clock: Clock) -> dict[str, Note]:
    """Claims under a fence above every revision so far."""
    fence = clock.revision(max(note.revision for note in claims.values()))
    return {name: replace(note, fence=fence) for name, note in claims.items()}


def _address(name: str) -> Address:
    return Address("", Kind.CONTROL, _NAMESPACE, name)


def _entry(name: str, note: Note, now: int) -> Entry:
    return Entry(
        address=_address(name),
        revision=note.revision,
        update_time=now,
        time=now,
        expire_time=now + KEPT_SECONDS * 1_000_000,
        record=json.dumps(asdict(note), separators=(",", ":")).encode(),
    )


def _note(stored: Stored) -> Note:
    try:
        return Note(**json.loads(stored.record))
    except (TypeError, ValueError) as error:
        raise StoreError(StoreReason.PROTOCOL, f"a lease cannot be read: {error}") from error


def _limit(known: dict[str, Any]) -> None:
    while len(known) > _MOST_SEEN:
        del known[next(iter(known))]
