"""Figures about memories: what the store can say at once, and else what a bounded walk sees."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from memplane_adapters.contract import All, Condition, Filter, Op, Order, Scan
from memplane_gateway.clock import Clock
from memplane_gateway.memory.model import Caller, Record
from memplane_gateway.memory.planning import plan
from memplane_gateway.memory.questions import Selection, Statistics
from memplane_gateway.memory.shelf import Shelf
from memplane_gateway.memory.walking import visit, walk

_IMPORTANT = Condition(("@importance",), Op.EXISTS, operand=True)


@dataclass(slots=True)
class _Seen:
    """What a walk has seen."""

    count: int = 0
    oldest: int | None = None
    newest: int | None = None
    importances: list[float] = field(default_factory=list)

    def see(self, record: Record) -> None:
        """One more."""
        self.count += 1
        self.oldest = record.time if self.oldest is None else min(self.oldest, record.time)
        self.newest = record.time if self.newest is None else max(self.newest, record.time)
        if record.content.importance is not None:
            self.importances.append(record.content.importance)

    @property
    def mean(self) -> float | None:
        """The mean importance, whatever the order in which they came."""
        if not self.importances:
            return None
        return math.fsum(self.importances) / len(self.importances)


class Statistician:
    """Figures about one shelf."""

    def __init__(self, shelf: Shelf, clock: Clock, scan_budget: int) -> None:
        self._shelf = shelf
        self._clock = clock
        self._scan_budget = scan_budget

    async def of(self, caller: Caller, selection: Selection) -> Statistics:
        """The figures of what is selected."""
        scope = selection.scope(caller.tenant, self._clock.now())
        planned = plan(selection.filter, self._shelf.capabilities)
        scan = Scan(scope=scope, budget=self._scan_budget, filter=planned.pushed)
        seen = _Seen()
        if planned.residual is not None:
            end = await visit(self._shelf, scan, planned.residual, seen.see)
            cut = end.next is not None
            return Statistics(
                count=seen.count,
                oldest=seen.oldest,
                newest=seen.newest,
                mean_importance=seen.mean,
                importance_count=len(seen.importances),
                truncated=cut,
                filter=planned.report(end.scanned, truncated=cut),
            )
        counted = await self._shelf.count(scope, planned.pushed)
        important = plan(_both(selection.filter, _IMPORTANT), self._shelf.capabilities)
        end = await visit(
            self._shelf,
            Scan(scope=scope, budget=self._scan_budget, filter=important.pushed),
            important.residual,
            seen.see,
        )
        oldest, late = await self._time(scan, descending=False)
        newest, early = await self._time(scan, descending=True)
        return Statistics(
            count=counted.count,
            oldest=oldest,
            newest=newest,
            mean_importance=seen.mean,
            importance_count=len(seen.importances),
            truncated=end.next is not None or late or early or not counted.exact,
            filter=planned.report(counted.scanned + end.scanned, truncated=not counted.exact),
        )

    async def _time(self, scan: Scan, *, descending: bool) -> tuple[int | None, bool]:
        """When the first memory of an order by time happened, and whether the budget hid it."""
        first = Scan(
            scope=scan.scope,
            order=Order.TIME,
            descending=descending,
            limit=1,
            budget=scan.budget,
            filter=scan.filter,
        )
        rows, end = await walk(self._shelf, first, None)
        return (rows[0].record.time, False) if rows else (None, end.next is not None)


def _both(tree: Filter | None, condition: Condition) -> Filter:
    return condition if tree is None else All((tree, condition))
