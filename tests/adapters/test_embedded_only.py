"""The embedded store inside: threads, group commit, the matrix in memory."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from memplane_adapters.conformance.stores.fixtures import (
    BackendFactory,
    KeyValues,
    Points,
    some_vectors,
    vector,
)
from memplane_adapters.contract import (
    Backend,
    Condition,
    Op,
    Order,
    StoreError,
    StoreReason,
    Value,
    WriteStatus,
)
from memplane_adapters.embedded import ADAPTER, EmbeddedSettings
from memplane_adapters.embedded.database import Connected
from memplane_adapters.embedded.store import EmbeddedStore
from memplane_adapters.embedded.writer import Writer


@pytest.fixture
def backend_factory(tmp_path: Path) -> BackendFactory:
    return lambda: ADAPTER.connect(EmbeddedSettings(), tmp_path)


def connected(store: object) -> Connected:
    assert isinstance(store, EmbeddedStore)
    found = store._database._connected
    assert found is not None
    return found


def unopened(backend_factory: BackendFactory) -> KeyValues:
    backend = backend_factory()
    assert backend.key_value is not None
    return KeyValues(backend.key_value)


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("", {}),
        ("//", {}),
        ("memory.db", {"path": "memory.db"}),
        ("//memory.db", {"path": "memory.db"}),
        ("/var/lib/x.db", {"path": "/var/lib/x.db"}),
        ("///var/lib/x.db", {"path": "/var/lib/x.db"}),
        ("file:///var/lib/x.db", {"path": "/var/lib/x.db"}),
        ("file:x.db", {"path": "x.db"}),
    ],
)
def test_urls(url: str, settings: dict[str, object]) -> None:
    assert ADAPTER.from_url(url) == settings


def test_connecting_touches_nothing(tmp_path: Path) -> None:
    ADAPTER.connect(EmbeddedSettings("deep/memplane.db"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "\ud800"])
async def test_what_cannot_be_stored_fails_alone(points: Points, bad: Value) -> None:
    results = await points.try_write(
        [points.point("a"), points.point("b", fields={"x": [bad]}), points.point("c")]
    )
    assert [one.status for one in results] == ["applied", "failed", "applied"]
    assert results[1].error is not None
    assert await points.walk() == ["a", "c"]


# --- the writer ---------------------------------------------------------------------------------


async def test_a_commit_is_on_disk(key_values: KeyValues) -> None:
    writer = connected(key_values.store).writer._connection
    assert writer.execute("pragma synchronous").fetchone() == (2,)
    assert writer.execute("pragma journal_mode").fetchone() == ("wal",)


async def test_concurrent_writes_share_commits(
    key_values: KeyValues, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    carry_out = Writer._carry_out

    def counted(self: Writer, jobs: list[Any]) -> Any:
        batches.append(len(jobs))
        return carry_out(self, jobs)

    monkeypatch.setattr(Writer, "_carry_out", counted)
    await asyncio.gather(*(key_values.write(key_values.entry(f"{n}")) for n in range(300)))
    assert sum(batches) == 300
    assert len(batches) < 150


async def test_field_49_a_cancelled_write_never_begins_and_harms_nobody(
    key_values: KeyValues, tmp_path: Path
) -> None:
    """One cancelled caller wedged the shared batch worker until restart."""
    with _Blocked(tmp_path):
        tasks = [
            asyncio.ensure_future(key_values.write(key_values.entry(f"{n}"))) for n in range(10)
        ]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        await asyncio.wait(tasks[::3])
    await asyncio.gather(*(task for n, task in enumerate(tasks) if n % 3))
    assert await key_values.walk() == [f"{n}" for n in range(10) if n % 3]


async def test_field_51_the_loop_runs_while_the_writer_waits(
    points: Points, tmp_path: Path
) -> None:
    """Async methods ran blocking calls on the loop."""
    await points.write(points.point("there", terms="tea"))
    with _Blocked(tmp_path):
        waiting = [
            asyncio.ensure_future(points.write(points.point("new"))),
            asyncio.ensure_future(points.delete(points.address("gone"))),
            asyncio.ensure_future(points.store.ping()),
        ]
        for _ in range(10):  # reading goes on meanwhile
            assert await points.walk() == ["there"]
            assert await points.search(vector=vector(1.0)) == ["there"]
            assert await points.search(terms=("tea",)) == ["there"]
            assert await points.count() == 1
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
    assert await points.walk() == ["new", "there"]


async def test_field_51_the_loop_is_never_late(points: Points) -> None:
    late = [0.0]

    async def tick() -> None:
        while True:
            due = time.monotonic() + 0.001
            await asyncio.sleep(0.001)
            late.append(time.monotonic() - due)

    ticking = asyncio.ensure_future(tick())
    vectors = some_vectors(3000)
    made = [
        points.point(f"{n:04}", at, fields={"n": n}, terms=f"all w{n}")
        for n, at in enumerate(vectors)
    ]
    await points.write(*made)
    tree = Condition(("n",), Op.LT, 100)
    await asyncio.gather(
        *(points.search(vector=at, filter=tree) for at in vectors[:5]),
        *(points.search(terms=("all",), filter=tree) for _ in range(5)),
        points.count(tree=tree),
        points.page(limit=1000, order=Order.TIME),
        points.store.delete_where(points.scope(), tree, max_revision=9),
        points.store.stats(points.kind),
    )
    ticking.cancel()
    # Blocking calls would leave a tick a call; a busy machine makes some ticks late, but not most.
    assert len(late) > 60
    assert sorted(late)[len(late) * 8 // 10] < 0.1


async def test_a_full_disk_is_told_and_nothing_is_half_written(
    points: Points, tmp_path: Path
) -> None:
    await points.write(points.point("before", terms="tea"))
    writer = connected(points.store).writer._connection
    (pages,) = writer.execute("pragma page_count").fetchone()
    writer.execute(f"pragma max_page_count = {pages + 3}")
    big = [points.point(f"{n}", terms="tea", record=bytes(9000)) for n in range(8)]
    with pytest.raises(StoreError) as caught:
        await points.try_write(big)
    assert caught.value.reason is StoreReason.EXHAUSTED
    rivals = [asyncio.ensure_future(points.try_write([one])) for one in big]
    outcomes = await asyncio.gather(*rivals, return_exceptions=True)
    assert any(isinstance(one, StoreError) for one in outcomes)
    writer.execute("pragma max_page_count = 1000000")
    written = {
        point.record
        for point, one in zip(big, outcomes, strict=True)
        if not isinstance(one, BaseException)
    }
    found = {row.record for row in await points.walk_rows()}
    assert found == {b"before"} | written
    for hits in (await points.query(vector=vector(1.0)), await points.query(terms=("tea",))):
        assert len(hits) == await points.count()
    await points.write(*big)
    assert await points.count() == 9


async def test_words_weigh_as_in_lucene(points: Points) -> None:
    """Also a word that most rows hold has weight, in a small store too."""
    texts = ["tea tea milk", "tea", "tea sugar cup cup", "milk sugar", "tea milk cup"]
    await points.write(*(points.point(f"{n}", terms=text) for n, text in enumerate(texts)))
    words = [text.split() for text in texts]
    average = sum(map(len, words)) / len(words)

    def bm25(row: list[str], terms: tuple[str, ...]) -> float:
        score = 0.0
        for term in terms:
            holding = sum(term in other for other in words)
            weight = math.log1p((len(words) - holding + 0.5) / (holding + 0.5))
            often = row.count(term)
            score += weight * often * 2.2 / (often + 1.2 * (0.25 + 0.75 * len(row) / average))
        return score

    for terms in (("tea",), ("milk",), ("tea", "milk"), ("cup", "absent", "tea", "sugar")):
        right = {f"{n}".encode(): bm25(row, terms) for n, row in enumerate(words)}
        hits = await points.query(terms=terms)
        scores = {hit.record: hit.score for hit in hits}
        assert scores == pytest.approx({key: score for key, score in right.items() if score})
        assert [hit.record for hit in hits] == sorted(scores, key=lambda key: -right[key])


async def test_the_words_of_deleted_rows_are_forgotten(points: Points, tmp_path: Path) -> None:
    """A row id that comes again after a restart must not find the words of its predecessor."""
    await points.write(*(points.point(f"{n}", terms="tea") for n in range(9)))
    (before, *_) = await points.query(terms=("tea",))
    await points.write(*(points.point(f"more{n}", terms="tea tea") for n in range(9)))
    await points.delete(*(points.address(f"more{n}") for n in range(5)))
    tree = Condition(("absent",), Op.IS_NULL)
    await points.write(*(points.point(f"more{n}", revision=2) for n in range(5, 7)))
    await points.write(*(points.point(f"{n}", terms="tea", revision=9) for n in range(9)))
    await points.store.delete_where(points.scope(), tree, max_revision=2)
    (after, *_) = await points.query(terms=("tea",))
    assert after.score == before.score
    await points.store.delete_where(points.scope(), max_revision=9)
    with _Blocked(tmp_path) as connection:
        assert connection.execute("select count(*) from terms_1").fetchone() == (0,)


async def test_a_job_that_breaks_breaks_alone(key_values: KeyValues) -> None:
    writer = connected(key_values.store).writer

    def bug(transaction: object) -> None:
        raise KeyError("a bug")

    outcomes = await asyncio.gather(
        key_values.try_write([key_values.entry("a")]),
        writer.run(bug),
        writer.run(lambda transaction: transaction.connection.execute("nonsense")),
        key_values.try_write([key_values.entry("b")]),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], KeyError)
    assert isinstance(outcomes[2], StoreError)
    assert await key_values.walk() == ["a", "b"]


# --- several loops ------------------------------------------------------------------------------


def test_field_50_one_store_in_two_event_loops(backend_factory: BackendFactory) -> None:
    """A store used in a second event loop failed; two asyncio.run with one store."""
    subject = unopened(backend_factory)

    async def first() -> None:
        await subject.store.open()
        await subject.write(subject.entry("a"))

    async def second() -> None:
        await subject.write(subject.entry("b"))
        assert await subject.walk() == ["a", "b"]

    asyncio.run(first())
    asyncio.run(second())
    asyncio.run(subject.store.close())


def test_field_50_two_event_loops_at_once(backend_factory: BackendFactory) -> None:
    subject = unopened(backend_factory)
    asyncio.run(subject.store.open())
    wrong: list[Exception] = []

    async def work(name: str) -> None:
        for turn in range(100):
            key = f"{name}{turn:03}"
            await subject.write(subject.entry(key))
            assert await subject.record(subject.address(key)) == key.encode()

    def run(name: str) -> None:
        try:
            asyncio.run(work(name))
        except (AssertionError, StoreError, RuntimeError) as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []

    async def check() -> None:
        assert await subject.count() == 400
        await subject.store.close()

    asyncio.run(check())


def test_a_loop_that_is_gone_stops_nobody(backend_factory: BackendFactory, tmp_path: Path) -> None:
    subject = unopened(backend_factory)
    asyncio.run(subject.store.open())
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    with _Blocked(tmp_path):
        orphan = loop.create_task(subject.write(subject.entry("orphan")))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    async def after() -> None:
        await subject.write(subject.entry("z"))
        assert await subject.walk() == ["orphan", "z"]
        orphan.get_coro().close()
        await subject.store.close()

    asyncio.run(after())


async def test_close_waits_for_what_is_under_way(
    points: Points, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert backend.key_value is not None
    await backend.key_value.close()  # so that the next one closes the file
    monkeypatch.setattr("memplane_adapters.embedded.store._DELETE_CHUNK", 2)
    await points.write(*(points.point(f"old{n:02}", namespace=("old",)) for n in range(60)))
    purge = asyncio.ensure_future(points.store.delete_where(points.scope("old"), max_revision=1))
    writes = [asyncio.ensure_future(points.write(points.point(f"{n}"))) for n in range(50)]
    counts = [asyncio.ensure_future(points.count()) for _ in range(20)]
    await asyncio.sleep(0)
    await points.store.close()
    await asyncio.gather(*writes, *counts)
    assert await purge == 60
    with pytest.raises(StoreError):
        await points.walk()
    await points.store.open()
    assert await points.count() == 50


async def test_both_promises_share_one_file(backend: Backend, tmp_path: Path) -> None:
    assert backend.key_value is not None
    assert backend.vector is not None
    key_values = KeyValues(backend.key_value)
    await key_values.write(key_values.entry("k"))
    await backend.vector.close()
    assert await key_values.walk() == ["k"]
    await key_values.store.close()
    there = sorted(path.name for path in tmp_path.iterdir())  # noqa: ASYNC240 (a test's own loop)
    assert there == ["memplane.db", "memplane.db.lock"]


async def test_a_label_with_a_zero_fails_alone(key_values: KeyValues) -> None:
    (result,) = await key_values.try_write([key_values.entry("k", namespace=("a\0b",))])
    assert result.status is WriteStatus.FAILED


class _Blocked:
    """Another connection holds SQLite's write lock meanwhile."""

    def __init__(self, directory: Path) -> None:
        self._connection = sqlite3.connect(directory / "memplane.db", isolation_level=None)

    def __enter__(self) -> sqlite3.Connection:
        self._connection.execute("begin immediate")
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._connection.execute("rollback")
        self._connection.close()
