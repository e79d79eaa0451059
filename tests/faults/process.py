"""A real gateway in a process of its own: start it, wait until it serves, kill it, start it again."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import grpc
from tests.faults.zygote import ZYGOTE, Forked

from memplane.v1 import admin_service_pb2, admin_service_pb2_grpc
from memplane_gateway.config import installed

START_SECONDS = 30.0
STOP_SECONDS = 20.0
# As an installed gateway has it: modules are compiled once. `make test` keeps what is compiled beside
# the sources; where that is forbidden it is kept elsewhere, for as long as this process runs.
BYTECODE: dict[str, str] = {}
if sys.dont_write_bytecode:
    BYTECODE = {
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": tempfile.mkdtemp(prefix="mp-bytecode-"),
    }
    atexit.register(shutil.rmtree, BYTECODE["PYTHONPYCACHEPREFIX"], ignore_errors=True)
KNOWN = {name for name in installed() if find_spec(f"memplane_adapters.{name}") is not None}
COMMAND = (sys.executable, "-m", "memplane_gateway.cli", "serve")


class NotStartedError(Exception):
    """A gateway ended before it served."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"ended with {code}: {said[-2000:]}")
        self.code = code
        self.said = said


def until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.002)


class Gateway:
    """One gateway on one data directory; it may be started again and again."""

    forks: ClassVar[bool] = True
    """Whether it begins with its modules loaded; what is about starts has `real_starts` instead."""

    def __init__(
        self,
        root: Path,
        *,
        listen: str = "",
        data: Path | None = None,
        environ: Mapping[str, str] | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.root = root
        self.data = data or root / "data"
        self.listen = listen or f"unix:{root}/gateway.sock"
        self.address = ""
        self.command = command
        self.starts = 0
        self._environ = dict(environ or {})
        self._process: subprocess.Popen[bytes] | Forked | None = None

    @property
    def pid(self) -> int:
        """The process that runs, or ran last."""
        assert self._process is not None, "started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether the last start came so far that it listened."""
        return self._listening()

    @property
    def said(self) -> str:
        """What the last start said on stderr."""
        return self._file("stderr").read_text("utf-8", "replace")

    @property
    def log(self) -> str:
        """All that was said on stderr, over all starts."""
        files = sorted(self.root.glob("stderr-*"))
        return "".join(file.read_text("utf-8", "replace") for file in files)

    def launch(self) -> Self:
        """Start the process, without waiting for anything."""
        assert not self.running, "one at a time"
        self.starts += 1
        kept = {k: v for k, v in os.environ.items() if not k.upper().startswith("MEMPLANE_")}
        environ = {**kept, **BYTECODE, "HOME": str(self.root), **self._environ}
        arguments = ["--data", str(self.data), "--listen", self.listen]
        out, err = self._file("stdout"), self._file("stderr")
        if self._may_be_forked():
            out.touch()
            self._process = ZYGOTE.fork(
                [*COMMAND[3:], *arguments],
                environ,
                self.root,
                (out, err),
                adapters=self._adapters(),
            )
            return self
        with out.open("wb") as stdout, err.open("wb") as stderr:
            self._process = subprocess.Popen(
                [*self.command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=self.root,
                env=environ,
            )
        return self

    def _may_be_forked(self) -> bool:
        """Unless it is another program, or Python is to be told something before it begins.

        Who is handed the children of another is for Linux to say.
        """
        told = any(name.startswith("PYTHON") for name in self._environ)
        return self.forks and self.command is COMMAND and not told and sys.platform == "linux"

    def _adapters(self) -> list[str]:
        """Those that its environment names."""
        named = {value.partition("+")[0] for value in self._environ.values()}
        return sorted(named & KNOWN)

    def start(self) -> Self:
        """Start, and return once it serves. Raises NotStartedError with what it said."""
        self.launch()
        return self.wait()

    def wait(self) -> Self:
        """Return once it says where it listens."""
        until(lambda: self._listening() or not self.running, START_SECONDS, "listening")
        if not self.address:
            code = self.ended()
            raise NotStartedError(code, self.said)
        return self

    def refused(self) -> NotStartedError:
        """How a start that must fail has failed."""
        try:
            self.start()
        except NotStartedError as error:
            return error
        self.kill()
        raise AssertionError("it has started")

    def signal(self, number: int) -> None:
        """Send a signal."""
        assert self._process is not None, "started"
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def ended(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for its end; returns the exit status."""
        assert self._process is not None, "started"
        return self._process.wait(seconds)

    @contextlib.contextmanager
    def channel(self, **options: int) -> Iterator[grpc.Channel]:
        """A connection of its own: no pool is shared with an earlier gateway on this address."""
        named = [(f"grpc.{name}", value) for name, value in options.items()]
        channel = grpc.insecure_channel(
            self.address, [("grpc.use_local_subchannel_pool", 1), *named]
        )
        with channel:
            yield channel

    def status(self) -> admin_service_pb2.GetStatusResponse:
        """What the gateway says of itself."""
        with self.channel() as channel:
            stub = admin_service_pb2_grpc.AdminServiceStub(channel)
            return stub.GetStatus(
                admin_service_pb2.GetStatusRequest(), timeout=10, wait_for_ready=True
            )

    def threads(self) -> int:
        """How many threads it has."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def descriptors(self) -> int:
        """How many files it holds open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def cpu_seconds(self) -> float:
        """The time that it has spent on processors: other than a clock's, it knows no neighbours."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_bytes(self) -> int:
        """The most memory that it ever had."""
        return 1024 * self._proc_status("VmHWM")

    def resident_bytes(self) -> int:
        """The memory that it has now."""
        return 1024 * self._proc_status("VmRSS")

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def _file(self, name: str) -> Path:
        return self.root / f"{name}-{self.starts:04}"

    def _listening(self) -> bool:
        head, line_end, _ = self._file("stdout").read_text("utf-8").partition("\n")
        _, found, address = head.partition(" listening on ")
        self.address = address.strip() if found and line_end else ""
        return bool(self.address)

    def _proc_status(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
        raise AssertionError(f"no {name}")


@contextlib.contextmanager
def room() -> Iterator[Path]:
    """A new directory with a path that is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="mp-", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
