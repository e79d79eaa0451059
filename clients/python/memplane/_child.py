"""A gateway as a child of this process, which ends with it, however it ends.

The gateway's standard input is a pipe whose other end this process alone holds: when the process is
gone the operating system closes that end, and the gateway (`memplane serve --until-eof`) stops.
PR_SET_PDEATHSIG would not do: it is Linux's alone, and strikes already when the thread is gone that
started the child.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

_STOP_SECONDS: Final = 10.0
"""A gateway that was asked to stop and has not ended after so long is killed."""
_BANNER: Final = " listening on "
_OWN_GROUP: Final[int] = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
"""Of Windows, where there are no sessions."""

_held: Final[set[int]] = set()
"""The ends of pipes that keep gateways alive."""


def _let_go_after_fork() -> None:
    """A forked child of this process must not keep alive what is its parent's."""
    for end in _held:
        os.close(end)
    _held.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_let_go_after_fork)


class Child:
    """One process; from its start on it has to be ended. Methods may be called in any thread."""

    def __init__(
        self, command: Sequence[str], place: Path, environ: Mapping[str, str], log: IO[bytes]
    ) -> None:
        """Starts it, in a directory of its own that goes away with it.

        Raises:
            OSError: There is no such program.
        """
        self.place = place
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._ended = False
        self.late = False
        """Whether it was killed because the time for its start was up."""
        stdin, self._held = os.pipe()
        _held.add(self._held)
        try:
            self._process = subprocess.Popen(  # noqa: S603 (what the caller named, or our own)
                command,
                cwd=place,
                env=environ,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=log,
                # A Ctrl-C, or an interrupt of a notebook, is meant for us alone.
                start_new_session=True,
                creationflags=_OWN_GROUP,
            )
        except BaseException:
            self._let_go()
            raise
        finally:
            os.close(stdin)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status. None while it runs."""
        return self._process.poll()

    def address(self, seconds: float) -> str:
        """Where it listens, once it serves; "" if it ended before. It is killed when time is up."""
        assert self._process.stdout is not None, "a pipe"
        timer = threading.Timer(seconds, self._time_is_up)
        timer.daemon = True
        timer.start()
        try:
            for line in self._process.stdout:
                _, found, address = line.decode("utf-8", "replace").rpartition(_BANNER)
                if found:
                    return address.strip()
        finally:
            timer.cancel()
        self._process.wait()
        return ""

    def _time_is_up(self) -> None:
        self.late = True
        self.kill()

    def kill(self) -> None:
        """Ends it at once, with all that it started."""
        if self._process.poll() is not None:
            return
        if sys.platform == "win32":
            self._process.kill()
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Has it stop in order, and waits for that. A second time it does nothing."""
        if self._owner != os.getpid():  # a fork has it from its parent, perhaps with the lock taken
            return
        with self._lock:
            if self._ended:
                return
            self._ended = True
            self._let_go()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
                self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            shutil.rmtree(self.place, ignore_errors=True)

    def _let_go(self) -> None:
        _held.discard(self._held)
        os.close(self._held)
