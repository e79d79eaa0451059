"""What goes wrong with a SQLite file, in the words of the contract."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from memplane_adapters.contract import StoreError, StoreReason

_REASONS = {
    sqlite3.SQLITE_FULL: StoreReason.EXHAUSTED,
    sqlite3.SQLITE_NOMEM: StoreReason.EXHAUSTED,
    sqlite3.SQLITE_CORRUPT: StoreReason.DAMAGED,
    sqlite3.SQLITE_NOTADB: StoreReason.DAMAGED,
    sqlite3.SQLITE_READONLY: StoreReason.MISCONFIGURED,
    sqlite3.SQLITE_CANTOPEN: StoreReason.MISCONFIGURED,
    sqlite3.SQLITE_PERM: StoreReason.MISCONFIGURED,
    sqlite3.SQLITE_AUTH: StoreReason.MISCONFIGURED,
    sqlite3.SQLITE_BUSY: StoreReason.UNAVAILABLE,
    sqlite3.SQLITE_LOCKED: StoreReason.UNAVAILABLE,
    sqlite3.SQLITE_IOERR: StoreReason.UNAVAILABLE,
    sqlite3.SQLITE_TOOBIG: StoreReason.ITEM_TOO_LARGE,
}


def from_sqlite(error: sqlite3.Error, path: Path) -> StoreError:
    """The store's error for one of SQLite's."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if isinstance(error, sqlite3.DataError):
        code = sqlite3.SQLITE_TOOBIG
    reason = _REASONS.get(code, StoreReason.PROTOCOL)
    return StoreError(reason, f"{path}: {error}", retryable=reason is StoreReason.UNAVAILABLE)


def from_os(error: OSError, path: Path) -> StoreError:
    """The store's error for one of the operating system's."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    reason = StoreReason.EXHAUSTED if full else StoreReason.MISCONFIGURED
    return StoreError(reason, f"{path}: {error.strerror or error}")


def closed() -> StoreError:
    """The store is not open."""
    return StoreError(StoreReason.CLOSED, "the embedded store is not open")
