"""What sweeps leave is what an oracle says, whatever the slices and whoever writes meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.gateway.flaky import House, address, caller, put, refusal
from tests.thorough import THOROUGH

from memplane import Episode, Kind, Put, Ref
from memplane_adapters.conformance.memories.doors import InProcess
from memplane_adapters.contract import Kind as StoredKind
from memplane_adapters.contract import Page, Scan, Scope
from memplane_gateway.config import load
from memplane_gateway.errors import MemplaneError, Reason
from memplane_gateway.memory.lifecycle import sweeping
from memplane_gateway.memory.lifecycle.retention import Cause, Drop, Pattern, Policy, Task, tasks_of
from memplane_gateway.memory.lifecycle.sweeping import Slice, Toll
from memplane_gateway.memory.memories import Memories
from memplane_gateway.memory.model import Expiry, Removal
from memplane_gateway.memory.shelf import RowWrite
from memplane_gateway.server import Gateway

HOUR = 3_600_000_000
TENANT = "default"


async def swept(
    memories: Memories, tasks: Sequence[Task], *, budget: int = 10_000, rehearsal: bool = False
) -> list[int]:
    """Carry out tasks, slice after slice; how many went by each."""
    counts = []
    for number, task in enumerate(tasks):
        toll, after = Toll(), None
        for _ in range(2_000):
            part = Slice(budget, rehearsal=rehearsal)
            part.before = [each for each in tasks[:number] if each.cause is Cause.MAX_AGE]
            done = await memories.sweep(TENANT, task, after, part, toll)
            if done.over:
                break
            after = done.next
        else:
            pytest.fail("the sweep does not get on")
        counts.append(toll.count)
    return counts


# --- an oracle ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A memory as the oracle knows it."""

    namespace: tuple[str, ...]
    key: str
    hours: int
    """Its age."""
    importance: float | None
    pinned: bool

    def rank(self, drop: Drop) -> tuple[Any, ...]:
        weight = 0.0
        if drop is Drop.LEAST_IMPORTANT:
            weight = 0.5 if self.importance is None else self.importance
        return weight, -self.hours, self.namespace, self.key


def matches(pattern: Pattern, namespace: tuple[str, ...]) -> bool:
    pairs = itertools.zip_longest(pattern, namespace[: len(pattern)])
    return all(label is not None and wanted in (None, label) for wanted, label in pairs)


def kept(rows: set[Row], policies: Sequence[Policy]) -> set[Row]:
    """What the policies keep, by their words."""
    for policy in policies:
        if policy.max_age is not None:
            old = policy.max_age // HOUR
            rows = {
                row
                for row in rows
                if row.pinned or row.hours <= old or not matches(policy.pattern, row.namespace)
            }
    for policy in policies:
        if policy.max_items is None:
            continue
        groups: dict[tuple[str, ...], list[Row]] = {}
        for row in rows:
            if matches(policy.pattern, row.namespace):
                groups.setdefault(row.namespace[: len(policy.pattern)], []).append(row)
        for group in groups.values():
            excess = max(len(group) - policy.max_items, 0)
            loose = sorted((r for r in group if not r.pinned), key=lambda r: r.rank(policy.drop))
            rows -= set(loose[:excess])
    return rows


LABELS = st.sampled_from(["a", "b", "*"])
ROWS = st.lists(
    st.builds(
        Row,
        namespace=st.lists(LABELS, max_size=3).map(tuple),
        key=st.sampled_from("klm"),
        hours=st.integers(1, 4),
        importance=st.sampled_from([None, 0.0, 0.3, 0.5, 1.0]),
        pinned=st.sampled_from([False, False, False, True]),
    ),
    unique_by=lambda row: (row.namespace, row.key),
    max_size=25,
).map(set)
POLICIES = st.lists(
    st.builds(
        Policy,
        kind=st.just(StoredKind.EPISODIC),
        pattern=st.lists(st.none() | LABELS, max_size=2).map(tuple),
        max_items=st.none() | st.integers(1, 6),
        drop=st.sampled_from(Drop),
        max_age=st.none() | st.integers(1, 4).map(lambda hours: hours * HOUR + HOUR // 2),
    ),
    max_size=3,
)


@dataclass
class Served:
    """A gateway over the embedded store, on a loop of its own."""

    runner: asyncio.Runner
    gateway: Gateway
    door: InProcess


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    overrides = {"data_dir": str(tmp_path_factory.mktemp("data")), "sweep": {"interval_seconds": 0}}
    gateway = Gateway(load(overrides=overrides, environ={}))
    with asyncio.Runner() as runner:
        runner.run(gateway.start())
        try:
            yield Served(runner, gateway, InProcess(gateway))
        finally:
            runner.run(gateway.stop(grace=0))


async def _write(served: Served, root: str, rows: set[Row]) -> None:
    now = datetime.now(UTC)
    puts = [
        Put(
            Ref(Kind.EPISODIC, (root, *row.namespace), row.key),
            episode=Episode(event_time=now - timedelta(hours=row.hours)),
            importance=row.importance,
            pinned=row.pinned,
        )
        for row in rows
    ]
    if puts:
        (await served.door.client.put_many(puts)).raise_for_error()


async def _left(served: Served, root: str) -> set[tuple[tuple[str, ...], str]]:
    listed = served.door.client.scope(root).list(Kind.EPISODIC, page_size=1000)
    return {(memory.namespace[1:], memory.key) async for memory in listed}


@settings(max_examples=200 if THOROUGH else 50, deadline=None)
@given(rows=ROWS, policies=POLICIES, budget=st.sampled_from([1, 3, 10_000]))
@example(
    rows={Row(("a",), key, 1, None, pinned=True) for key in "klm"},
    policies=[Policy(StoredKind.EPISODIC, ("a",), max_items=1)],
    budget=1,
)
@example(
    rows={Row(("a",), key, 1 if key == "m" else 4, None, pinned=False) for key in "klm"},
    policies=[Policy(StoredKind.EPISODIC, ("a",), max_items=1, max_age=2 * HOUR)],
    budget=1,
)
def test_what_is_left_is_what_the_policies_keep(
    served: Served, rows: set[Row], policies: list[Policy], budget: int
) -> None:
    """A rolling cap, by age and by importance, whatever lies below and however small the slices."""
    root = uuid.uuid4().hex
    tasks = [
        Task(task.kind, task.cause, (root, *task.pattern), task.limit, task.drop)
        for task in tasks_of(policies, StoredKind.EPISODIC)
        if task.cause is not Cause.EXPIRED
    ]

    async def run() -> None:
        memories = served.gateway._router[StoredKind.EPISODIC].memories  # type: ignore[index]
        await _write(served, root, rows)
        before = await _left(served, root)
        said = await swept(memories, tasks, budget=budget, rehearsal=True)
        assert await _left(served, root) == before
        counts = await swept(memories, tasks, budget=budget)
        left = {(row.namespace, row.key) for row in kept(rows, policies)}
        assert await _left(served, root) == left
        assert sum(counts) == len(before) - len(left)
        if sum(task.cause is Cause.MAX_ITEMS for task in tasks) < 2:  # else caps may overlap
            assert said == counts
        assert await swept(memories, tasks, budget=budget) == [0] * len(tasks)

    served.runner.run(run())


# --- beside other writers -----------------------------------------------------------------------

CAP = Task(StoredKind.PROCEDURAL, Cause.MAX_ITEMS, ("n",), limit=4)
EXPIRED = Task(StoredKind.PROCEDURAL, Cause.EXPIRED)
IDLE = Task(StoredKind.PROCEDURAL, Cause.MAX_IDLE, (), limit=0)


@pytest.fixture(params=[True, False], ids=["compares", "leases"])
async def house(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    made = await House(tmp_path, compares=request.param).open()
    yield made
    await made.close()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of three."""
    monkeypatch.setattr(sweeping, "BATCH_ROWS", 3)


async def rows_of(house: House) -> int:
    """Rows in the store, expired ones too."""
    return (await house.raw.count(Scope(TENANT, StoredKind.PROCEDURAL, 0))).count


async def expired(house: House, *keys: str) -> None:
    over = Expiry(expire_time=1)
    await house.memories.put(caller(), [replace(put(1, key), expiry=over) for key in keys])


def after_each_scan(house: House, work: Any) -> None:
    """Have somebody work after each page that a walk reads."""
    scan = house.raw.scan

    async def scanned(given: Scan) -> Page:
        page = await scan(given)
        await work()
        return page

    house.store.scan = scanned  # type: ignore[attr-defined]


async def test_what_has_expired_is_deleted(house: House) -> None:
    await expired(house, *"abcdefgh")
    await house.put(1, "kept")
    assert await rows_of(house) == 9
    assert await swept(house.memories, [EXPIRED], rehearsal=True) == [8]
    assert await swept(house.memories, [EXPIRED], budget=2) == [8]
    assert await rows_of(house) == 1
    assert await house.value("kept") == 1


async def test_what_has_just_expired_is_spared(house: House) -> None:
    await expired(house, "old")
    spared = Task(StoredKind.PROCEDURAL, Cause.EXPIRED, limit=2 * house.clock.now())
    assert await swept(house.memories, [spared]) == [0]
    assert await rows_of(house) == 1


async def test_what_begins_again_meanwhile_survives(house: House) -> None:
    """A renewal keeps the revision: a sweep whose clock is ahead has read the row as expired."""
    await expired(house, *"ab")

    async def renew() -> None:
        shelf = house.memories._shelf
        (row,) = await shelf.fetch([address("a")])
        assert row is not None
        later = replace(row, record=replace(row.record, expire_time=house.clock.now() + HOUR))
        await shelf.write([RowWrite(later, row.record.revision)], atomic=False)

    after_each_scan(house, renew)
    assert await swept(house.memories, [EXPIRED]) == [1]
    assert await house.value("a") == 1


async def test_what_is_rewritten_meanwhile_survives(house: House) -> None:
    await expired(house, *"abcd")
    for key in "efghij":
        await house.put(1, key)
    written = 0

    async def write() -> None:
        nonlocal written
        written += 1
        if written == 1:
            await house.put(2, "a")  # was expired
            await house.put(2, "e")  # was the oldest

    after_each_scan(house, write)
    assert await swept(house.memories, [EXPIRED, CAP]) == [3, 3]
    left = [key for key in "abcdefghij" if await house.value(key) is not None]
    assert left == ["a", "e", "i", "j"]
    assert await rows_of(house) == 4


async def test_a_choice_ends_however_long_it_takes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what nobody goes on with is given up."""
    for number in range(14):
        await house.put(number, f"{number:02}")
    second, passed, now = 1_000_000, 0, house.clock.now
    monkeypatch.setattr(sweeping, "_KEPT_MICROS", 5 * second)
    monkeypatch.setattr(house.clock, "now", lambda: now() + passed)
    weighed, toll, after = replace(CAP, drop=Drop.LEAST_IMPORTANT), Toll(), None
    for _ in range(100):
        passed += second
        done = await house.memories.sweep(TENANT, weighed, after, Slice(1), toll)
        after = done.next
        if done.over:
            break
    assert toll.count == 10


async def test_sweeps_at_once_delete_no_more_than_one_alone(house: House) -> None:
    for number in range(14):
        await house.put(number, f"{number:02}")

    async def dawdle() -> None:
        await asyncio.sleep(0.001)

    after_each_scan(house, dawdle)
    done = await asyncio.gather(*(swept(house.memories, [CAP], budget=10) for _ in range(3)))
    assert sum(sum(each) for each in done) == 10
    left = [n for n in range(14) if await house.value(f"{n:02}") is not None]
    assert left == [10, 11, 12, 13]


async def test_what_others_delete_meanwhile_counts(house: House) -> None:
    """Between the choice and the last count somebody deletes as many as there are too many."""
    for number in range(6):
        await house.put(number, f"{number}")
    deleted = False

    async def delete() -> None:
        nonlocal deleted
        if not deleted:
            deleted = True
            await house.memories.delete([Removal(address("4")), Removal(address("5"))])

    after_each_scan(house, delete)
    assert await swept(house.memories, [CAP]) == [0]
    assert [await house.value(f"{n}") for n in range(4)] == [0, 1, 2, 3]


async def test_idleness_counts_from_the_last_write(house: House) -> None:
    await house.put(1, "a")
    hour = Task(StoredKind.PROCEDURAL, Cause.MAX_IDLE, (), limit=HOUR)
    assert await swept(house.memories, [hour]) == [0]
    assert await swept(house.memories, [IDLE]) == [1]


async def test_what_waits_in_the_outbox_stops_a_sweep(house: House) -> None:
    await expired(house, "a")
    house.store.down = True
    await house.put(1, "a")
    for down in (True, False):
        house.store.down = down
        if house.outbox.standing.waiting or down:
            error = await refusal(swept(house.memories, [EXPIRED]))
            assert isinstance(error, MemplaneError)
            assert error.reason is Reason.BACKEND_UNAVAILABLE
