"""Clean up after notes in the control store: not every store drops what has expired."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import Protocol

from memplane_adapters.contract import StoreError
from memplane_gateway.clock import Clock, revision_at

_EVERY_MICROS = 3600 * 1_000_000

_log = logging.getLogger(__name__)


class Sweepable(Protocol):
    """The control store, as far as this needs it."""

    async def sweep(self, namespace: tuple[str, ...], *, max_revision: int) -> int:
        """Delete what was written below a namespace up to a revision; says how much."""
        ...


class NoteSweep:
    """Deletes the old notes of one namespace, an hour apart at least and behind callers' backs."""

    def __init__(
        self, store: Sweepable, clock: Clock, namespace: tuple[str, ...], older_than: int
    ) -> None:
        """`older_than` is in microseconds."""
        self._store = store
        self._clock = clock
        self._namespace = namespace
        self._older_than = older_than
        self._swept = 0
        self._sweeping: asyncio.Task[None] | None = None

    def sweep_sometimes(self) -> None:
        """Begin a sweep, when the last one is long ago."""
        now = self._clock.now()
        if now - self._swept < _EVERY_MICROS:
            return
        self._swept = now
        self._sweeping = asyncio.get_running_loop().create_task(
            self._sweep(now), name="sweep-notes", context=contextvars.Context()
        )

    async def close(self) -> None:
        """End what is under way."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)

    async def _sweep(self, now: int) -> None:
        try:
            await self._store.sweep(
                self._namespace, max_revision=revision_at(now - self._older_than)
            )
        except StoreError as error:
            _log.warning("could not sweep notes", extra={"error": str(error)})
