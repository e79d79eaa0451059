"""Vectors in memory: a matrix for each partition, for exact search.

Rows are appended and never changed in place; what is replaced or deleted is a tombstone in a mask
that is copied before it changes. A reader takes `Index.snapshot` once and sees one moment.
"""

from __future__ import annotations

import bisect
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from memplane_adapters.contract import Fields, Vector

NEVER = 2**63 - 1
"""The expire_time of what does not expire."""

_log = logging.getLogger(__name__)

_CACHED_FIELDS = 50_000
_COMPACT_FROM = 256

Positions: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class VectorRow:
    """What memory keeps of a row."""

    id: int
    namespace: bytes
    revision: int
    time: int
    expire_time: int
    vector: Vector


LoadedRow: TypeAlias = tuple[int, bytes, int, int, int, bytes]
"""The same as it is read from the file, with the vector as bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """A row of a partition that was written, or that has no vector (any more)."""

    partition: int
    id: int
    row: VectorRow | None


class Names:
    """Namespaces by number; grows only."""

    def __init__(self) -> None:
        self._names: list[bytes] = []
        self._codes: dict[bytes, int] = {}
        self._sorted: tuple[list[bytes], npt.NDArray[np.int32]] = ([], np.empty(0, np.int32))

    def code(self, name: bytes) -> int:
        """The number of a namespace, a new one for a new namespace. For the writer."""
        code = self._codes.get(name)
        if code is None:
            code = self._codes[name] = len(self._names)
            self._names.append(name)
        return code

    def name(self, code: int) -> bytes:
        """The namespace of a number."""
        return self._names[code]

    def under(self, prefix: bytes, behind: bytes) -> npt.NDArray[np.int32]:
        """The numbers of all namespaces in [prefix, behind)."""
        names, codes = self._sorted
        if len(names) != len(self._names):
            # Python's sort merges the old and the new run in linear time.
            pairs = sorted(
                [*zip(names, codes.tolist(), strict=True)]
                + [(name, code) for code, name in enumerate(self._names[len(names) :], len(names))]
            )
            names = [name for name, _ in pairs]
            codes = np.array([code for _, code in pairs], np.int32)
            self._sorted = names, codes
        return codes[bisect.bisect_left(names, prefix) : bisect.bisect_left(names, behind)]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """All vectors of a partition at one moment; the arrays may be longer than `count`."""

    count: int
    live: int
    names: Names
    matrix: npt.NDArray[np.float32]
    ids: npt.NDArray[np.int64]
    revisions: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    expire_times: npt.NDArray[np.int64]
    codes: npt.NDArray[np.int32]
    alive: npt.NDArray[np.bool_]

    def select(self, alive_at: int, namespaces: tuple[bytes, bytes] | None) -> Positions | None:
        """Rows that are there and lie in a range of namespaces; None is all of the matrix."""
        count = self.count
        mask = self.expire_times[:count] > alive_at
        if self.live < count:
            mask &= self.alive[:count]
        if namespaces is not None:
            under = self.names.under(*namespaces)
            codes = self.codes[:count]
            if under.size == 1:
                mask &= codes == under[0]
            else:
                table = np.zeros(int(max(under.max(initial=0), codes.max(initial=0))) + 1, np.bool_)
                table[under] = True
                mask &= table[codes]
        return None if mask.all() else np.flatnonzero(mask)


class Index:
    """The matrix of one partition. One thread writes, any number read."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.snapshot = _empty(dimension, 0)
        self._positions: dict[int, int] = {}
        self._fields: dict[int, tuple[int, Fields]] = {}

    def fields(self, row_id: int, revision: int) -> Fields | None:
        """Decoded fields of a revision, if they are remembered."""
        cached = self._fields.get(row_id)
        return cached[1] if cached is not None and cached[0] == revision else None

    def remember(self, row_id: int, revision: int, fields: Fields) -> None:
        """Keep decoded fields for the next filter."""
        if len(self._fields) >= _CACHED_FIELDS:
            self._fields.clear()
        self._fields[row_id] = revision, fields

    def fill(self, rows: Sequence[LoadedRow]) -> None:
        """Take over all rows of the file, at the beginning."""
        if not rows:
            return
        ids, namespaces, revisions, times, expire_times, vectors = zip(*rows, strict=True)
        size = len(rows)
        new = _empty(self.dimension, max(64, size + size // 4))
        new.ids[:size] = ids
        new.revisions[:size] = revisions
        new.times[:size] = times
        new.expire_times[:size] = expire_times
        new.codes[:size] = list(map(new.names.code, namespaces))
        new.matrix[:size] = np.frombuffer(b"".join(vectors), "<f4").reshape(size, -1)
        new.alive[:size] = True
        self._positions = dict(zip(ids, range(size), strict=True))
        self.snapshot = replace(new, count=size, live=size)

    def apply(self, changes: Sequence[Change]) -> None:
        """Take over committed changes; the last one for a row counts."""
        final = {change.id: change.row for change in changes}
        old = self.snapshot
        dead = [self._positions.pop(row_id) for row_id in final if row_id in self._positions]
        rows = [row for row in final.values() if row is not None]
        live = old.live - len(dead) + len(rows)
        alive = old.alive
        if dead:
            alive = alive.copy()
            alive[dead] = False
            for row_id in final:
                self._fields.pop(row_id, None)
        now = replace(old, live=old.live - len(dead), alive=alive)
        count = old.count + len(rows)
        wasteful = count >= _COMPACT_FROM and live * 2 < count
        if wasteful or count > len(old.ids):
            now = self._moved(now, len(rows))
        self.snapshot = self._appended(now, rows)

    def _moved(self, old: Snapshot, more: int) -> Snapshot:
        """A copy without tombstones, with room for more and then as much again."""
        kept = np.flatnonzero(old.alive[: old.count])
        new = _empty(self.dimension, max(64, 2 * (kept.size + more)))
        codes = old.codes[kept]
        for code in np.unique(codes).tolist():
            new.names.code(old.names.name(code))
        renamed = np.zeros(int(codes.max(initial=0)) + 1, np.int32)
        for number, code in enumerate(np.unique(codes).tolist()):
            renamed[code] = number
        size = kept.size
        new.matrix[:size] = old.matrix[kept]
        new.ids[:size] = old.ids[kept]
        new.revisions[:size] = old.revisions[kept]
        new.times[:size] = old.times[kept]
        new.expire_times[:size] = old.expire_times[kept]
        new.codes[:size] = renamed[codes]
        new.alive[:size] = True
        self._positions = dict(zip(new.ids[:size].tolist(), range(size), strict=True))
        return replace(new, count=size, live=size)

    def _appended(self, old: Snapshot, rows: Sequence[VectorRow]) -> Snapshot:
        """Rows behind `count` are seen by no reader, so they are written in place."""
        start, end = old.count, old.count + len(rows)
        if rows:
            old.matrix[start:end] = [row.vector for row in rows]
            old.ids[start:end] = [row.id for row in rows]
            old.revisions[start:end] = [row.revision for row in rows]
            old.times[start:end] = [row.time for row in rows]
            old.expire_times[start:end] = [row.expire_time for row in rows]
            old.codes[start:end] = [old.names.code(row.namespace) for row in rows]
            old.alive[start:end] = True
            self._positions.update(
                (row.id, position) for position, row in enumerate(rows, start=start)
            )
        return replace(old, count=end, live=old.live + len(rows))


class Indexes:
    """The matrices that were asked for, by partition; each is loaded at its first search."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: dict[int, Index] = {}
        self._loading: dict[int, list[Change]] = {}
        self._loaders: dict[int, threading.Lock] = {}

    def publish(self, changes: Sequence[Change]) -> None:
        """Take over what was committed, before it is acknowledged."""
        partitions: dict[int, list[Change]] = {}
        for change in changes:
            partitions.setdefault(change.partition, []).append(change)
        with self._lock:
            for partition, its in partitions.items():
                if partition in self._loaded:
                    try:
                        self._loaded[partition].apply(its)
                    except Exception:  # noqa: BLE001 (out of memory, most likely; the file has it)
                        _log.exception("vectors in memory are dropped and will be loaded anew")
                        del self._loaded[partition]
                elif partition in self._loading:
                    self._loading[partition] += its

    def forget(self) -> None:
        """Let go of all matrices; the next search loads its own again."""
        with self._lock:
            self._loaded.clear()

    def get(self, partition: int, dimension: int, load: Callable[[], list[LoadedRow]]) -> Index:
        """The matrix; `load` reads the rows from the file at any moment after it is called."""
        index = self._loaded.get(partition)
        if index is not None:
            return index
        with self._lock:
            loader = self._loaders.setdefault(partition, threading.Lock())
        with loader:
            index = self._loaded.get(partition)
            if index is not None:
                return index
            # What is committed from here on is noted and applied again: that changes nothing.
            with self._lock:
                self._loading[partition] = []
            try:
                index = Index(dimension)
                index.fill(load())
            except BaseException:
                with self._lock:
                    del self._loading[partition]
                raise
            with self._lock:
                index.apply(self._loading.pop(partition))
                self._loaded[partition] = index
            return index


def _empty(dimension: int, capacity: int) -> Snapshot:
    return Snapshot(
        count=0,
        live=0,
        names=Names(),
        matrix=np.empty((capacity, dimension), np.float32),
        ids=np.empty(capacity, np.int64),
        revisions=np.empty(capacity, np.int64),
        times=np.empty(capacity, np.int64),
        expire_times=np.empty(capacity, np.int64),
        codes=np.empty(capacity, np.int32),
        alive=np.empty(capacity, np.bool_),
    )
