"""The one writer: all that is queued becomes one transaction with one fsync (group commit).

A job runs in a savepoint of its own, so that one that fails, fails alone. Jobs are acknowledged
after the commit and after the vectors in memory were brought up to it. A cancelled job was either
skipped before it began, or is carried out like any other.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from memplane_adapters.contract import StoreError
from memplane_adapters.embedded import errors
from memplane_adapters.embedded.vectors import Change

T = TypeVar("T")

_MAX_JOBS = 1_000
"""Jobs in one transaction."""


class Transaction:
    """What a job works on."""

    def __init__(self, connection: sqlite3.Connection, last_id: int) -> None:
        self.connection = connection
        self.changes: list[Change] = []
        """What vectors in memory have to know after the commit, in order."""
        self.undone = False
        self._last_id = last_id

    def new_id(self) -> int:
        """A row id that was never there while this process runs."""
        self._last_id += 1
        return self._last_id

    def undo(self) -> None:
        """Take back what this job did, and still give its caller the result."""
        self.undone = True


Work: TypeAlias = Callable[[Transaction], T]


@dataclass(slots=True, eq=False)
class _Job:
    work: Work[Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class _Batch:
    jobs: list[_Job] = field(default_factory=list)
    last: bool = False


class Writer:
    """A thread with the only connection that writes."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        publish: Callable[[list[Change]], None],
    ) -> None:
        last_id = connection.execute("select coalesce(max(id), 0) from memory").fetchone()[0]
        self._transaction = Transaction(connection, last_id)
        self._connection = connection
        self._path = path
        self._publish = publish
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="memplane-writer", daemon=True)
        self._thread.start()

    async def run(self, work: Work[T]) -> T:
        """Have the work done in the next transaction; returns when it is on disk."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put(_Job(work, loop, future))
        return await future

    def stop(self) -> None:
        """Carry out what is queued, and end. Blocks."""
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        last = False
        while not last:
            batch = self._drain()
            last = batch.last
            jobs = batch.jobs
            while jobs:
                done, jobs = self._carry_out(jobs)
                _acknowledge(done)

    def _drain(self) -> _Batch:
        batch = _Batch()
        job = self._queue.get()
        while True:
            if job is None:
                batch.last = True
                return batch
            batch.jobs.append(job)
            if len(batch.jobs) == _MAX_JOBS:
                return batch
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return batch

    def _carry_out(self, jobs: list[_Job]) -> tuple[list[_Job], list[_Job]]:
        """Run jobs in one transaction; returns those that are over and those that are to come."""
        begun: list[_Job] = []
        try:
            self._connection.execute("begin immediate")
            for job in jobs:
                if job.future.cancelled():
                    continue
                begun.append(job)
                if not self._try(job):  # SQLite gave up the whole transaction
                    _fail(begun, job.error)
                    return begun, jobs[jobs.index(job) + 1 :]
            self._connection.execute("commit")
            self._publish(self._transaction.changes)
        except sqlite3.Error as error:
            self._roll_back()
            _fail(jobs, errors.from_sqlite(error, self._path))
            return jobs, []
        except BaseException as error:  # noqa: BLE001 (the callers get it; the thread must live)
            self._roll_back()
            _fail(jobs, error)
            return jobs, []
        finally:
            self._transaction.changes.clear()
        return begun, []

    def _try(self, job: _Job) -> bool:
        """Run a job in its savepoint; False when the whole transaction is lost."""
        transaction, connection = self._transaction, self._connection
        mark = len(transaction.changes)
        transaction.undone = False
        connection.execute("savepoint job")
        try:
            job.result = job.work(transaction)
        except sqlite3.Error as error:
            job.error = errors.from_sqlite(error, self._path)
        except Exception as error:  # noqa: BLE001 (the caller gets it)
            job.error = error
        if job.error is not None or transaction.undone:
            del transaction.changes[mark:]
            if not connection.in_transaction:
                return False
            connection.execute("rollback to job")
        connection.execute("release job")
        return True

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("rollback")


def _fail(jobs: list[_Job], error: BaseException | None) -> None:
    for job in jobs:
        job.error = job.error or error


def _acknowledge(jobs: list[_Job]) -> None:
    """Tell every caller on his own loop, with one call a loop."""
    loops: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in jobs:
        loops.setdefault(job.loop, []).append(job)
    for loop, theirs in loops.items():
        try:
            loop.call_soon_threadsafe(_deliver, theirs)
        except RuntimeError:  # the loop is closed: nobody waits any more
            continue


def _deliver(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is None:
            job.future.set_result(job.result)
        elif isinstance(job.error, StoreError):
            job.future.set_exception(_copy(job.error))
        else:
            job.future.set_exception(job.error)


def _copy(error: StoreError) -> StoreError:
    """An exception of one's own: several callers raising the same object would mix their traces."""
    copy = StoreError(
        error.reason,
        str(error),
        retryable=error.retryable,
        retry_after=error.retry_after,
        metadata=error.metadata,
    )
    copy.__cause__ = error.__cause__
    return copy
