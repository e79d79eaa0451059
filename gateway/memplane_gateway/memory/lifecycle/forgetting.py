"""Forget: delete what is too old, too long unchanged or no longer important enough (see `deleting`).

What a store can evaluate of the conditions goes to it as a filter; decay is decided on the record. Ages
are measured from when the first call began, which is the wall time of the revision that bounds it.
"""

from __future__ import annotations

from dataclasses import replace

from memplane_adapters.contract import (
    All,
    AnyOf,
    Condition,
    Filter,
    Kind,
    Op,
    Scan,
    StoreError,
    compile_filter,
    from_micros,
)
from memplane_gateway.clock import Clock, micros_of
from memplane_gateway.errors import MemplaneError
from memplane_gateway.memory.lifecycle.decay import born, decayed_importance
from memplane_gateway.memory.lifecycle.deleting import Deleter, Progress, broken_off
from memplane_gateway.memory.lifecycle.resuming import Resuming
from memplane_gateway.memory.model import Caller, Record
from memplane_gateway.memory.planning import plan
from memplane_gateway.memory.questions import FilterReport, Forget, Forgotten, ForgottenMemory
from memplane_gateway.memory.search.weights import UNSAID_IMPORTANCE
from memplane_gateway.memory.shelf import Shelf, fields_of
from memplane_gateway.memory.tokens import PageTokens

TOLD = 100
"""Memories that a receipt names."""


class Forgetter:
    """Forgets what is on one shelf."""

    def __init__(
        self, route: str, shelf: Shelf, clock: Clock, deleter: Deleter, tokens: PageTokens
    ) -> None:
        self._route = route
        self._shelf = shelf
        self._clock = clock
        self._deleter = deleter
        self._resuming = Resuming(clock, tokens)

    def begin(self, caller: Caller, forget: Forget) -> Progress:
        """Where a call begins. Raises INVALID_ARGUMENT for a token of another one."""
        return self._resuming.begin(caller, forget)

    async def run(
        self, caller: Caller, forget: Forget, progress: Progress, *, dry_run: bool = False
    ) -> Forgotten:
        """Delete until the call is over, and note in `progress` how far it came.

        A failure says with `forgotten` in its metadata how many memories were deleted before. A dry
        run finds them alone.
        """
        if progress.over:
            return _receipt(progress, None, replayed=True)
        try:
            report = await self._walk(caller, forget, progress, dry_run=dry_run)
        except (StoreError, MemplaneError) as error:
            if dry_run or not progress.count:
                raise
            raise broken_off(self._route, "forget", error, "forgotten", progress.count) from error
        return _receipt(progress, report, replayed=False)

    async def _walk(
        self, caller: Caller, forget: Forget, progress: Progress, *, dry_run: bool
    ) -> FilterReport | None:
        now = micros_of(progress.bound)
        tree = filter_of(forget, now)
        planned, matches = plan(tree, self._shelf.capabilities), compile_filter(tree)

        def doomed(record: Record) -> bool:
            return matches(fields_of(record)) and not is_worth_keeping(forget, record, now)

        def gone(record: Record) -> None:
            progress.count += 1
            if len(progress.told) < TOLD:
                progress.told.append(_judged(forget, record, now))

        scope = forget.selection.scope(caller.tenant, self._clock.now())
        scanned = await self._deleter.walk(
            Scan(scope=scope, filter=planned.pushed),
            planned.residual,
            doomed,
            progress,
            gone,
            dry_run=dry_run,
        )
        self._resuming.end(caller, forget, progress, progress.after)
        report = planned.report(scanned, truncated=progress.after is not None)
        if report is None or forget.half_life is None:
            return report
        return replace(report, residual=True)


def filter_of(forget: Forget, now: int) -> Filter:
    """What the memories to forget match, and with a half-life some others too."""
    parts: list[Filter] = [Condition(("@pinned",), Op.EQ, operand=False)]
    field = "@event_time" if forget.selection.kind is Kind.EPISODIC else "@create_time"
    if forget.older_than is not None:
        parts.append(_up_to(field, now - forget.older_than))
    if forget.inactive_for is not None:
        parts.append(_up_to("@update_time", now - forget.inactive_for))
    below = forget.importance_below
    if below is not None and forget.half_life is None:
        less: Filter = Condition(("@importance",), Op.LT, below)
        if below > UNSAID_IMPORTANCE:
            less = AnyOf((less, Condition(("@importance",), Op.IS_NULL, operand=True)))
        parts.append(less)
    if forget.selection.filter is not None:
        parts.append(forget.selection.filter)
    return All(tuple(parts))


def is_worth_keeping(forget: Forget, record: Record, now: int) -> bool:
    """Whether its importance, decayed, keeps a memory."""
    below = forget.importance_below
    return below is not None and decayed_importance(record, now, forget.half_life) >= below


def _up_to(field: str, instant: int) -> Condition:
    return Condition((field,), Op.LTE, from_micros(instant))


def _judged(forget: Forget, record: Record, now: int) -> ForgottenMemory:
    by_importance = forget.importance_below is not None
    return ForgottenMemory(
        record.address.namespace,
        record.address.key,
        None if forget.older_than is None else now - born(record),
        None if forget.inactive_for is None else now - record.update_time,
        decayed_importance(record, now, forget.half_life) if by_importance else None,
    )


def _receipt(progress: Progress, report: FilterReport | None, *, replayed: bool) -> Forgotten:
    return Forgotten(progress.count, tuple(progress.told), progress.token, report, replayed)
