"""The processes that are measured: gateways, and the bare server to compare with."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 30.0
LISTENING: Final = "listening on "
MEMPLANE: Final = Path(sys.executable).with_name("memplane")
"""The program of this environment."""


class BenchError(Exception):
    """A measurement that cannot be made; the message says why."""


class Process:
    """A server in a process of its own, from its start until the end of a `with`."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cores: frozenset[int] = frozenset(),
        directory: Path | None = None,
    ) -> None:
        """Starts it and waits for the line that ends with its address.

        Args:
            command: What to run.
            cores: Where it may run; empty means anywhere.
            directory: Where it runs and leaves its log; None means here, and nowhere.

        Raises:
            BenchError: It ended, or did not get ready in time.
        """
        self._log = log = None if directory is None else directory / "log"
        # What this shell says to gateways is not what is measured.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MEMPLANE_")}
        with contextlib.ExitStack() as stack:
            errors = stack.enter_context((log or Path(os.devnull)).open("ab"))
            # A child inherits the cores of the thread that starts it, and so do its own threads.
            stack.enter_context(on_cores(cores))
            start = time.perf_counter()
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, cwd=directory, env=environment
            )
        try:
            self.address = self._first_line(command)
        except BaseException:
            self._process.kill()
            self._process.communicate()
            raise
        self.ready_seconds = time.perf_counter() - start
        """From its start to the line that says it listens."""
        # What else it says must not fill the pipe.
        threading.Thread(target=self._drain, daemon=True).start()

    def said(self) -> str:
        """The end of its log; empty without one."""
        return "" if self._log is None else self._log.read_text(errors="replace")[-2_000:]

    def _first_line(self, command: Sequence[str]) -> str:
        assert self._process.stdout is not None
        killer = threading.Timer(READY_SECONDS, self._process.kill)
        killer.start()
        try:
            line = self._process.stdout.readline().decode().strip()
        finally:
            killer.cancel()
        if LISTENING not in line:
            raise BenchError(
                f"{' '.join(command)} did not start: {line or 'no line'}\n{self.said()}"
            )
        return line.partition(LISTENING)[2]

    def _drain(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as said:
            while said.read(65_536):
                pass

    def cpu_seconds(self) -> float:
        """User and system time so far, in steps of 10 ms; NaN where the system does not tell."""
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii")
        except OSError:
            return float("nan")
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self) -> float:
        """Resident memory; NaN where the system does not tell."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        except OSError:
            return float("nan")
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def stop(self) -> None:
        """Asks it to end, and makes it end when it does not."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def gateway(
    directory: Path,
    settings: Mapping[str, Any],
    *,
    memplane: Path = MEMPLANE,
    cores: frozenset[int] = frozenset(),
) -> Process:
    """Starts `memplane serve` on data of its own and a free port of this machine.

    Args:
        directory: Where its configuration, data and log go; must exist.
        settings: The configuration, beside the directory of the data.
        memplane: The program, so that another version can be measured.
        cores: Where it may run; empty means anywhere.
    """
    config = directory / "memplane.yaml"  # JSON is YAML
    config.write_text(
        json.dumps({**settings, "data_dir": str(directory / "data")}), encoding="utf-8"
    )
    command = [
        str(memplane.absolute()),
        "serve",
        "--config",
        str(config),
        "--listen",
        "127.0.0.1:0",
    ]
    return Process(command, cores=cores, directory=directory)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory for the time of a measurement."""
    with tempfile.TemporaryDirectory(prefix="memplane-bench-") as directory:
        yield Path(directory)


@contextlib.contextmanager
def on_cores(cores: frozenset[int]) -> Iterator[None]:
    """Binds this thread, and threads and processes that it starts; empty changes nothing."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def two_cores() -> tuple[frozenset[int], frozenset[int]]:
    """One core for the server, one for the client; both empty where that is not possible."""
    if not hasattr(os, "sched_getaffinity"):  # not Linux
        return frozenset(), frozenset()
    ours = sorted(os.sched_getaffinity(0))
    if len(ours) < 2:
        return frozenset(), frozenset()
    return frozenset(ours[:1]), frozenset(ours[-1:])
