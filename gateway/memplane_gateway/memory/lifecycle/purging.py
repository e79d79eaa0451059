"""Purges: delete by namespace and filter what was there when the purge began (see `deleting`).

A token says where the next call goes on, and under which revision.
"""

from __future__ import annotations

from memplane_adapters.contract import Scan, StoreError, compile_filter
from memplane_gateway.clock import Clock
from memplane_gateway.errors import MemplaneError
from memplane_gateway.memory.lifecycle.deleting import Deleter, Progress, broken_off
from memplane_gateway.memory.lifecycle.resuming import Resuming
from memplane_gateway.memory.model import Caller, Record
from memplane_gateway.memory.planning import plan
from memplane_gateway.memory.questions import FilterReport, Purge, Purged
from memplane_gateway.memory.shelf import Shelf, fields_of
from memplane_gateway.memory.tokens import PageTokens
from memplane_gateway.memory.walking import tally


class Purger:
    """Purges one shelf."""

    def __init__(
        self,
        route: str,
        shelf: Shelf,
        clock: Clock,
        deleter: Deleter,
        tokens: PageTokens,
        *,
        scan_budget: int,
    ) -> None:
        self._route = route
        self._shelf = shelf
        self._clock = clock
        self._deleter = deleter
        self._resuming = Resuming(clock, tokens)
        self._scan_budget = scan_budget

    def begin(self, caller: Caller, purge: Purge) -> Progress:
        """Where a call begins. Raises INVALID_ARGUMENT for a token of another purge."""
        return self._resuming.begin(caller, purge)

    async def run(self, caller: Caller, purge: Purge, progress: Progress) -> Purged:
        """Delete until the call is over, and note in `progress` how far it came.

        A failure says with `purged` in its metadata how many memories were deleted before.
        """
        if progress.over:
            return Purged(progress.count, progress.token, replayed=True)
        try:
            report = await self._delete_all(caller, purge, progress)
        except (StoreError, MemplaneError) as error:
            if not progress.count:
                raise
            raise broken_off(self._route, "purge", error, "purged", progress.count) from error
        return Purged(progress.count, progress.token, report)

    async def count(self, caller: Caller, purge: Purge, progress: Progress) -> Purged:
        """What a purge from here on would delete; with a token it stopped before its end."""
        scope = purge.selection.scope(caller.tenant, self._clock.now())
        planned = plan(purge.selection.filter, self._shelf.capabilities)
        if planned.residual is None and progress.after is None:
            counted = await self._shelf.count(scope, planned.pushed)
            if counted.exact:
                report = planned.report(counted.scanned, truncated=False)
                return Purged(counted.count, filter=report)
        scan = Scan(
            scope=scope, after=progress.after, budget=self._scan_budget, filter=planned.pushed
        )
        count, end = await tally(self._shelf, scan, planned.residual or _everything)
        self._resuming.end(caller, purge, progress, end.next)
        report = planned.report(end.scanned, truncated=end.next is not None)
        return Purged(count, progress.token, report)

    async def _delete_all(
        self, caller: Caller, purge: Purge, progress: Progress
    ) -> FilterReport | None:
        tree = purge.selection.filter
        planned = plan(tree, self._shelf.capabilities)
        matches = _everything if tree is None else compile_filter(tree)

        def gone(_: Record) -> None:
            progress.count += 1

        scope = purge.selection.scope(caller.tenant, self._clock.now())
        scanned = await self._deleter.walk(
            Scan(scope=scope, filter=planned.pushed),
            planned.residual,
            lambda record: matches(fields_of(record)),
            progress,
            gone,
        )
        self._resuming.end(caller, purge, progress, progress.after)
        return planned.report(scanned, truncated=progress.after is not None)


def _everything(_: object) -> bool:
    return True
