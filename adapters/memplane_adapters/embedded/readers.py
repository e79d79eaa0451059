"""A few reader threads, each with a connection of its own that sees snapshots (WAL)."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from memplane_adapters.embedded import errors

T = TypeVar("T")


class Readers:
    """The pool."""

    def __init__(
        self, path: Path, connect: Callable[[], sqlite3.Connection], threads: int = 4
    ) -> None:
        self._path = path
        self._connect = connect
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="memplane-reader")

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Have the work done by a reader."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._call, work)

    def stop(self) -> None:
        """Let what has begun finish, and end. Blocks."""
        self._executor.shutdown(wait=True)
        for connection in self._connections:
            connection.close()

    def _call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = self._connect()
                self._connections.append(connection)
            return work(connection)
        except sqlite3.Error as error:
            raise errors.from_sqlite(error, self._path) from error


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """What is read within is of one moment: that of the first read."""
    connection.execute("begin")
    try:
        yield
    finally:
        connection.execute("rollback")
