"""Sweeps: what the gateway deletes because it has expired, or is not kept by a policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from memplane._enums import Kind, SweepCause
from memplane._errors import MemplaneError
from memplane._models import Ref


@dataclass(frozen=True, slots=True)
class SweepRule:
    """What makes memories go: that they have expired, or a part of a retention policy."""

    kind: Kind
    cause: SweepCause
    namespace: tuple[str, ...] = ()
    """The policy's namespace, as the gateway's configuration writes it."""


@dataclass(frozen=True, slots=True)
class SweepExample:
    """A memory that a sweep would delete."""

    rule: SweepRule
    ref: Ref


@dataclass(frozen=True, slots=True)
class SweepFailure:
    """What was left out of a sweep."""

    kind: Kind | None
    """None where the sweep could not go on at all."""
    error: MemplaneError


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep did."""

    counts: Mapping[SweepRule, int]
    """How many memories were deleted by each rule; with `dry_run` how many would have been."""
    examples: tuple[SweepExample, ...] = ()
    """Some of those that would have been, at most 100. Only with `dry_run`."""
    failures: tuple[SweepFailure, ...] = ()
    """Kinds that were left out, because their stores failed or are down."""
    next_page_token: str = ""
    """Where to go on. Empty means that the sweep is over."""
    dry_run: bool = False

    @property
    def count(self) -> int:
        """How many memories by all rules; LEFTOVERS are none."""
        return _memories(self.counts)


@dataclass(frozen=True, slots=True)
class SweepRun:
    """One sweep in the background."""

    start_time: datetime | None
    end_time: datetime | None
    """None while it runs."""
    counts: Mapping[SweepRule, int]
    failures: tuple[SweepFailure, ...] = ()

    @property
    def count(self) -> int:
        """How many memories it deleted; LEFTOVERS are none."""
        return _memories(self.counts)


@dataclass(frozen=True, slots=True)
class SweeperStatus:
    """How sweeps in the background fare."""

    on: bool
    interval_seconds: float
    """About how long from one to the next. 0 where there are none."""
    current: SweepRun | None
    """What this gateway does now."""
    last: SweepRun | None
    """The last that ended, of any gateway that shares the control store."""
    next_time: datetime | None
    """When this gateway begins the next one."""


@dataclass(frozen=True, slots=True)
class RenewalStatus:
    """What became, since the gateway started, of periods that reads were to renew (refresh_ttl)."""

    renewed: int
    failed: int
    """The store failed at them."""
    skipped: int
    """Too many waited, or the memory was written, deleted or expired meanwhile."""


def _memories(counts: Mapping[SweepRule, int]) -> int:
    return sum(n for rule, n in counts.items() if rule.cause is not SweepCause.LEFTOVERS)
