"""The embedded store's vectors in memory: whole for every reader, and never behind the file."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from memplane_adapters.conformance.stores.fixtures import NOW, BackendFactory, Points, vector
from memplane_adapters.contract import Condition, Delete, Op
from memplane_adapters.embedded import ADAPTER, EmbeddedSettings, rows
from memplane_adapters.embedded.database import Connected
from memplane_adapters.embedded.vector_store import EmbeddedVectorStore
from memplane_adapters.embedded.vectors import (
    NEVER,
    Change,
    Index,
    Indexes,
    LoadedRow,
    VectorRow,
)
from memplane_adapters.embedded.writer import Transaction


@pytest.fixture
def backend_factory(tmp_path: Path) -> BackendFactory:
    return lambda: ADAPTER.connect(EmbeddedSettings(), tmp_path)


def connected(points: Points) -> Connected:
    assert isinstance(points.store, EmbeddedVectorStore)
    found = points.store._database._connected
    assert found is not None
    return found


def _row(row_id: int, revision: int) -> Change:
    at = np.full(4, revision, np.float32)
    name = f"n{row_id % 3}".encode() + b"\0"
    return Change(1, row_id, VectorRow(row_id, name, revision, revision, NEVER, at))


def test_readers_of_the_matrix_see_one_moment() -> None:
    index, rows, stop = Index(4), 200, threading.Event()
    index.apply([_row(n, 0) for n in range(rows)])
    torn: list[object] = []

    def read() -> None:
        while not stop.is_set():
            now = index.snapshot
            selected = now.select(NEVER - 1, None)
            at = np.arange(now.count) if selected is None else selected
            ids, revisions = now.ids[at], now.revisions[at]
            numbers = now.matrix[at]
            if sorted(ids.tolist()) != list(range(rows)):
                torn.append(("rows", len(ids), len(set(ids.tolist()))))
            if len(set(revisions.tolist())) != 1 or (numbers != revisions[:, np.newaxis]).any():
                torn.append(("revisions", set(revisions.tolist())))
            some = now.select(NEVER - 1, (b"n1\0", b"n1\1"))
            if some is None or sorted(now.ids[some].tolist()) != list(range(1, rows, 3)):
                torn.append("namespace")

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for revision in range(1, 400):
        index.apply([_row(n, revision) for n in range(rows)])
    stop.set()
    for reader in readers:
        reader.join()
    assert torn == []


def test_tombstones_are_compacted() -> None:
    index = Index(4)
    for revision in range(50):
        index.apply([_row(n, revision) for n in range(1000)])
        assert index.snapshot.live == 1000
        assert index.snapshot.count <= 2001
    old = index.snapshot
    index.apply([Change(1, n, None) for n in range(990)])
    assert (index.snapshot.live, index.snapshot.count) == (10, 10)
    assert len(index.snapshot.ids) < 100
    assert sorted(index.snapshot.ids[:10].tolist()) == list(range(990, 1000))
    selected = old.select(0, None)
    assert selected is not None
    assert sorted(old.ids[selected].tolist()) == list(range(1000))
    index.apply([Change(1, n, None) for n in range(1000)])
    assert index.snapshot.live == 0
    index.apply([_row(5, 1)])
    assert index.snapshot.ids[: index.snapshot.count][-1] == 5


def test_namespaces_are_renumbered_with_the_rows() -> None:
    index = Index(4)
    index.apply([_row(n, 0) for n in range(600)])
    index.apply([Change(1, n, None) for n in range(600) if n % 3 == 0 or n > 300])
    now = index.snapshot
    assert now.count < 600
    for name in (0, 1, 2):
        selected = now.select(0, (b"n%d\0" % name, b"n%d\1" % name))
        assert selected is not None
        ids = sorted(now.ids[selected].tolist())
        assert ids == [n for n in range(301) if n % 3 == name and name != 0]


def test_what_is_committed_while_loading_is_not_lost() -> None:
    indexes, stale = Indexes(), _row(1, 1).row
    assert stale is not None

    def load() -> list[LoadedRow]:
        indexes.publish([_row(1, 2), _row(2, 2), Change(1, 3, None)])
        at = stale.vector.tobytes()
        return [(n, stale.namespace, 1, 1, NEVER, at) for n in (1, 3)]

    index = indexes.get(1, 4, load)
    selected = index.snapshot.select(0, None)
    at = slice(None) if selected is None else selected
    assert index.snapshot.ids[: index.snapshot.count][at].tolist() == [1, 2]
    assert index.snapshot.revisions[: index.snapshot.count][at].tolist() == [2, 2]


async def test_what_is_taken_back_does_not_reach_the_matrix(points: Points) -> None:
    await points.write(points.point("a"), points.point("b"))
    assert await points.search(vector=vector(1.0)) == ["a", "b"]

    def fail(transaction: Transaction) -> None:
        assert rows.delete(transaction, Delete(points.address("a"))) is rows.APPLIED
        raise LookupError

    with pytest.raises(LookupError):
        await connected(points).writer.run(fail)
    assert await points.search(vector=vector(1.0)) == ["a", "b"]


async def test_search_is_right_through_growth_and_compaction(points: Points) -> None:
    there: dict[str, int] = {}
    chance = np.random.default_rng(3)
    assert await points.search(vector=vector(1.0)) == []  # from here on in memory
    for revision in range(1, 30):
        keys = {f"{n:03}" for n in chance.integers(0, 600, 150)}
        await points.write(
            *(points.point(key, vector(1.0, revision), revision=revision) for key in keys)
        )
        there.update(dict.fromkeys(keys, revision))
        gone = [f"{n:03}" for n in chance.integers(0, 600, 100)]
        await points.delete(*map(points.address, gone))
        for key in gone:
            there.pop(key, None)
        hits = await points.query(vector=vector(1.0), limit=1000)
        right = sorted(there, key=lambda key: (there[key], key))
        assert [hit.record.decode() for hit in hits] == right
    index = next(iter(connected(points).indexes._loaded.values()))
    assert index.snapshot.count <= max(256, 2 * index.snapshot.live)


async def test_a_matrix_behind_the_file_gives_nothing_stale(
    points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ["same", "moved", "dead", "gone", "unfit", "bare"]
    await points.write(*(points.point(key, fields={"n": 1}) for key in keys))
    tree = Condition(("n",), Op.EQ, 1)
    assert len(await points.search(vector=vector(1.0), filter=tree)) == 6
    monkeypatch.setattr(connected(points).writer, "_publish", lambda changes: None)
    await points.write(
        points.point("moved", vector(-1.0), revision=2, record=b"new", fields={"n": 1}),
        points.point("dead", revision=2, expire_time=NOW, fields={"n": 1}),
        points.point("unfit", revision=2, fields={"n": 2}),
        points.point("bare", revision=2, vectorless=True, fields={"n": 1}),
    )
    await points.delete(points.address("gone"))
    hits = await points.query(vector=vector(1.0), filter=tree)
    assert [(hit.record, round(hit.score)) for hit in hits] == [(b"same", 1), (b"new", -1)]
    hits = await points.query(vector=vector(1.0))
    assert [hit.record for hit in hits] == [b"same", b"unfit", b"new"]


async def test_a_row_that_has_moved_away_makes_room(
    points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    await points.write(points.point("first", vector(1.0)), points.point("second", vector(1.0, 1.0)))
    assert await points.search(vector=vector(1.0), limit=1) == ["first"]
    monkeypatch.setattr(connected(points).writer, "_publish", lambda changes: None)
    await points.write(points.point("first", vector(-1.0), revision=2))
    assert await points.search(vector=vector(1.0), limit=1) == ["second"]


async def test_a_matrix_that_fails_is_loaded_anew(
    points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    await points.write(points.point("a"))
    assert await points.search(vector=vector(1.0)) == ["a"]

    def fail(self: Index, changes: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Index, "apply", fail)
        await points.write(points.point("b"))
    assert await points.search(vector=vector(1.0)) == ["a", "b"]


async def test_rows_written_while_the_matrix_is_loaded_are_found(
    points: Points,
) -> None:
    for turn in range(8):
        tenant = Points(points.store)
        await tenant.write(*(tenant.point(f"a{n:03}") for n in range(300)))

        async def write(subject: Points = tenant) -> None:
            for n in range(20):
                await subject.write(subject.point(f"b{n:02}"))
                await subject.write(subject.point(f"a{n:03}", vector(-1.0), revision=2))
                await subject.delete(subject.address(f"a{n + 100:03}"))

        async def search(subject: Points = tenant, delay: int = turn) -> None:
            for _ in range(delay):
                await subject.count()
            await asyncio.gather(*(subject.search(vector=vector(1.0)) for _ in range(4)))

        await asyncio.gather(write(), search())
        hits = await tenant.query(vector=vector(1.0), limit=1000)
        assert len(hits) == 300
        assert sum(hit.score < 0 for hit in hits) == 20
