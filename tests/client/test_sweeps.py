"""Sweeps as the client asks for them and tells them."""

from __future__ import annotations

import memplane
from memplane import Client, Kind, SweepCause, SweepRule

from .conftest import FakeGateway


def test_a_sweep_goes_on_until_it_is_over(gateway: FakeGateway) -> None:
    rule = SweepRule(Kind.EPISODIC, SweepCause.MAX_ITEMS, ("chat", "*"))
    seen: list[int] = []
    with Client(gateway.target) as client:
        done = client.sweep(on_progress=lambda part: seen.append(part.count))
        assert (done.count, done.counts, done.examples, done.dry_run) == (2, {rule: 2}, (), False)
        assert [each.page_token for each in gateway.requests] == ["", "more"]
        assert seen == [1, 1]
        (failure,) = done.failures
        assert failure.kind is Kind.SEMANTIC
        assert isinstance(failure.error, memplane.Unavailable)
        dry = client.sweep(dry_run=True)
        assert [(each.rule, each.ref.key) for each in dry.examples] == [
            (rule, "first"),
            (rule, "second"),
        ]
        assert all(each.dry_run for each in gateway.requests[2:])


def test_the_status_tells_of_sweeps_and_renewals(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        status = client.status()
    renewals, sweeper = status[Kind.SEMANTIC].renewals, status.sweeper
    assert renewals is not None
    assert (renewals.renewed, renewals.failed) == (0, 2)
    assert sweeper is not None
    assert (sweeper.on, sweeper.interval_seconds, sweeper.current) == (True, 1.5, None)
    assert sweeper.last is not None
    assert (sweeper.last.count, sweeper.last.end_time) == (3, None)


def test_leftovers_are_no_memories() -> None:
    expired = SweepRule(Kind.SEMANTIC, SweepCause.EXPIRED)
    left = SweepRule(Kind.SEMANTIC, SweepCause.LEFTOVERS)
    assert memplane.SweepRun(None, None, {expired: 2, left: 5}).count == 2
