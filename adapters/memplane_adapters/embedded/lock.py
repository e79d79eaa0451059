"""One process owns the file: a lock that the operating system lets go with the process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.embedded import errors

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # a locked byte cannot be read: not the pid's
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Lock:
    """The lock beside one database file; the lock file stays, with the owner's pid in it."""

    def __init__(self, path: Path) -> None:
        """Take it, or raise MISCONFIGURED with the owner's pid."""
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise errors.from_os(error, path) from error
        try:
            _take(self._descriptor)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)
        except OSError as error:
            owner = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            if not isinstance(error, BlockingIOError | PermissionError):
                raise errors.from_os(error, path) from error
            raise StoreError(
                StoreReason.MISCONFIGURED,
                f"the directory {path.parent} is in use by process {owner or 'unknown'}; one "
                "process owns it: stop that one, or give this one another directory",
                metadata={"directory": str(path.parent), "pid": owner},
            ) from error

    def release(self) -> None:
        """Let go."""
        os.close(self._descriptor)
