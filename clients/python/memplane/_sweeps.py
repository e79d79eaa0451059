"""Sweeps: what the gateway deletes because it has expired, or is not kept by a policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from memplane import _enums, _values
from memplane._enums import Kind, SweepCause
from memplane._errors import MemplaneError
from memplane._models import Ref
from memplane.v1 import sweep_pb2


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


def swept(responses: Sequence[sweep_pb2.SweepMemoriesResponse], *, dry_run: bool) -> SweepResult:
    """What the calls of one sweep did together."""
    examples = [
        SweepExample(rule, _ref(each))
        for response in responses
        for each in response.examples
        if (rule := _rule(each.rule)) is not None
    ]
    return SweepResult(
        counts=_counts(each for response in responses for each in response.counts),
        examples=tuple(examples[:100]),
        failures=_failures(each for response in responses for each in response.failures),
        next_page_token=responses[-1].next_page_token,
        dry_run=dry_run,
    )


def sweeper(message: sweep_pb2.SweeperStatus) -> SweeperStatus:
    """How sweeps fare."""
    has = message.HasField
    return SweeperStatus(
        on=message.on,
        interval_seconds=message.interval_us / 1e6,
        current=_run(message.current) if has("current") else None,
        last=_run(message.last) if has("last") else None,
        next_time=_values.moment_of(message.next_time) if has("next_time") else None,
    )


def renewals(message: sweep_pb2.RenewalStatus) -> RenewalStatus:
    """What became of renewals."""
    return RenewalStatus(message.renewed, message.failed, message.skipped)


def _run(message: sweep_pb2.SweepRun) -> SweepRun:
    has = message.HasField
    return SweepRun(
        start_time=_values.moment_of(message.start_time) if has("start_time") else None,
        end_time=_values.moment_of(message.end_time) if has("end_time") else None,
        counts=_counts(message.counts),
        failures=_failures(message.failures),
    )


def _counts(messages: Iterable[sweep_pb2.SweepCount]) -> Mapping[SweepRule, int]:
    """Counts by rule; those of kinds that are unknown here are left out."""
    counts: dict[SweepRule, int] = {}
    for message in messages:
        rule = _rule(message.rule)
        if rule is not None:
            counts[rule] = counts.get(rule, 0) + message.count
    return MappingProxyType(counts)


def _rule(message: sweep_pb2.SweepRule) -> SweepRule | None:
    kind = _enums.from_wire(Kind, message.kind)
    cause = _enums.from_wire(SweepCause, message.cause) or SweepCause.UNKNOWN
    return None if kind is None else SweepRule(kind, cause, tuple(message.namespace))


def _failures(messages: Iterable[sweep_pb2.SweepFailure]) -> tuple[SweepFailure, ...]:
    from memplane._error_details import from_item

    return tuple(
        SweepFailure(_enums.from_wire(Kind, each.kind), from_item(each.error)) for each in messages
    )


def _ref(message: sweep_pb2.SweepExample) -> Ref:
    from memplane import _replies  # which needs this module

    return _replies.ref(message.ref)


def _memories(counts: Mapping[SweepRule, int]) -> int:
    return sum(n for rule, n in counts.items() if rule.cause is not SweepCause.LEFTOVERS)
