"""When reads see what was written.

Pinecone is eventual: a write stands in the log of its namespace at an LSN, and reads see the log up
to some LSN, which queries tell and fetches do not. So a read waits, by small queries, until the log
is indexed up to the last write that it must see: of the rows that it asks for by id, or of the whole
namespace. What this process wrote it knows; what others wrote they hand over as a token.

What was written before this process began, by one that was killed perhaps, nobody hands over. So for
as long as a write may take to be seen, the first read of a namespace writes something itself (it
deletes a row that there never is) and waits for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.pinecone import errors
from memplane_adapters.pinecone.collections import Place
from memplane_adapters.pinecone.engine import Engine

_MOST_IDS: Final = 10_000
"""Of a namespace; beyond, a read of any id waits for all."""
_MOST_IDS_OF_ALL: Final = 200_000
"""Of all namespaces: what is written and never read again is to be remembered in little room."""
_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.5
_FAREWELL: Final = 2.0
"""Seconds that a store waits at its end, so that the next one sees at once what it wrote."""
_NOBODY: Final = "nobody"
"""An id that no row has: ours are UUIDs."""


@dataclass(slots=True)
class _Log:
    """What may not be visible yet of one namespace."""

    written: int = 0
    """The last LSN that must be seen."""
    by_id: dict[str, int] = field(default_factory=dict)
    unknown: int = 0
    """The last LSN of which it is not known whose rows it wrote."""
    reached: int = 0
    met: bool = False
    """Whether it is known what was written before this process began."""
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def wanted(self, ids: Sequence[str] | None) -> int:
        """The LSN that a read of these rows (None: of any) must see."""
        if ids is None:
            return self.written
        return max(self.unknown, 0, *(self.by_id.get(one, 0) for one in ids))

    def must_see(self, lsn: int) -> None:
        """Every read is to see that."""
        self.written = max(self.written, lsn)
        self.unknown = max(self.unknown, lsn)

    def saw(self, lsn: int) -> int:
        """Reads see the log up to there; says how many ids need not be known any more."""
        before = len(self.by_id)
        self.reached = max(self.reached, lsn)
        self.by_id = {one: at for one, at in self.by_id.items() if at > self.reached}
        if self.unknown <= self.reached:
            self.unknown = 0
        return before - len(self.by_id)

    def forget_ids(self) -> int:
        """From now on a read of any id waits for all that was written; says of how many it was known."""
        before = len(self.by_id)
        self.by_id = {}
        if before:
            self.unknown = self.written
        return before


class Visibility:
    """The logs of one store's namespaces, as far as this process must wait for them."""

    def __init__(self, engine: Engine, patience: float) -> None:
        self._engine = engine
        self._patience = patience
        self._young_until = 0.0
        self._ids = 0
        self._logs: dict[tuple[str, str], tuple[Place | None, _Log]] = {}

    def begin(self) -> None:
        """The process begins to use the store."""
        self._young_until = time.monotonic() + self._patience

    async def settle(self) -> None:
        """Wait a little for what was written; whoever reads next need not."""
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                for (_, namespace), (place, _) in list(self._logs.items()):
                    if place is not None:
                        await self.wait(place, namespace)

    def wrote(self, place: Place, namespace: str, ids: Sequence[str], lsn: int | None) -> None:
        """A write was acknowledged; without an LSN nothing can be waited for."""
        if lsn is None:
            return
        log = self._log(place, namespace)
        log.written = max(log.written, lsn)
        before = len(log.by_id)
        log.by_id.update(dict.fromkeys(ids, lsn))
        self._ids += len(log.by_id) - before
        if len(log.by_id) > _MOST_IDS:
            self._ids -= log.forget_ids()
        if self._ids > _MOST_IDS_OF_ALL:
            self._ids -= sum(each.forget_ids() for _, each in self._logs.values())

    def token(self, place: Place, namespace: str) -> str:
        """What another process passes to `reach`; empty when all that was written is to be seen."""
        _, log = self._logs.get((place.name, namespace), (None, _Log()))
        if log.reached >= log.written:
            return ""
        return json.dumps([place.name, namespace, log.written])

    def reach(self, token: str) -> None:
        """From now on reads see the write that gave this token. Raises UNSUPPORTED if none did."""
        try:
            name, namespace, lsn = json.loads(token)
            key, lsn = (str(name), str(namespace)), int(lsn)
        except (TypeError, ValueError):
            raise StoreError(
                StoreReason.UNSUPPORTED, "a consistency token is of another store"
            ) from None
        _, log = self._logs.setdefault(key, (None, _Log()))
        log.must_see(lsn)

    async def wait(self, place: Place, namespace: str, ids: Sequence[str] | None = None) -> None:
        """Return once a read of these rows (None: of any) sees what it must. Raises TIMEOUT."""
        young = time.monotonic() < self._young_until
        if not young and (place.name, namespace) not in self._logs:
            return
        log = self._log(place, namespace)
        if young and not log.met:
            async with log.asking:
                if not log.met:
                    await self._meet(place, namespace, log)
        target = log.wanted(ids)
        if target > log.reached:
            async with log.asking:
                await self._poll(place, namespace, log, target)
        if not young and log.reached >= log.written:
            self._forget(place, namespace, log)

    async def wait_for_all(self, place: Place) -> None:
        """As `wait`, for every namespace of an index."""
        for name, namespace in list(self._logs):
            if name == place.name:
                await self.wait(place, namespace)

    def _forget(self, place: Place, namespace: str, log: _Log) -> None:
        """All of a log is seen. Another that was begun since, for a later write, stays."""
        key = (place.name, namespace)
        if key in self._logs and self._logs[key][1] is log:
            self._ids -= log.forget_ids()
            del self._logs[key]

    def _log(self, place: Place, namespace: str) -> _Log:
        key = (place.name, namespace)
        _, log = self._logs.get(key, (None, _Log()))
        self._logs[key] = (place, log)
        return log

    async def _meet(self, place: Place, namespace: str, log: _Log) -> None:
        """Learn how far the log goes. What may not write, or is not there yet, learns nothing."""
        try:
            lsn = await self._engine.write(
                place.host, lambda index: index.delete(ids=[_NOBODY], namespace=namespace)
            )
        except StoreError as error:
            if error.reason is not StoreReason.MISCONFIGURED:
                raise
            lsn = None
        if lsn is not None:
            log.must_see(lsn)
        log.met = True

    async def _poll(self, place: Place, namespace: str, log: _Log, target: int) -> None:
        end, pause = time.monotonic() + self._patience, _FIRST_PAUSE
        direction = [1.0] + [0.0] * (place.dimension - 1)
        while log.reached < target:
            found = await self._engine.read(
                place.host,
                lambda index: index.query(top_k=1, vector=direction, namespace=namespace),
            )
            told = found.response_info.lsn_reconciled if found.response_info else None
            if told is None:
                raise errors.malformed("Pinecone does not say how far a namespace is indexed")
            self._ids -= log.saw(told)
            if log.reached >= target:
                return
            if time.monotonic() > end:
                raise errors.invisible(self._patience)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
