"""The sweeper as a task of the gateway: it comes by, tells what it did, and lives through failures."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.flaky import until

from memplane import Aborted, AsyncClient, Kind, Put, Ref, SweepCause, SweepRule, Unavailable
from memplane_adapters.conformance.memories.doors import InProcess
from memplane_adapters.contract import Kind as StoredKind
from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.embedded import ADAPTER, EmbeddedSettings
from memplane_adapters.embedded.key_value_store import EmbeddedKeyValueStore
from memplane_gateway.clock import Clock
from memplane_gateway.config import load
from memplane_gateway.control import ControlStore
from memplane_gateway.memory.lifecycle import sweeping
from memplane_gateway.routes import RouteState
from memplane_gateway.server import Gateway
from memplane_gateway.sweeper import turn as turn_module
from memplane_gateway.sweeper.run import Run
from memplane_gateway.sweeper.turn import Turn

EXPIRED = SweepRule(Kind.PROCEDURAL, SweepCause.EXPIRED)
CAP = SweepRule(Kind.PROCEDURAL, SweepCause.MAX_ITEMS, ("chat", "*"))
POLICY = {"kind": "procedural", "namespace": ["chat", "*"], "max_items": 2}
DOWN = RouteState(StoreError(StoreReason.UNAVAILABLE, "down", retryable=True))


@contextlib.asynccontextmanager
async def opened(directory: Path, **settings: Any) -> AsyncIterator[tuple[Gateway, AsyncClient]]:
    """A gateway over the embedded store."""
    sweep = {"interval_seconds": 0, "grace_seconds": 0} | settings.pop("sweep", {})
    overrides = {"data_dir": str(directory), "sweep": sweep, "retention": [POLICY], **settings}
    gateway = Gateway(load(overrides=overrides, environ={}))
    await gateway.start()
    try:
        yield gateway, InProcess(gateway).client
    finally:
        await gateway.stop(grace=0)


async def fill(client: AsyncClient, number: int, *, ttl: float | None = None) -> None:
    puts = [Put(Ref(Kind.PROCEDURAL, ("chat", "ada"), f"{n:03}"), ttl=ttl) for n in range(number)]
    (await client.put_many(puts)).raise_for_error()


async def rows(client: AsyncClient) -> int | None:
    return (await client.status())[Kind.PROCEDURAL].rows


async def eventually(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not await holds():  # noqa: ASYNC110 (it polls)
            await asyncio.sleep(0.01)


async def test_it_sweeps_by_itself_and_tells(tmp_path: Path) -> None:
    async with opened(tmp_path, sweep={"interval_seconds": 0.2}) as (_, client):
        await fill(client, 5)
        await client.put(Ref(Kind.PROCEDURAL, (), "gone"), ttl=0.001)
        counted: dict[SweepRule, int] = {}
        seen: set[Any] = set()

        async def is_done() -> bool:
            sweeper = (await client.status()).sweeper
            assert sweeper is not None
            assert (sweeper.on, sweeper.interval_seconds) == (True, 0.2)
            last = sweeper.last
            if last is not None and last.start_time not in seen:
                seen.add(last.start_time)
                for rule, count in last.counts.items():
                    counted[rule] = counted.get(rule, 0) + count
            return await rows(client) == 2

        await eventually(is_done)
        sweeper = (await client.status()).sweeper
        assert sweeper is not None
        assert sweeper.last is not None
        assert sweeper.next_time is not None
        assert sweeper.last.failures == ()
        assert {EXPIRED, CAP} <= sweeper.last.counts.keys()


async def test_the_last_sweep_is_known_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path, sweep={"interval_seconds": 0.1}) as (gateway, client):
        await fill(client, 5)

        async def is_done() -> bool:
            return await rows(client) == 2

        await eventually(is_done)
        sweeper = gateway._sweeper
        assert sweeper is not None
        await until(lambda: sweeper._last is not None and sweeper._running is None)
        last = sweeper._last
    async with opened(tmp_path, sweep={"interval_seconds": 3600}) as (_, client):
        status = (await client.status()).sweeper
        assert status is not None
        assert status.last is not None
        assert last is not None
        assert status.last.end_time is not None
        assert status.last.end_time.timestamp() >= last.start / 1e6
        await eventually(lambda: _has_next(client))
        status = (await client.status()).sweeper
        assert status is not None
        assert status.next_time is not None
        # An interval after the last one, not after the start.
        assert (status.next_time - status.last.end_time).total_seconds() < 3600 * 1.2  # type: ignore[union-attr, operator]


async def _has_next(client: AsyncClient) -> bool:
    sweeper = (await client.status()).sweeper
    return sweeper is not None and sweeper.next_time is not None


async def test_what_fails_is_told_and_the_others_are_swept(tmp_path: Path) -> None:
    async with opened(tmp_path) as (gateway, client):
        await fill(client, 5)
        route = gateway._router[StoredKind.SEMANTIC]  # type: ignore[index]
        good, route.state = route.state, DOWN
        done = await client.sweep()
        (failure,) = done.failures
        assert (failure.kind, type(failure.error)) == (Kind.SEMANTIC, Unavailable)
        assert done.counts[CAP] == 3
        route.state = good
        assert (await client.sweep()).failures == ()


@pytest.mark.parametrize("interval", [0, 0.05], ids=["asked for", "background"])
async def test_a_sweep_whose_end_cannot_be_noted_tells_what_it_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interval: float
) -> None:
    async with opened(tmp_path) as (_, client):
        await fill(client, 5)

    async def leave(self: Turn, run: Run | None = None) -> None:
        self._users -= 1
        raise StoreError(StoreReason.UNAVAILABLE, "down", retryable=True)

    monkeypatch.setattr(Turn, "leave", leave)
    async with opened(tmp_path, sweep={"interval_seconds": interval}) as (gateway, client):
        if not interval:
            assert (await client.sweep()).counts[CAP] == 3
            return
        sweeper = gateway._sweeper
        assert sweeper is not None
        runs: list[Run] = []

        async def is_told() -> bool:
            if sweeper._last is not None and sweeper._last not in runs:
                runs.append(sweeper._last)
            return len(runs) > 1

        await eventually(is_told)
        assert all(run.failures == [] for run in runs)
        assert await rows(client) == 2


async def test_leftovers_are_looked_for_once_a_day(tmp_path: Path) -> None:
    leftovers = SweepRule(Kind.SEMANTIC, SweepCause.LEFTOVERS)
    runs: list[Run] = []
    async with opened(tmp_path, sweep={"interval_seconds": 0.05}) as (gateway, client):
        sweeper = gateway._sweeper
        assert sweeper is not None

        async def is_told() -> bool:
            last = sweeper._last
            if last is not None and all(last is not run for run in runs):
                runs.append(last)
            return len(runs) > 2

        await eventually(is_told)
        assert leftovers in (await client.sweep()).counts, "whoever asks for it has it"
    looked = [any(rule.cause.value == "leftovers" for rule in run.counts) for run in runs]
    assert not any(looked[1:])


async def test_it_lives_through_a_bug_in_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, sweep={"interval_seconds": 0.05}) as (gateway, client):
        memories = gateway._router[StoredKind.SEMANTIC].memories  # type: ignore[index]
        with monkeypatch.context() as patch:
            patch.setattr(memories, "_sweeper", None)  # whatever it calls is not there

            async def is_told() -> bool:
                sweeper = (await client.status()).sweeper
                assert sweeper is not None
                return sweeper.last is not None and len(sweeper.last.failures) == 1

            await eventually(is_told)
        assert "bug in a sweep" in caplog.text
        await fill(client, 5)

        async def is_done() -> bool:
            return await rows(client) == 2

        await eventually(is_done)


async def test_what_has_expired_just_now_is_spared_for_other_clocks(tmp_path: Path) -> None:
    async with opened(tmp_path, sweep={"grace_seconds": 3600}) as (gateway, client):
        sweeper = gateway._sweeper
        assert sweeper is not None
        for key in ("old", "new"):
            await client.put(Ref(Kind.PROCEDURAL, (), key), ttl=0.001 if key == "old" else 6)
        now = sweeper._clock.now
        sweeper._clock.now = lambda: now() + 8_000_000  # type: ignore[method-assign]
        assert (await client.sweep()).counts[EXPIRED] == 1


async def test_slices_go_on_where_the_last_one_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "BATCH_ROWS", 3)
    async with opened(tmp_path, scan_budget=4) as (_, client):
        await fill(client, 30)
        slices: list[int] = []
        done = await client.sweep(on_progress=lambda part: slices.append(part.count))
        assert (done.counts[CAP], sum(slices)) == (28, 28)
        assert len(slices) > 5
        assert max(slices) < 28
        left = [memory.key async for memory in client.list(Kind.PROCEDURAL)]
        assert left == ["028", "029"]


async def test_a_stop_ends_a_sweep_between_two_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next gateway ends what this one has begun."""
    monkeypatch.setattr(sweeping, "BATCH_ROWS", 2)
    keep = Turn.keep

    async def kept(self: Turn) -> bool:
        await asyncio.sleep(0.02)
        return await keep(self)

    monkeypatch.setattr(Turn, "keep", kept)
    settings: dict[str, Any] = {"scan_budget": 2, "sweep": {"interval_seconds": 0.05}}
    async with opened(tmp_path) as (_, client):
        await fill(client, 40)
    async with opened(tmp_path, **dict(settings)) as (gateway, client):

        async def has_begun() -> bool:
            return await client.count(Kind.PROCEDURAL) < 40

        await eventually(has_begun)
    assert gateway._sweeper is not None
    assert gateway._sweeper._task is not None
    assert gateway._sweeper._task.done()
    async with opened(tmp_path) as (_, client):
        assert 2 < await client.count(Kind.PROCEDURAL) < 40
        await client.sweep()
        keys = [memory.key async for memory in client.list(Kind.PROCEDURAL)]
        assert keys == ["038", "039"]


async def test_slices_that_are_asked_for_come_between(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of a sweep in the background and of several callers; nobody is taken for another gateway."""
    settings: dict[str, Any] = {"scan_budget": 3, "sweep": {"interval_seconds": 0.01}}
    async with opened(tmp_path, **settings) as (gateway, client):
        await fill(client, 60)
        await asyncio.gather(*(client.sweep() for _ in range(10)))
        assert await client.count(Kind.PROCEDURAL) == 2
        sweeper = gateway._sweeper
        assert sweeper is not None
        await until(lambda: sweeper._last is not None)
    assert "left out" not in caplog.text


# --- whose turn it is ---------------------------------------------------------------------------


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[ControlStore]:
    store = ADAPTER.connect(EmbeddedSettings(), tmp_path).key_value
    assert isinstance(store, EmbeddedKeyValueStore)
    made = ControlStore(store, Clock(), name="c", adapter="redis", shared=True)
    await made.get_ready()
    yield made
    await made.close()


def turn(control: ControlStore, *, shared: bool = True) -> Turn:
    """That of another gateway."""
    return Turn(control, Clock(), shared=shared)


async def test_one_gateway_sweeps_at_a_time(control: ControlStore) -> None:
    one, two = turn(control), turn(control)
    assert await one.last() is None
    assert await one.take()
    assert await one.take(), "it has it already"
    assert not await two.take()
    await one.leave()
    assert not await two.take()
    await one.leave(Run(1, 2))
    assert await two.take()
    last = await two.last()
    assert last is not None
    assert (last.start, last.end) == (1, 2)
    await two.leave()
    assert await one.last() is not None


async def test_the_turn_of_a_dead_gateway_is_taken(
    control: ControlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, living, other = turn(control), turn(control), turn(control)
    assert await dead.take()
    assert not await living.take()
    assert await dead.keep()  # it is not dead yet: what others have seen is no more
    monkeypatch.setattr(turn_module, "LEASE_SECONDS", 0.02)
    assert not await living.take()
    await asyncio.sleep(0.03)  # by its own clock
    assert await living.take()
    assert not await dead.keep(), "it hears that it was taken for dead"
    assert not await other.take()


async def test_alone_it_need_not_wait_for_its_own_death(control: ControlStore) -> None:
    before, now = turn(control, shared=False), turn(control, shared=False)
    assert await before.take()
    assert await now.take()


async def test_while_another_gateway_sweeps_it_is_aborted(tmp_path: Path) -> None:
    async with opened(tmp_path) as (gateway, client):
        await fill(client, 5)
        assert gateway._sweeper is not None
        gateway._sweeper._turn._shared = True
        other = turn(gateway._control)
        assert await other.take()
        assert (await client.sweep(dry_run=True)).counts[CAP] == 3
        with pytest.raises(Aborted):
            await client.sweep()
        await other.leave()
        assert (await client.sweep()).counts[CAP] == 3
