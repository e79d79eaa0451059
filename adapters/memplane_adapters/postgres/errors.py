"""What goes wrong with PostgreSQL, in the words of the contract; pure functions.

The server says by its SQLSTATE what happened, and a statement that it refuses is undone as a whole:
then nothing was written. While connecting there is no SQLSTATE, only words (libpq keeps it to itself).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import psycopg

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.kit.errors import failure

_BY_STATE: Final[Mapping[str, StoreReason]] = {
    "08": StoreReason.INTERRUPTED,
    "08001": StoreReason.UNAVAILABLE,
    "08004": StoreReason.UNAVAILABLE,
    "08P01": StoreReason.PROTOCOL,
    "25006": StoreReason.UNAVAILABLE,  # a standby, perhaps after a failover: the next one may write
    "25P03": StoreReason.INTERRUPTED,
    "25P04": StoreReason.TIMEOUT,
    "26000": StoreReason.MISCONFIGURED,  # a pooler between that does not know prepared statements
    "28": StoreReason.MISCONFIGURED,
    "3D000": StoreReason.MISCONFIGURED,
    "3F000": StoreReason.COLLECTION_MISSING,
    "40": StoreReason.UNAVAILABLE,  # undone for the sake of others: nothing was written
    "40003": StoreReason.INTERRUPTED,
    "42501": StoreReason.MISCONFIGURED,
    "42703": StoreReason.MISCONFIGURED,
    "42804": StoreReason.MISCONFIGURED,
    "42P01": StoreReason.COLLECTION_MISSING,
    "42P05": StoreReason.MISCONFIGURED,
    "42P07": StoreReason.MISCONFIGURED,
    "53": StoreReason.EXHAUSTED,
    "54": StoreReason.ITEM_TOO_LARGE,
    "55P03": StoreReason.UNAVAILABLE,
    "57014": StoreReason.TIMEOUT,
    "57P01": StoreReason.INTERRUPTED,
    "57P02": StoreReason.INTERRUPTED,
    "57P03": StoreReason.UNAVAILABLE,
    "57P04": StoreReason.MISCONFIGURED,
    "57P05": StoreReason.INTERRUPTED,
    "58": StoreReason.UNAVAILABLE,
    "58P01": StoreReason.DAMAGED,
    "58P02": StoreReason.DAMAGED,
    "F0": StoreReason.MISCONFIGURED,
    "XX001": StoreReason.DAMAGED,
    "XX002": StoreReason.DAMAGED,
}
"""By SQLSTATE, or by its first two characters, the class."""

_TOO_MANY_CONNECTIONS: Final = "53300"
_SERVER_IS_READ_ONLY: Final = "25006"
_OPTION_REFUSED: Final = "unsupported startup parameter"

_BY_WORDS: Final[tuple[tuple[str, StoreReason], ...]] = (
    ("too many clients", StoreReason.EXHAUSTED),
    ("too many connections", StoreReason.EXHAUSTED),
    ("connection slots are reserved", StoreReason.EXHAUSTED),
    ("the database system is", StoreReason.UNAVAILABLE),  # starting up, shutting down, in recovery
    ("authentication failed", StoreReason.MISCONFIGURED),
    ("no password supplied", StoreReason.MISCONFIGURED),
    ("no pg_hba.conf entry", StoreReason.MISCONFIGURED),
    ("does not exist", StoreReason.MISCONFIGURED),  # a role, a database, a file of certificates
    ("not permitted to log in", StoreReason.MISCONFIGURED),
    ("permission denied", StoreReason.MISCONFIGURED),
    ("not currently accepting connections", StoreReason.MISCONFIGURED),
    (_OPTION_REFUSED, StoreReason.MISCONFIGURED),
    ("unsupported frontend protocol", StoreReason.MISCONFIGURED),
    ("certificate", StoreReason.MISCONFIGURED),
    ("does not support ssl", StoreReason.MISCONFIGURED),
    ("no encryption", StoreReason.MISCONFIGURED),
    ("ssl error", StoreReason.MISCONFIGURED),
    ("invalid value for parameter", StoreReason.MISCONFIGURED),
)
"""The first that fits. libpq's own words are English; a server's are in its language."""


def from_connecting(error: Exception) -> StoreError:
    """The store's error for what is raised while connecting: nothing was sent."""
    message = _message(error)
    if isinstance(error, psycopg.ProgrammingError):  # the URL, before anything is tried
        return failure(StoreReason.MISCONFIGURED, message)
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return unsent(from_exception(error))
    lowered = message.lower()
    for words, reason in _BY_WORDS:
        if words in lowered:
            exhausted = reason is StoreReason.EXHAUSTED
            return (
                StoreError(reason, message, retryable=exhausted)
                if exhausted
                else failure(reason, message)
            )
    # The server took a password and then refused, in a language that we do not read.
    if isinstance(error, psycopg.OperationalError) and getattr(
        error.pgconn, "used_password", False
    ):
        return failure(StoreReason.MISCONFIGURED, message)
    return failure(StoreReason.UNAVAILABLE, message)


def from_exception(error: Exception) -> StoreError:
    """The store's error for what is raised while a statement is under way."""
    if isinstance(error, StoreError):
        return error
    message = _message(error)
    if not isinstance(error, psycopg.Error):
        lost = isinstance(error, OSError)
        return failure(StoreReason.INTERRUPTED if lost else StoreReason.PROTOCOL, message)
    state = error.sqlstate
    if state is None:
        lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return failure(StoreReason.INTERRUPTED if lost else StoreReason.PROTOCOL, message)
    reason = _BY_STATE.get(state) or _BY_STATE.get(state[:2], StoreReason.PROTOCOL)
    if state == _TOO_MANY_CONNECTIONS:
        return StoreError(reason, message, retryable=True)
    return failure(reason, message)


def is_option_refused(error: Exception) -> bool:
    """Whether what is between does not let through what a connection is to begin with."""
    return _OPTION_REFUSED in _message(error).lower()


def is_read_only(error: Exception) -> bool:
    """Whether the server takes no writes: another one may do so by now."""
    return isinstance(error, psycopg.Error) and error.sqlstate == _SERVER_IS_READ_ONLY


def late(seconds: float) -> StoreError:
    """No answer came in time, and the connection was given up."""
    return failure(StoreReason.TIMEOUT, f"no answer within {seconds:g} s")


def crowded(connections: int, seconds: float) -> StoreError:
    """All connections were in use; nothing was sent."""
    return failure(
        StoreReason.UNAVAILABLE, f"none of {connections} connections was free within {seconds:g} s"
    )


def read_only() -> StoreError:
    """The server takes no writes, as it says itself when it is asked."""
    return failure(
        StoreReason.UNAVAILABLE, "the server takes no writes: a standby, or made read-only"
    )


def _message(error: Exception) -> str:
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    text = f"{type(error).__name__}: {error}"
    return f"{state} {text}" if state else text


def unsent(error: StoreError) -> StoreError:
    """The same, when it is known that nothing of the work had been sent."""
    if error.reason in (StoreReason.INTERRUPTED, StoreReason.TIMEOUT):
        return failure(StoreReason.UNAVAILABLE, str(error))
    return error
