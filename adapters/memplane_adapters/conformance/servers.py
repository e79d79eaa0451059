"""Real servers of stores, started and stopped by whoever needs one, on free ports of this machine.

Where one comes from, in this order: a URL in the environment, a program on the PATH, one in a tool
environment of the project (`make servers`), a container engine that answers. A server is gone when
the process that started it is, however that ends.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from memplane_adapters.contract import LocalStore

HOST = "127.0.0.1"
# Below what systems give to outgoing connections: a client that knocks at a closed port of that
# range may be given the same port for its own end, and then talks to itself.
PORTS = range(20_000, 32_000)
STOP_SECONDS = 20.0
PROJECT = "MEMPLANE_TEST_PROJECT"
"""The variable that names the directory with .tools/servers; otherwise one above is looked for."""
_ENGINES = ("docker", "podman")
_BUILT = "go-install"
"""What the name of pins ends on that the Go toolchain takes, where there is one."""
_SIGNALS = str(Path(__file__).with_name("signals.py"))
_ANSWER_SECONDS = 1.0
_PAUSE = 0.01


class NotAtHandError(Exception):
    """There is no server of this sort on this machine; `args[0]` is a sentence."""


class NotStartedError(Exception):
    """A server ended, or never answered, before it served."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program of this machine."""

    path: str
    patience: float = 60.0
    """Seconds within which it serves."""

    def command(self, placed: LocalStore, ports: Sequence[int]) -> Sequence[str]:
        """What to run; the process lives as long as the server."""
        return [*placed.starter, self.path, *placed.arguments]

    def control(self, number: signal.Signals, pid: int) -> Sequence[str]:
        """What to run for SIGTERM, SIGKILL, SIGSTOP and SIGCONT to the server of that process."""
        return [sys.executable, "-I", "-S", _SIGNALS, number.name.removeprefix("SIG"), str(pid)]

    def forget(self) -> None:
        """Remove what is kept outside the directory: nothing."""


@dataclass(frozen=True, slots=True)
class Container:
    """An image, run by a container engine; what it keeps is in a volume."""

    engine: str
    name: str
    patience: float = 600.0  # the image may have to be fetched

    def command(self, placed: LocalStore, ports: Sequence[int]) -> Sequence[str]:
        """As of a program."""
        published = zip(ports, placed.image_ports, strict=True)
        options = [f"--publish={HOST}:{ours}:{theirs}" for ours, theirs in published]
        options += [f"--env={name}={value}" for name, value in placed.image_environ.items()]
        options += [f"--volume={self.name}:{placed.image_directory}", f"--name={self.name}"]
        return [self.engine, "run", "--rm", *options, placed.image]

    def control(self, number: signal.Signals, pid: int) -> Sequence[str]:
        """As of a program."""
        words = {
            signal.SIGTERM: ["stop"],
            signal.SIGKILL: ["rm", "--force"],  # of a paused one too
            signal.SIGSTOP: ["pause"],
            signal.SIGCONT: ["unpause"],
        }
        return [self.engine, *words[number], self.name]

    def forget(self) -> None:
        """Remove the volume."""
        subprocess.run(  # noqa: S603 (an engine that was found)
            [self.engine, "volume", "rm", "--force", self.name], check=False, capture_output=True
        )


Launcher: TypeAlias = Program | Container
"""A way to run a server."""


class Server:
    """One server on one directory and fixed ports; it may be started again and again."""

    def __init__(self, store: LocalStore, root: Path, launcher: Launcher) -> None:
        self.root = root
        self._launcher = launcher
        self._ports = free_ports(store.ports)
        self._placed = store.at(root / "data", HOST, self._ports)
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._paused = False

    @property
    def url(self) -> str:
        """Where it is, or will be, as the adapter's `from_url` takes it."""
        return self._placed.url

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
    def log(self) -> str:
        """All that it said, over all starts."""
        return (self.root / "log").read_text("utf-8", "replace")

    def start(self) -> Self:
        """Start, and return once it serves. Raises NotStartedError with what it said."""
        assert not self.running, "one at a time"
        (self.root / "data").mkdir(parents=True, exist_ok=True)
        with (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 (a program that was found)
                self._launcher.command(self._placed, self._ports),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.root,
                env={**os.environ, **self._placed.environ},
                start_new_session=True,
            )
        self._guard = _guard(self._launcher.control(signal.SIGKILL, self._process.pid))
        self._wait()
        return self

    def stop(self) -> None:
        """SIGTERM, and gone; SIGKILL when that takes too long."""
        if self.running:
            self.resume()
            self._send(signal.SIGTERM)
            assert self._process is not None
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, and gone. Nothing happens when it is not running."""
        if self._process is not None:
            if self.running:
                self._send(signal.SIGKILL)
            self._process.wait()
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None
        self._paused = False

    def restart(self) -> Self:
        """Stop if it runs, and start on the same directory and ports."""
        self.stop()
        return self.start()

    def pause(self) -> None:
        """SIGSTOP: connections are taken, and nothing is answered."""
        self._send(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """SIGCONT. Nothing happens when it is not paused."""
        if self._paused:
            self._send(signal.SIGCONT)
            self._paused = False

    def close(self) -> None:
        """Stop for good; what it kept in its directory stays there."""
        self.stop()
        self._launcher.forget()

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _send(self, number: signal.Signals) -> None:
        command = self._launcher.control(number, self.pid)
        done = subprocess.run(command, check=False, capture_output=True)  # noqa: S603 (as above)
        # It may have ended by itself meanwhile.
        assert done.returncode == 0 or not self.running, done.stderr.decode("utf-8", "replace")

    def _wait(self) -> None:
        end = time.monotonic() + self._launcher.patience
        waiting = list(self._placed.ready)
        while waiting:
            if not self.running or time.monotonic() > end:
                self.kill()
                raise NotStartedError(f"{waiting[0]} did not answer: {self.log[-2000:]}")
            if answers(waiting[0]):
                waiting.pop(0)
            else:
                time.sleep(_PAUSE)


def _guard(end: Sequence[str]) -> subprocess.Popen[bytes]:
    """A process that runs a command when this one is gone, which closes its stdin."""
    return subprocess.Popen(  # noqa: S603 (our own words)
        ["/bin/sh", "-c", 'read -r _; exec "$@"', "guard", *end],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # what ends this process by its group must not end the guard
    )


def answers(address: str) -> bool:
    """Tells whether an http:// URL answers with 2xx, or a tcp:// address as it should.

    That takes a connection; with "?say=...&hear=..." (percent-encoded bytes) it is also told the one,
    and must answer with what begins with the other.
    """
    parts = urllib.parse.urlsplit(address)
    assert parts.hostname is not None, address
    assert parts.port is not None, address
    try:
        if parts.scheme == "tcp":
            with socket.create_connection((parts.hostname, parts.port), _ANSWER_SECONDS) as line:
                words = dict(pair.partition("=")[::2] for pair in parts.query.split("&"))
                line.sendall(urllib.parse.unquote_to_bytes(words.get("say", "")))
                expected = urllib.parse.unquote_to_bytes(words.get("hear", ""))
                return line.recv(len(expected), socket.MSG_WAITALL) == expected
        asking = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_ANSWER_SECONDS)
        with contextlib.closing(asking):
            asking.request("GET", parts.path or "/")
            return 200 <= asking.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False


def free_ports(number: int) -> tuple[int, ...]:
    """Ports that nobody listens on now."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        if len(found) == number:
            break
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.bind((HOST, port))
            found.append(port)
    assert len(found) == number, "no ports are free"
    return tuple(found)


def given(store: LocalStore, environ: Mapping[str, str] = os.environ) -> str:
    """The URL of a server that runs already; empty if nobody says so."""
    return environ.get(store.variable, "") if store.variable else ""


def launcher_for(store: LocalStore) -> Launcher:
    """How a server of this sort can be run here. Raises NotAtHandError."""
    assert store.program, f"{store.name} is in process"
    for found in _programs(store.program):
        if not store.vectors or _brings(store, found):
            return Program(found)
    if store.image:
        engine = _engine()
        if engine is not None:
            return Container(engine, f"memplane-{uuid.uuid4().hex}")
    variable = f"{store.variable} is not set, " if store.variable else ""
    lacking = f" that brings {' or '.join(store.brings)}" if store.brings and store.vectors else ""
    raise NotAtHandError(
        f"no server for {store.name}: {variable}there is no program {store.program}{lacking} on the"
        f" PATH or in .tools/servers ({_word(store)}), and no container engine that answers"
    )


def without_vectors(store: LocalStore) -> LocalStore:
    """The same where a program is at hand that can keep key-values alone. Raises NotAtHandError."""
    if not (store.vectors and store.key_values and store.brings):
        raise NotAtHandError(f"{store.name} keeps vectors, or nothing")
    less = replace(store, vectors=False)
    launcher_for(less)
    return less


def must_be_at_hand(store: LocalStore) -> bool:
    """Tells whether this is CI, and what it installs should have brought the program."""
    if not os.environ.get("CI"):
        return False
    return _pinned(store, "txt") or (_pinned(store, _BUILT) and shutil.which("go") is not None)


def _word(store: LocalStore) -> str:
    """What brings the program."""
    return f"make {store.name}, with Go" if _pinned(store, _BUILT) else "make servers"


def _pinned(store: LocalStore, ending: str) -> bool:
    """Whether the project has pins of that sort for the program."""
    project = _project()
    if project is None:
        return False
    names = (store.program, store.name)
    return any((project / f"requirements/servers/{name}.{ending}").exists() for name in names)


@contextlib.contextmanager
def running(store: LocalStore, root: Path) -> Iterator[Server]:
    """A server of one's own. Raises NotAtHandError."""
    with Server(store, root, launcher_for(store)) as server:
        yield server


def _project() -> Path | None:
    named = os.environ.get(PROJECT)
    if named:
        return Path(named)
    here = Path.cwd()
    return next(
        (each for each in (here, *here.parents) if (each / ".tools/servers").is_dir()), None
    )


def _tool_directories() -> list[str]:
    project = _project()
    if project is None:
        return []
    return [str(path) for path in sorted(project.glob(".tools/servers/*/bin"))]


def _programs(name: str) -> Iterator[str]:
    """Every program of that name: those on the PATH, then those of .tools/servers."""
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    for directory in dict.fromkeys((*path, *_tool_directories())):
        found = shutil.which(name, path=directory) if directory else None
        if found is not None:
            yield found


def _brings(store: LocalStore, program: str) -> bool:
    own = Path(program).resolve().parent
    return not store.brings or any(any(own.glob(pattern)) for pattern in store.brings)


@functools.cache
def _engine() -> str | None:
    for name in _ENGINES:
        found = shutil.which(name)
        if found is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                asked = subprocess.run(  # noqa: S603 (as above)
                    [found, "info"], check=False, capture_output=True, timeout=20
                )
                if asked.returncode == 0:
                    return found
    return None
