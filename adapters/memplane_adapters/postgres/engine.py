"""The connections of a store, and every failure a StoreError.

psycopg's own pool is not used: it connects behind the callers' backs, so that a wrong password is a
time-out after many seconds, and a server that is back is found by its next try (docs/adr/0013).

Whoever is cancelled leaves at once, and what he has begun is carried out: to cancel a statement
would take another connection, and the server may not answer there either. The server and a timer
here end what takes too long; the timer shuts the socket, which psycopg sees as a lost connection.
"""

from __future__ import annotations

import asyncio
import functools
import math
import os
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from memplane_adapters.contract import StoreError
from memplane_adapters.kit.errors import closed
from memplane_adapters.postgres import errors
from memplane_adapters.postgres.packing import Packed, PackedDumper
from memplane_adapters.postgres.settings import PostgresSettings

T = TypeVar("T")
Row: TypeAlias = tuple[Any, ...]
Preamble: TypeAlias = tuple[bytes, *tuple[object, ...]]
"""A statement and its arguments."""

_PREPARED_AFTER: Final = 1
"""How often a statement is sent before it is prepared; there are few, and they come again."""
_IDLE_PROBE_SECONDS: Final = 60
_OWN_PROCESS: Final = b"select pg_backend_pid()"


class Session:
    """One connection, as statements see it.

    Each statement is a transaction by itself, unless one is begun. What is open when the work fails
    is undone: the connection is closed.
    """

    def __init__(self, connection: psycopg.AsyncConnection[Row]) -> None:
        self._connection = connection
        self.is_new = True
        """Whether nothing was sent on it yet."""
        self.is_late = False
        """Whether its time was over before it answered."""
        self.preamble: Preamble | None = None
        """What every transaction begins with, until the connection is given back."""
        self._is_doubtful = False

    async def start(self, *, prepared: bool) -> None:
        """What a new connection begins with.

        Statements are prepared only where the server itself is at the other end. A pooler may give
        each transaction another connection, on which the same name is another gateway's statement;
        it also says another process than the one that answers.
        """
        if prepared:
            ((process,),) = await self.rows(_OWN_PROCESS)
            if process == self._connection.info.backend_pid:
                self._connection.prepare_threshold = _PREPARED_AFTER
        self.is_new = False

    async def rows(self, statement: bytes, *arguments: object) -> list[Row]:
        """What a statement returns; $1, $2, ... are its arguments."""
        async with self._told(statement, arguments) as cursor:
            return await cursor.fetchall()

    async def run(self, statement: bytes, *arguments: object) -> int:
        """The number of rows that a statement has touched."""
        async with self._told(statement, arguments) as cursor:
            return cursor.rowcount

    @asynccontextmanager
    async def _told(
        self, statement: bytes, arguments: Sequence[object]
    ) -> AsyncIterator[psycopg.AsyncCursor[Row]]:
        """A cursor that has sent a statement; behind the preamble where it begins a transaction.

        What is sent together is one transaction, and one way there and back.
        """
        cursor = self._connection.cursor(binary=True)
        if self.preamble is None or not self.is_idle:
            await cursor.execute(statement, arguments)
            yield cursor
            return
        try:
            async with self._connection.pipeline():
                first = self._connection.cursor(binary=True)
                await first.execute(self.preamble[0], self.preamble[1:])
                await cursor.execute(statement, arguments)
        except Exception:
            # psycopg takes for prepared what the server has skipped, here and whenever it comes again.
            self._is_doubtful = True
            raise
        yield cursor

    async def begin(self) -> None:
        """A transaction in which each statement sees what is there when it starts."""
        await self._begin(b"begin")

    async def begin_snapshot(self) -> None:
        """A transaction that only reads, all of it as it was with the first statement."""
        await self._begin(b"begin isolation level repeatable read, read only")

    async def _begin(self, statement: bytes) -> None:
        preamble, self.preamble = self.preamble, None
        await self.run(statement)
        if preamble is not None:
            await self.run(*preamble)
            self.preamble = preamble

    async def commit(self) -> None:
        await self.run(b"commit")

    async def undo(self) -> None:
        await self.run(b"rollback")

    def setting(self, name: str) -> str:
        """What the server said about itself when it was connected."""
        return self._connection.info.parameter_status(name) or ""

    @property
    def is_idle(self) -> bool:
        """Whether no transaction is open, and none of its answers to come."""
        return self._connection.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE

    @property
    def is_reusable(self) -> bool:
        """Whether another call may have it."""
        return self.is_idle and not self.is_late and not self._is_doubtful

    def is_alive(self) -> bool:
        """Whether the server has not said farewell since it was used last. Sends nothing."""
        poll = select.poll()
        poll.register(self._connection.fileno(), select.POLLIN)
        if not poll.poll(0):
            return True
        try:
            self._connection.pgconn.consume_input()
        except psycopg.OperationalError:
            return False
        # News about settings or a notice; a farewell would have been followed by the end.
        return self.is_idle and not poll.poll(0)

    def hang_up(self) -> None:
        """End what is under way, as if the connection had been lost."""
        self.is_late = True
        with socket.socket(fileno=os.dup(self._connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        await self._connection.close()


class Engine:
    """A few connections to one database, made when they are needed."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings
        self._free: asyncio.Semaphore | None = None
        """How many more calls may have a connection; None is closed."""
        self._idle: Final[list[Session]] = []
        self._under_way: Final[set[asyncio.Task[Any]]] = set()
        self._users: Final[set[object]] = set()

    def open(self, user: object) -> None:
        """Sends nothing. Who opens it for himself closes it for himself."""
        self._users.add(user)
        if self._free is None:
            self._free = asyncio.Semaphore(self._settings.connections)

    async def close(self, user: object) -> None:
        """With the last user: wait for the calls under way, and close the connections."""
        self._users.discard(user)
        if self._users:
            return
        self._free = None
        if self._under_way:
            await asyncio.wait(self._under_way)
        while self._idle:
            await self._idle.pop().close()

    def is_open(self, user: object) -> bool:
        return user in self._users

    async def call(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Have work done on a connection. Raises StoreError and nothing else but CancelledError."""
        free = self._free
        if free is None:
            raise closed()
        await self._reserve(free)
        if self._free is not free:  # closed meanwhile
            free.release()
            raise closed()
        task = asyncio.ensure_future(self._carry_out(work))
        self._under_way.add(task)
        task.add_done_callback(functools.partial(self._done, free))
        await asyncio.wait((task,))
        return task.result()

    async def _reserve(self, free: asyncio.Semaphore) -> None:
        if not free.locked():
            await free.acquire()
            return
        seconds = self._settings.connect_timeout
        try:
            async with asyncio.timeout(seconds):
                await free.acquire()
        except TimeoutError:
            raise errors.crowded(self._settings.connections, seconds) from None

    def _done(self, free: asyncio.Semaphore, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        free.release()
        if not task.cancelled():
            task.exception()  # nobody may be left to look at it

    async def _carry_out(self, work: Callable[[Session], Awaitable[T]]) -> T:
        session = await self._session()
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._settings.timeout, session.hang_up)
        reusable = False
        try:
            if session.is_new:
                await session.start(prepared=self._settings.prepared_statements)
            result = await work(session)
            reusable = True
            return result
        except Exception as error:
            reusable = not session.is_new and not errors.is_read_only(error)
            failure = self._failure(error, session)
            raise (errors.unsent(failure) if session.is_new else failure) from error
        finally:
            timer.cancel()
            session.preamble = None
            if reusable and session.is_reusable:
                self._idle.append(session)
            else:
                await session.close()

    def _failure(self, error: Exception, session: Session) -> StoreError:
        return (
            errors.late(self._settings.timeout) if session.is_late else errors.from_exception(error)
        )

    async def _session(self) -> Session:
        """The connection that was used last and is still there, else a new one."""
        while self._idle:
            session = self._idle.pop()
            if session.is_alive():
                return session
            await session.close()
        try:
            return await _connect(self._settings)
        except Exception as error:
            raise errors.from_connecting(error) from error


async def _connect(settings: PostgresSettings) -> Session:
    parameters = _parameters(settings)
    try:
        connection = await _connected(parameters)
    except psycopg.OperationalError as error:
        if not errors.is_option_refused(error):
            raise
        # Poolers know few parameters. Without ours the timer alone ends what takes too long.
        connection = await _connected({**parameters, "options": _given_options(settings)})
    connection.adapters.register_dumper(Packed, PackedDumper)
    return Session(connection)


async def _connected(parameters: dict[str, Any]) -> psycopg.AsyncConnection[Row]:
    return await psycopg.AsyncConnection.connect(
        **parameters,
        autocommit=True,
        prepare_threshold=None,
        cursor_factory=psycopg.AsyncRawCursor,
    )


def _given_options(settings: PostgresSettings) -> str:
    return str(conninfo_to_dict(settings.url).get("options") or "")


def _parameters(settings: PostgresSettings) -> dict[str, Any]:
    """What libpq is told."""
    given = conninfo_to_dict(settings.url)
    milliseconds = math.ceil(settings.timeout * 1000)
    ours = {
        "user": settings.user,
        "password": settings.password,
        "sslrootcert": settings.ca_file,
        "sslmode": "verify-full" if settings.ca_file and "sslmode" not in given else "",
    }
    usual: dict[str, Any] = {
        "application_name": "memplane",
        "keepalives_idle": _IDLE_PROBE_SECONDS,
        "tcp_user_timeout": milliseconds,
    }
    options = (
        f"{_given_options(settings)} -c statement_timeout={milliseconds}"
        f" -c idle_in_transaction_session_timeout={milliseconds}"
        r" -c default_transaction_isolation=read\ committed"
    )
    return {
        **usual,
        **given,
        **{name: value for name, value in ours.items() if value},
        "options": options.strip(),
        "client_encoding": "UTF8",
        "connect_timeout": math.ceil(settings.connect_timeout),
    }
