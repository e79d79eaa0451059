"""Sweeps and renewals: values to replies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from memplane.v1 import sweep_pb2 as pb
from memplane_gateway.memory.lifecycle.retention import Cause, Pattern
from memplane_gateway.memory.write.renewing import Renewals
from memplane_gateway.sweeper.run import Failure, Rule, Run, Standing
from memplane_gateway.wire.memories import KIND_NUMBERS, write_ref
from memplane_gateway.wire.replies import reason_number
from memplane_gateway.wire.values import write_time

_CAUSES = {cause: pb.SweepCause.Value(f"SWEEP_CAUSE_{cause.name}") for cause in Cause}
_STARS = re.compile(r"\\*\*")


def write_sweep(run: Run, token: str, message: pb.SweepMemoriesResponse) -> None:
    """Set a reply to what a slice did."""
    _write_counts(run, message.counts.add)
    for rule, address in run.examples:
        example = message.examples.add()
        _write_rule(rule, example.rule)
        write_ref(address, example.ref)
    _write_failures(run.failures, message.failures.add)
    message.next_page_token = token


def write_sweeper(standing: Standing, message: pb.SweeperStatus) -> None:
    """Set a message to how the sweeper fares."""
    message.on = standing.on
    message.interval_us = standing.interval
    if standing.running is not None:
        _write_run(standing.running, message.current)
    if standing.last is not None:
        _write_run(standing.last, message.last)
    if standing.next_time is not None:
        write_time(standing.next_time, message.next_time)


def write_renewals(renewals: Renewals, message: pb.RenewalStatus) -> None:
    """Set a message to what became of periods that reads were to renew."""
    message.renewed = renewals.renewed
    message.failed = renewals.failed
    message.skipped = renewals.skipped


def _write_run(run: Run, message: pb.SweepRun) -> None:
    write_time(run.start, message.start_time)
    if run.end is not None:
        write_time(run.end, message.end_time)
    _write_counts(run, message.counts.add)
    _write_failures(run.failures, message.failures.add)


def _write_counts(run: Run, add: Callable[[], pb.SweepCount]) -> None:
    for rule, count in run.counts.items():
        message = add()
        _write_rule(rule, message.rule)
        message.count = count


def _write_rule(rule: Rule, message: pb.SweepRule) -> None:
    message.kind = KIND_NUMBERS[rule.kind]
    message.cause = _CAUSES[rule.cause]
    message.namespace.extend(_written(rule.pattern))


def _write_failures(failures: Iterable[Failure], add: Callable[[], pb.SweepFailure]) -> None:
    for failure in failures:
        message = add()
        if failure.kind is not None:
            message.kind = KIND_NUMBERS[failure.kind]
        message.error.code = int(failure.code)
        message.error.reason = reason_number(failure.reason)
        message.error.message = failure.message


def _written(pattern: Pattern) -> list[str]:
    """As in the configuration."""
    return [
        "*" if label is None else f"\\{label}" if _STARS.fullmatch(label) else label
        for label in pattern
    ]
