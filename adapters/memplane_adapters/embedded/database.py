"""The file and who uses it: opened with the first facade, closed with the last."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from memplane_adapters.contract import (
    Collection,
    Kind,
    StoreError,
    StoreReason,
)
from memplane_adapters.embedded import errors, filesystem, rows
from memplane_adapters.embedded.lock import Lock
from memplane_adapters.embedded.readers import Readers
from memplane_adapters.embedded.schema import migrate
from memplane_adapters.embedded.vectors import Indexes
from memplane_adapters.embedded.writer import Writer

_SUFFIXES = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True, eq=False)
class Connected:
    """An open file."""

    path: Path
    inode: tuple[int, int]
    lock: Lock
    writer: Writer
    readers: Readers
    indexes: Indexes
    in_memory: str | None
    """The type of the file system, where it is one that a loss of power empties."""
    collections: dict[Kind, Collection] = field(default_factory=dict)
    """What was ensured, now or earlier."""

    def size(self) -> int:
        """Bytes on disk."""
        total = 0
        for suffix in _SUFFIXES:
            with contextlib.suppress(OSError):
                total += Path(f"{self.path}{suffix}").stat().st_size
        return total

    def check_file(self) -> None:
        """Notice that the file was deleted or replaced under us."""
        try:
            there = _inode(self.path)
        except OSError:
            there = None
        if there != self.inode:
            raise StoreError(
                StoreReason.COLLECTION_MISSING, f"{self.path} was deleted or replaced while open"
            )

    def close(self) -> None:
        """Finish what is queued, fold the log into the file and let go. Blocks."""
        try:
            self.readers.stop()
            self.writer.stop()
        finally:
            self.lock.release()


class Database:
    """One file for both promises. Holders open and close it; calls that are under way finish."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._gate = threading.Lock()
        self._changed = threading.Condition()
        self._holders: set[object] = set()
        self._calls = 0
        self._connected: Connected | None = None

    def open(self, holder: object) -> None:
        """Open it for a holder, if it is not open yet. Blocks."""
        with self._gate:
            if self._connected is None:
                self._connected = _connect(self._path)
            with self._changed:
                self._holders.add(holder)

    def close(self, holder: object) -> None:
        """Close it for a holder, and the file when that was the last one. Blocks."""
        with self._gate:
            with self._changed:
                self._holders.discard(holder)
                if self._holders or self._connected is None:
                    return
                self._changed.wait_for(lambda: self._calls == 0)
            connected, self._connected = self._connected, None
            connected.close()

    @contextlib.contextmanager
    def call(self, holder: object) -> Iterator[Connected]:
        """The open file for the time of one call."""
        with self._changed:
            if holder not in self._holders or self._connected is None:
                raise errors.closed()
            connected = self._connected
            self._calls += 1
        try:
            yield connected
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()


def remove_file(path: Path) -> None:
    """Remove a database and what stands beside it. Blocks. Raises MISCONFIGURED when it is in use."""
    path = Path(os.path.realpath(path))
    held = _lock_of(path)
    if not path.exists() and not held.exists():
        return
    lock = Lock(held)
    try:
        for suffix in _SUFFIXES:
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        held.unlink()
    except OSError as error:
        raise errors.from_os(error, path) from error
    finally:
        lock.release()


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _connect(path: Path) -> Connected:
    # A link must not lead around the lock.
    path = Path(os.path.realpath(path))
    filesystem.prepare(path.parent)
    lock = Lock(_lock_of(path))
    with contextlib.ExitStack() as undo:
        undo.callback(lock.release)
        filesystem.prepare_file(path)
        try:
            connection = _connection(path)
            undo.callback(connection.close)
            _prepare(connection, path)
            collections = rows.collections(connection)
            indexes = Indexes()
            inode = _inode(path)
            undo.pop_all()
            return Connected(
                path=path,
                inode=inode,
                lock=lock,
                writer=Writer(connection, path, indexes.publish),
                readers=Readers(path, lambda: _reader(path)),
                indexes=indexes,
                in_memory=filesystem.memory_filesystem(path.parent),
                collections=collections,
            )
        except sqlite3.Error as error:
            raise errors.from_sqlite(error, path) from error


def _connection(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=5, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    connection.execute("pragma temp_store = memory")
    connection.execute("pragma cache_size = -16384")
    return connection


def _reader(path: Path) -> sqlite3.Connection:
    connection = _connection(path)
    connection.execute("pragma query_only = on")
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    migrate(connection, path)
    (mode,) = connection.execute("pragma journal_mode = wal").fetchone()
    if mode != "wal":
        raise StoreError(
            StoreReason.MISCONFIGURED, f"{path.parent} does not allow a write-ahead log"
        )
    connection.execute("pragma synchronous = full")
    connection.execute("pragma journal_size_limit = 67108864")
    if sys.platform == "darwin":
        connection.execute("pragma fullfsync = on")
        connection.execute("pragma checkpoint_fullfsync = on")


def _inode(path: Path) -> tuple[int, int]:
    there = path.stat()
    return there.st_dev, there.st_ino
