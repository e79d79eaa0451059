"""What the emulator keeps: indexes, their namespaces, and what reads see of these.

A namespace has two states. The committed one is what was written, kept in a file of SQLite so that it
outlives the process. The visible one is what reads see: it lags behind by writes (LSNs), and each
read moves it on by one. After a start everything is visible.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson

from memplane_adapters.pinecone.emulator.metadata import Metadata

_SCHEMA = """
create table if not exists indexes (name text primary key, model blob not null) without rowid;
create table if not exists namespaces (
    "index" text, name text, lsn integer not null, primary key ("index", name)) without rowid;
create table if not exists records (
    "index" text, namespace text, id text, "values" blob not null, metadata blob not null,
    primary key ("index", namespace, id)) without rowid;
"""


@dataclass(frozen=True, slots=True)
class Record:
    """A vector with its metadata."""

    id: str
    values: npt.NDArray[np.float32]
    metadata: Metadata


Change: TypeAlias = tuple[str, Record | None]
"""An id and its new record; None is deleted."""


@dataclass(slots=True)
class Namespace:
    """The records of one namespace."""

    lsn: int = 0
    committed: dict[str, Record] = field(default_factory=dict)
    visible: dict[str, Record] = field(default_factory=dict)
    pending: deque[tuple[int, list[Change]]] = field(default_factory=deque)

    @property
    def indexed(self) -> int:
        """The last LSN that reads see."""
        return self.pending[0][0] - 1 if self.pending else self.lsn

    def commit(self, changes: list[Change], lag: int) -> int:
        """Write, to be seen later; says at which LSN."""
        self.lsn += 1
        _apply(self.committed, changes)
        self.pending.append((self.lsn, changes))
        while len(self.pending) > lag:
            self.move_on()
        return self.lsn

    def move_on(self) -> None:
        """Show one write more, if there is one."""
        if self.pending:
            _apply(self.visible, self.pending.popleft()[1])


def _apply(records: dict[str, Record], changes: Iterable[Change]) -> None:
    for name, record in changes:
        if record is None:
            records.pop(name, None)
        else:
            records[name] = record


@dataclass(slots=True)
class Index:
    """An index and its namespaces."""

    model: dict[str, Any]
    namespaces: dict[str, Namespace] = field(default_factory=dict)
    described: int = 0
    """How often it was asked about since it was made."""

    @property
    def dimension(self) -> int:
        dimension: int = self.model["schema"]["fields"]["_values"]["dimension"]
        return dimension

    @property
    def metric(self) -> str:
        metric: str = self.model["schema"]["fields"]["_values"]["metric"]
        return metric


class State:
    """All of it, with the file behind it."""

    def __init__(self, file: Path, *, lag: int) -> None:
        self.lag = lag
        self.indexes: dict[str, Index] = {}
        self._database = sqlite3.connect(file, isolation_level=None)
        # A process that is killed loses nothing; a machine that fails may.
        self._database.execute("pragma journal_mode=wal")
        self._database.execute("pragma synchronous=off")
        self._database.executescript(_SCHEMA)
        self._load()

    def close(self) -> None:
        self._database.close()

    def add(self, model: dict[str, Any]) -> Index:
        """A new index."""
        index = self.indexes[model["name"]] = Index(model)
        self._database.execute(
            "insert into indexes values (?, ?)", (model["name"], orjson.dumps(model))
        )
        return index

    def remove(self, name: str) -> None:
        """An index and all that is in it."""
        del self.indexes[name]
        with self._database:
            self._database.execute("begin")
            self._database.execute("delete from indexes where name = ?", (name,))
            for table in ("namespaces", "records"):
                self._database.execute(f'delete from {table} where "index" = ?', (name,))  # noqa: S608 (our words)

    def commit(self, index: Index, namespace: str, changes: list[Change]) -> int:
        """Write to a namespace, which is made by that; says at which LSN."""
        kept = index.namespaces.setdefault(namespace, Namespace())
        name = index.model["name"]
        lsn = kept.commit(changes, self.lag)
        self._database.execute("begin")
        self._database.execute(
            "insert or replace into namespaces values (?, ?, ?)", (name, namespace, lsn)
        )
        for one, record in changes:
            if record is None:
                self._database.execute(
                    'delete from records where "index" = ? and namespace = ? and id = ?',
                    (name, namespace, one),
                )
            else:
                values = record.values.tobytes()
                row = (name, namespace, one, values, orjson.dumps(record.metadata))
                self._database.execute("insert or replace into records values (?, ?, ?, ?, ?)", row)
        self._database.execute("commit")
        return lsn

    def drop(self, index: Index, namespace: str) -> None:
        """A namespace and all that is in it."""
        del index.namespaces[namespace]
        name = index.model["name"]
        for table, column in (("namespaces", "name"), ("records", "namespace")):
            self._database.execute(
                f'delete from {table} where "index" = ? and {column} = ?',  # noqa: S608 (our words)
                (name, namespace),
            )

    def _load(self) -> None:
        for name, model in self._database.execute("select * from indexes"):
            self.indexes[name] = Index(orjson.loads(model), described=1)
        for name, namespace, lsn in self._database.execute("select * from namespaces"):
            self.indexes[name].namespaces[namespace] = Namespace(lsn)
        for name, namespace, one, values, metadata in self._database.execute(
            "select * from records"
        ):
            kept = self.indexes[name].namespaces[namespace]
            vector = np.frombuffer(values, np.float32)
            kept.committed[one] = Record(one, vector, orjson.loads(metadata))
        for index in self.indexes.values():
            for kept in index.namespaces.values():
                kept.visible = dict(kept.committed)


def fields(record: Record, *, values: bool = True) -> Mapping[str, Any]:
    """A record as it is answered."""
    shown = {"id": record.id, "metadata": record.metadata}
    return {**shown, "values": record.values} if values else shown
