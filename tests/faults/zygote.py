"""A process with the gateway's modules loaded, forked for each gateway that a test starts.

To load them costs half a second of processor, more with a vendor's, and tests start hundreds. What is
forked has arguments, environment, directory and files of its own, and runs the program from its first
line; it is a child of whoever asked, like a process that was started. It ends when its stdin does.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import pkgutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_LOADED = (
    "memplane_gateway.cli.app",
    "memplane_gateway.cli.settings",
    "memplane_gateway.server",
    "memplane_adapters.embedded",
    "uvloop",
)
_MAIN = "memplane_gateway.cli"
_SUBREAPER = 36  # of prctl(2): PR_SET_CHILD_SUBREAPER
_PAUSE = 0.002


class Forked:
    """A child, as far as subprocess.Popen shows one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once there is one. Raises subprocess.TimeoutExpired."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("a gateway", timeout or 0)
            time.sleep(_PAUSE)
        return code

    def send_signal(self, number: int) -> None:
        """Unless it has ended: another process may have its number by now."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(9)


class Zygote:
    """The process that is forked; started for the first that asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def fork(
        self,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        directory: Path,
        files: tuple[Path, Path],
        *,
        adapters: Sequence[str] = (),
    ) -> Forked:
        """A gateway with its stdout and stderr in these files, and these adapters loaded before it begins."""
        asked = {
            "arguments": [*arguments],
            "environ": dict(environ),
            "directory": str(directory),
            "files": [os.devnull, *map(str, files)],
            "adapters": [*adapters],
        }
        with self._lock:
            process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            # The child's own parent ends at once: it is handed to us.
            _adopts(True)
            try:
                process.stdin.write(json.dumps(asked).encode() + b"\n")
                process.stdin.flush()
                answer = process.stdout.readline()
            finally:
                _adopts(False)
        assert answer, "the zygote has ended"
        return Forked(int(answer))

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        return self._process


ZYGOTE = Zygote()


def _adopts(whether: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_SUBREAPER, int(whether), 0, 0, 0) == 0, os.strerror(ctypes.get_errno())


# --- in the process itself ---------------------------------------------------------------------


def main() -> None:
    """Fork for each line of stdin, and say the number of the child."""
    for name in _LOADED:
        importlib.import_module(name)
    with open(0, "rb", closefd=False) as lines:
        for line in lines:
            asked = json.loads(line)
            for name in asked["adapters"]:
                _load(name)
            gc.freeze()
            reading, writing = os.pipe()
            between = os.fork()
            if not between:
                child = os.fork()
                if child:
                    os.write(writing, b"%d\n" % child)
                    os._exit(0)
                _become(asked)
                break
            os.waitpid(between, 0)  # then the child has its new parent
            os.write(1, os.read(reading, 20))
            os.close(reading)
            os.close(writing)
        else:
            return
    importlib.import_module(_MAIN).main()


def _load(adapter: str) -> None:
    package = importlib.import_module(f"memplane_adapters.{adapter}")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def _become(asked: Mapping[str, Any]) -> None:
    """What a new process would have had from its beginning."""
    os.closerange(3, 256)
    for number, path in enumerate(asked["files"]):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY
        file = os.open(path, flags, 0o666)
        os.dup2(file, number)
        os.close(file)
    os.chdir(asked["directory"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    program = importlib.import_module(_MAIN).__file__ or ""
    sys.argv = [str(Path(program).with_name("__main__.py")), *asked["arguments"]]


if __name__ == "__main__":
    main()
