"""Retries: only what is safe, only while there is time, and never against a store that is down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from memplane_adapters.contract import (
    Address,
    Backend,
    Capabilities,
    Collection,
    EmbeddingIdentity,
    Kind,
    Point,
    Query,
    Scan,
    Scope,
    Stored,
    StoreError,
    StoreReason,
    VectorStore,
    Write,
    WriteResult,
    WriteStatus,
)
from memplane_adapters.embedded import ADAPTER, EmbeddedSettings
from memplane_gateway.deadline import set_deadline
from memplane_gateway.errors import from_store
from memplane_gateway.layers import StackedVectorStore, make_layers, retry
from memplane_gateway.layers.retry import ATTEMPTS, Budget

ADDRESS = Address("t", Kind.SEMANTIC, (), "k")
SCOPE = Scope(tenant="t", kind=Kind.SEMANTIC, alive_at=0)
COLLECTION = Collection(Kind.SEMANTIC, EmbeddingIdentity("test", "test", 2), "none")
POINT = Point(address=ADDRESS, revision=1, update_time=1, time=1, record=b"r")

READS: dict[str, Callable[[VectorStore], object]] = {
    "fetch": lambda store: store.fetch([ADDRESS]),
    "query": lambda store: store.query(Query(scope=SCOPE, terms=("a",))),
    "scan": lambda store: store.scan(Scan(scope=SCOPE)),
    "count": lambda store: store.count(SCOPE),
}
WRITES: dict[str, Callable[[VectorStore], object]] = {
    "upsert": lambda store: store.upsert([Write(POINT)]),
    "delete": lambda store: store.delete([]),
    "delete_where": lambda store: store.delete_where(SCOPE, max_revision=1),
}
BY_THE_WATCH: dict[str, Callable[[VectorStore], object]] = {
    "open": lambda store: store.open(),
    "ping": lambda store: store.ping(),
    "ensure": lambda store: store.ensure(COLLECTION),
    "stats": lambda store: store.stats(Kind.SEMANTIC),
}
CALLS = {**READS, **WRITES, **BY_THE_WATCH}
SAFE_TO_WRITE_AGAIN = frozenset({StoreReason.UNAVAILABLE, StoreReason.EXHAUSTED})
SAFE_TO_READ_AGAIN = SAFE_TO_WRITE_AGAIN | {StoreReason.INTERRUPTED}


class Scripted:
    """A store that fails in the ways it is told, one a call, and then answers "done"."""

    capabilities = Capabilities(keyword=True)

    def __init__(self, *failures: StoreError) -> None:
        self.failures = list(failures)
        self.calls: list[str] = []
        self.called = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        async def call(*_: object, **__: object) -> str:
            self.calls.append(name)
            self.called.set()
            if self.failures:
                raise self.failures.pop(0)
            return "done"

        return call


def stacked(store: object) -> StackedVectorStore:
    return StackedVectorStore("s", store, make_layers())  # type: ignore[arg-type]


def failure(
    reason: StoreReason = StoreReason.UNAVAILABLE,
    *,
    retryable: bool = True,
    retry_after: float | None = None,
) -> StoreError:
    return StoreError(reason, "scripted", retryable=retryable, retry_after=retry_after)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, which take no time here."""
    taken: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        taken.append(seconds)
        await sleep(0)

    monkeypatch.setattr("memplane_gateway.layers.retry.asyncio.sleep", noted)
    return taken


async def outcome(op: str, store: StackedVectorStore) -> object:
    try:
        return await CALLS[op](store)  # type: ignore[misc]
    except StoreError as error:
        return error


@pytest.mark.parametrize("retryable", [True, False])
@pytest.mark.parametrize("reason", StoreReason)
@pytest.mark.parametrize("op", CALLS)
async def test_what_is_tried_again(
    op: str, reason: StoreReason, retryable: bool, pauses: list[float]
) -> None:
    safe = {
        **dict.fromkeys(READS, SAFE_TO_READ_AGAIN),
        **dict.fromkeys(WRITES, SAFE_TO_WRITE_AGAIN),
        **dict.fromkeys(BY_THE_WATCH, frozenset[StoreReason]()),
    }[op]
    again = retryable and reason in safe
    store = Scripted(failure(reason, retryable=retryable))
    end = await outcome(op, stacked(store))
    assert store.calls == [op] * (2 if again else 1)
    assert isinstance(end, StoreError) is not again
    assert len(pauses) == (1 if again else 0)


async def test_attempts_end_and_the_last_failure_is_said(pauses: list[float]) -> None:
    failures = [failure() for _ in range(ATTEMPTS + 1)]
    store = Scripted(*failures)
    assert await outcome("fetch", stacked(store)) is failures[ATTEMPTS - 1]
    assert len(store.calls) == ATTEMPTS
    longest = [retry.FIRST_PAUSE_SECONDS * 2**n for n in range(ATTEMPTS - 1)]
    assert all(0 <= pause <= most for pause, most in zip(pauses, longest, strict=True))


async def test_a_store_that_is_down_gets_one_call_a_call(pauses: list[float]) -> None:
    store = Scripted(*(failure() for _ in range(1000)))
    layered = stacked(store)
    for _ in range(20):
        await outcome("count", layered)
    before = len(store.calls)
    for _ in range(20):
        await outcome("count", layered)
    assert len(store.calls) - before == 20
    # Less than half of the budget may go into retries before they stop.
    assert before - 20 < Budget.MOST / 2

    store.failures.clear()
    needed = int(Budget.MOST / Budget.BACK)
    for _ in range(needed):
        assert await outcome("count", layered) == "done"
    store.failures.append(failure())
    assert await outcome("count", layered) == "done", "the store has earned its retries again"


async def test_the_watch_draws_on_the_budget_too(pauses: list[float]) -> None:
    store = Scripted(*(failure() for _ in range(int(Budget.MOST / 2))))
    layered = stacked(store)
    for _ in range(int(Budget.MOST / 2)):
        await outcome("ping", layered)
    store.failures.append(failure())
    assert isinstance(await outcome("count", layered), StoreError)


async def test_what_is_not_the_stores_trouble_costs_no_budget(pauses: list[float]) -> None:
    refusals = [failure(StoreReason.DAMAGED) for _ in range(100)]
    store = Scripted(*refusals, failure())
    layered = stacked(store)
    for _ in refusals:
        assert isinstance(await outcome("count", layered), StoreError)
    assert await outcome("count", layered) == "done"


async def test_stores_do_not_share_their_budget(pauses: list[float]) -> None:
    down, well = Scripted(*(failure() for _ in range(100))), Scripted(failure())
    layered = stacked(down)
    for _ in range(30):
        await outcome("count", layered)
    assert await outcome("count", stacked(well)) == "done"


async def test_retry_after_is_waited_for(pauses: list[float]) -> None:
    set_deadline(60)
    store = Scripted(failure(StoreReason.EXHAUSTED, retry_after=7))
    assert await outcome("upsert", stacked(store)) == "done"
    assert 7 <= pauses[0] <= 7 + retry.FIRST_PAUSE_SECONDS


async def test_retry_after_behind_the_deadline_is_passed_on_at_once(pauses: list[float]) -> None:
    set_deadline(5)
    store = Scripted(failure(StoreReason.EXHAUSTED, retry_after=7))
    error = await outcome("upsert", stacked(store))
    assert isinstance(error, StoreError)
    assert from_store(error, "semantic").retry_after == 7
    assert (store.calls, pauses) == (["upsert"], [])


async def test_there_is_no_attempt_behind_the_deadline(pauses: list[float]) -> None:
    set_deadline(0)
    store = Scripted(failure())
    assert isinstance(await outcome("fetch", stacked(store)), StoreError)
    assert pauses == []


async def test_nobody_waits_long_for_calls_without_a_deadline(pauses: list[float]) -> None:
    store = Scripted(failure(retry_after=3600))
    assert isinstance(await outcome("fetch", stacked(store)), StoreError)
    assert pauses == []


async def test_each_attempt_has_the_rest_of_the_deadline(pauses: list[float]) -> None:
    class Hangs(Scripted):
        async def count(self, *_: object) -> None:
            self.calls.append("count")
            if self.failures:
                raise self.failures.pop(0)
            await asyncio.Event().wait()

    set_deadline(0.5)
    store = Hangs(failure())
    error = await outcome("count", stacked(store))
    assert isinstance(error, StoreError)
    assert error.reason is StoreReason.TIMEOUT
    assert store.calls == ["count", "count"]


async def test_a_caller_who_gives_up_between_two_attempts_ends_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE_SECONDS", 3600.0)
    monkeypatch.setattr(retry, "LONGEST_PAUSE_SECONDS", 3600.0)
    set_deadline(100_000)
    store = Scripted(failure(retry_after=3600))
    call = asyncio.create_task(outcome("fetch", stacked(store)))
    await store.called.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert store.calls == ["fetch"]


async def test_a_write_that_was_refused_twice_is_written_once(
    tmp_path: Path, pauses: list[float]
) -> None:
    """The whole way on a real store, which is unavailable for a moment."""
    backend: Backend = ADAPTER.connect(EmbeddedSettings(), tmp_path)
    assert backend.vector is not None

    class Flaky:
        def __init__(self, store: VectorStore) -> None:
            self.store = store
            self.failures = [failure(), failure(StoreReason.EXHAUSTED)]

        def __getattr__(self, name: str) -> object:
            return getattr(self.store, name)

        async def upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:
            if self.failures:
                raise self.failures.pop(0)
            return await self.store.upsert(writes)

    layered = stacked(Flaky(backend.vector))
    await layered.open()
    try:
        await layered.ensure(COLLECTION)
        written = await layered.upsert([Write(POINT, expected=0)])
        assert [result.status for result in written] == [WriteStatus.APPLIED]
        assert await layered.fetch([ADDRESS]) == [Stored(b"r")]
    finally:
        await layered.close()
    assert len(pauses) == 2
